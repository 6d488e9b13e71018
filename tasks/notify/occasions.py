"""What people are notified of: ends of runs, late runs, and alarms of the monitor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from overnight.store.registry.monitoring import MonitorRecord
from overnight.store.values import Value
from overnight.tasks.notify.message import Kind, Link, Message, one_line

# The names of states in which a run may end, and what people choose them by.
KIND_OF_STATE: Mapping[str, Kind] = {
    "Refused": "refused",
    "Failed": "failed",
    "TimedOut": "failed",
    "Crashed": "crashed",
    "AwaitingApproval": "awaiting",
    "RolledBack": "rolled-back",
    "Unconfirmed": "unconfirmed",
    "SourceFailed": "source-failed",
    "Superseded": "superseded",
}
LATE = "Late"
ALARM_EVENT = "overnight.alarm"
STARTS_AT_MOST = 3
_REPEATABLE = {"retrain", "ingest", "reproduce", "tune"}
# The command that a message of ours names for the person who decides.
_DECIDING = re.compile(r"`(overnight (?:approve|accept|exclude)[^`]*)`")

_TO_DO: Mapping[Kind, str] = {
    "refused": "The champion continues to serve. Read the card of the run: it has every value and "
    "its bound.",
    "failed": "Read the log of the run, correct what its error names, and start it again.",
    "awaiting": "Decide: nothing is promoted until a person does.",
    "rolled-back": "The version before it serves. Find out why before you promote it again.",
    "unconfirmed": "No serving host confirmed it in time: check that serving runs.",
    "source-failed": "Nothing came in: check the address and the credentials of the source.",
    "superseded": "Nothing: another version became champion meanwhile.",
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
    state: str
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
    if run.state == LATE:
        return _late(run, links)
    kind = KIND_OF_STATE.get(run.state)
    if kind is None or (kind == "crashed" and run.retried and 1 < run.starts < STARTS_AT_MOST):
        return None
    took = (("took", f"{run.seconds:,.0f} s"),) if run.seconds else ()
    own = (Link("This run", run.url),) if run.url else ()
    return Message(
        kind=kind,
        title=f"{run.model or run.flow}: {run.flow} ended {run.state}",
        model=run.model,
        outcome=run.state,
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


class AlarmEvent(Value):
    """The payload of the event that a monitor emits for a new alarm of a model.

    `kind` is that of the alarm, `feature` what it is about, `consequence` what follows from it.
    """

    model: str = Field(max_length=63)
    sequence: int
    kind: str = Field(max_length=100)
    message: str = ""
    consequence: str = ""
    feature: str = ""


def of_alarm(alarm: AlarmEvent, *, links: tuple[Link, ...] = ()) -> Message:
    """The message about an alarm."""
    about = f" of {one_line(alarm.feature)}" if alarm.feature else ""
    return Message(
        kind="alarm",
        title=f"{alarm.model}: alarm, {alarm.kind}{about}",
        model=alarm.model,
        outcome="Alarm",
        reason=alarm.message,
        figures=(("monitor record", str(alarm.sequence)),),
        to_do=f"What follows: {alarm.consequence}" if alarm.consequence else "Look at the report.",
        command=f"overnight monitor {alarm.model}",
        links=links,
    )


def is_repeated(alarm: AlarmEvent, before: MonitorRecord | None) -> bool:
    """Whether the record before that of an alarm had the same alarm already."""
    if before is None:
        return False
    features = {alarm.feature} if alarm.feature else {each.feature for each in before.alarms}
    return any(each.kind == alarm.kind and each.feature in features for each in before.alarms)


def of_test() -> Message:
    """The message by which a person tries the channels."""
    return Message(
        kind="test",
        title="this channel works",
        outcome="Test",
        reason="Somebody ran `overnight notify --test`. Nothing happened to any model.",
        to_do="Nothing.",
    )
