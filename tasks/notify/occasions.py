"""What people are notified of: ends of runs, late runs, and alarms of the monitor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from overnight.store.registry.monitoring import Alarm, MonitorRecord
from overnight.tasks.notify.message import Kind, Link, Message
from overnight.tasks.outcomes import TO_DO

# Outcomes of runs and names of Prefect's states, and what people choose them by.
KIND_OF_OUTCOME: Mapping[str, Kind] = {
    "Refused": "refused",
    "Failed": "failed",
    "TimedOut": "failed",
    "Crashed": "crashed",
    "AwaitingApproval": "awaiting",
    "RolledBack": "rolled-back",
    "Unconfirmed": "unconfirmed",
    "SourceFailed": "source-failed",
    "Superseded": "superseded",
    # How a run of the monitor ends that raised an alarm, or had something follow from one.
    "Drifted": "alarm",
}
LATE = "Late"
_SHOWN_ALARMS = 5
STARTS_AT_MOST = 3
_REPEATABLE = {"retrain", "ingest", "reproduce", "tune"}
# The command that a message of ours names for the person who decides.
_DECIDING = re.compile(r"`(overnight (?:approve|accept|exclude)[^`]*)`")

_TO_DO: Mapping[Kind, str] = {
    "refused": TO_DO["Refused"],
    "failed": "Read the log of the run, correct what its error names, and start it again.",
    "awaiting": TO_DO["AwaitingApproval"],
    "rolled-back": TO_DO["RolledBack"],
    "unconfirmed": TO_DO["Unconfirmed"],
    "source-failed": TO_DO["SourceFailed"],
    "superseded": TO_DO["Superseded"],
    "late": "It should have begun: check that a worker runs and that the pool is not paused.",
}


@dataclass(frozen=True)
class NotifiedRun:
    """One run as Prefect knows it, when its state changed.

    `starts` is how often its process was started, `retried` whether Prefect starts it again after
    a crash.
    """

    flow: str
    name: str
    outcome: str
    message: str = ""
    model: str = ""
    starts: int = 0
    retried: bool = False
    seconds: float = 0.0
    since: datetime | None = None
    at: datetime | None = None
    url: str = ""

    @property
    def what(self) -> str:
        return f"{self.flow} of {self.model}" if self.model else self.flow or self.name


def of_run(
    run: NotifiedRun, *, figures: tuple[tuple[str, str], ...] = (), links: tuple[Link, ...] = ()
) -> Message | None:
    """The message about a run, or None where people need none.

    Of a run that crashes again and again the first crash is reported, and the last.
    """
    if run.outcome == LATE:
        return _late(run, links)
    kind = KIND_OF_OUTCOME.get(run.outcome)
    if (
        kind is None
        or kind == "alarm"
        or (kind == "crashed" and run.retried and 1 < run.starts < STARTS_AT_MOST)
    ):
        return None
    took = (("took", f"{run.seconds:,.0f} s"),) if run.seconds else ()
    own = (Link("This run", run.url),) if run.url else ()
    return Message(
        kind=kind,
        title=f"{run.model or run.flow}: {run.flow} ended {run.outcome}",
        model=run.model,
        outcome=run.outcome,
        reason=run.message,
        figures=(("run", run.name), *took, *figures),
        to_do=_crashed(run) if kind == "crashed" else _TO_DO[kind],
        command=_command(run, kind),
        links=own + links,
        at=run.at or datetime.now(UTC),
    )


def _crashed(run: NotifiedRun) -> str:
    if run.retried and run.starts < STARTS_AT_MOST:
        return "Nothing yet: it is started again by itself, and continues with what it had stored."
    return "Find out what ended its process (memory, a shutdown), and start it again."


def _command(run: NotifiedRun, kind: Kind) -> str:
    if decided := _DECIDING.search(run.message):
        return decided[1]
    repeated = f"overnight {run.flow} {run.model}"
    if kind in {"failed", "crashed", "source-failed"} and run.flow in _REPEATABLE and run.model:
        return "" if kind == "crashed" and run.retried and run.starts < STARTS_AT_MOST else repeated
    if kind in {"refused", "rolled-back"} and run.model:
        return f"overnight show {run.model}"
    return "" if kind == "superseded" else "overnight status"


def _late(run: NotifiedRun, links: tuple[Link, ...]) -> Message:
    due = f"{run.since:%Y-%m-%d %H:%M} UTC" if run.since else "an unknown time"
    return Message(
        kind="late",
        title=f"{run.model or run.flow}: {run.flow} has not started",
        model=run.model,
        outcome=LATE,
        reason=f"The {run.what} was due at {due} and has not begun.",
        figures=(("run", run.name),),
        to_do=_TO_DO["late"],
        command="overnight status",
        links=((Link("This run", run.url),) if run.url else ()) + links,
        at=run.at or datetime.now(UTC),
    )


def of_alarms(
    run: NotifiedRun,
    record: MonitorRecord | None,
    before: MonitorRecord | None,
    *,
    links: tuple[Link, ...] = (),
) -> Message | None:
    """The message about the alarms of a monitor's run, or None where nothing of it is new.

    `before` is the record before that of the run. Without a record, which the store could not give,
    there is a message: rather twice than not at all.
    """
    new = _new_alarms(record, before) if record else ()
    if record is not None and not new and _same_consequence(record, before):
        return None
    about = ", ".join(sorted({_of(alarm) for alarm in new}))
    figures = tuple(
        (
            _of(alarm),
            f"{alarm.value:.4g}, expected {alarm.expected:.4g}, since {alarm.since:%Y-%m-%d %H:%M}",
        )
        for alarm in new[:_SHOWN_ALARMS]
    )
    messages = "; ".join(alarm.message for alarm in new[:_SHOWN_ALARMS])
    follows = f"{record.consequence.action}: {record.consequence.reason}" if record else ""
    return Message(
        kind="alarm",
        title=f"{run.model}: alarm{', ' if about else ''}{about}",
        model=run.model,
        outcome=run.outcome,
        reason=messages or run.message,
        figures=figures,
        to_do=f"What follows: {follows}" if follows else "Look at the report of the monitor.",
        # What the run saw is in its record: another run would have nothing new to look at.
        command=f"overnight monitor {run.model} --last",
        links=((Link("This run", run.url),) if run.url else ()) + links,
        at=run.at or datetime.now(UTC),
    )


def _of(alarm: Alarm) -> str:
    """What an alarm is of; the slice of all rows has no name."""
    return f"{alarm.kind} of {alarm.feature or 'all'}"


def _new_alarms(record: MonitorRecord, before: MonitorRecord | None) -> tuple[Alarm, ...]:
    known = {(alarm.kind, alarm.feature) for alarm in before.alarms} if before else set()
    return tuple(alarm for alarm in record.alarms if (alarm.kind, alarm.feature) not in known)


def _same_consequence(record: MonitorRecord, before: MonitorRecord | None) -> bool:
    return before is not None and before.consequence.action == record.consequence.action


def of_test() -> Message:
    """The message by which a person tries the channels."""
    return Message(
        kind="test",
        title="this channel works",
        outcome="Test",
        reason="Somebody ran `overnight notify --test`. Nothing happened to any model.",
        to_do="Nothing.",
    )
