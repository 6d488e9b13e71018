"""What follows from a monitor record: a retraining, a rollback, a notice to a person, or nothing.

Pure: everything that the decision depends on is a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from overnight.models.watching import Watching
from overnight.store.registry.monitoring import Alarm, Consequence, MonitorRecord

# More would not fit into a line of the timeline, and the record has all of it.
_SHOWN_ALARMS = 3
_LONGEST_REASON = 400


@dataclass(frozen=True)
class WorseVersion:
    """A champion that is significantly worse than the version that served before it.

    Attributes:
        version: the champion.
        predecessor: the version before it.
        evidence: what was compared, on how much, and at which error rate.
    """

    version: str
    predecessor: str
    evidence: str


@dataclass(frozen=True)
class Circumstances:
    """What a decision depends on besides the alarms.

    Attributes:
        approval: who decides about versions of the model.
        nothing_new: why nothing can be learned now; empty where arrivals or learnable labels came
            since the champion's snapshot.
        requested_at: when a monitor last requested a retraining.
        worse: the champion is significantly worse than the version before it.
        decided: the pairs of version and predecessor that an earlier record decided about.
        now: the time of the decision, UTC.
    """

    watching: Watching
    approval: Literal["automatic", "manual"]
    nothing_new: str
    requested_at: datetime | None
    worse: WorseVersion | None
    decided: frozenset[tuple[str, str]]
    now: datetime


def decide(model: str, alarms: Sequence[Alarm], circumstances: Circumstances) -> Consequence:
    """The consequence of a record's alarms, with its reason.

    A rollback comes before a retraining: the predecessor is better now, and a retraining starts
    from what serves.
    """
    worse = circumstances.worse
    if worse is not None and (worse.version, worse.predecessor) not in circumstances.decided:
        return _about_worse(model, worse, circumstances)
    if not alarms:
        return Consequence(action="nothing", reason="no alarm")
    return _about_alarms(model, alarms, circumstances)


def _about_worse(model: str, worse: WorseVersion, circumstances: Circumstances) -> Consequence:
    watching, manual = circumstances.watching, circumstances.approval == "manual"
    if watching.rolls_back and not manual:
        return Consequence(action="roll back", reason=worse.evidence, version=worse.predecessor)
    why = "people decide about versions of it" if manual else "it declares rolls_back=False"
    command = f'`overnight rollback {model} --to {worse.predecessor} --reason "…"`'
    return Consequence(
        action="notify",
        reason=f"{worse.evidence}; {model} is not rolled back by itself, because {why}: {command}",
        version=worse.predecessor,
    )


def _about_alarms(model: str, alarms: Sequence[Alarm], circumstances: Circumstances) -> Consequence:
    watching, reason = circumstances.watching, alarm_text(alarms)
    if all(alarm.kind == "skew" for alarm in alarms):
        why = "serving and training read the same days differently, which no retraining mends"
        return Consequence(action="notify", reason=f"{reason}; {why}")
    if not watching.retrains:
        why = f"{model} declares retrains=False: `overnight retrain {model}`"
        return Consequence(action="notify", reason=f"{reason}; {why}")
    if circumstances.nothing_new:
        return Consequence(action="notify", reason=f"{reason}; {circumstances.nothing_new}")
    if (requested := circumstances.requested_at) is not None:
        again = requested + timedelta(days=watching.pause_days)
        if circumstances.now < again:
            why = (
                f"an alarm requested a retraining at {_minute(requested)}, and the next one is "
                f"not before {_minute(again)}"
            )
            return Consequence(action="wait", reason=f"{reason}; {why}")
    return Consequence(action="retrain", reason=reason)


def alarm_text(alarms: Sequence[Alarm]) -> str:
    """The alarms in one line, as the reason of a retraining: quality first, then since when."""
    ordered = sorted(alarms, key=lambda alarm: (alarm.kind != "quality", alarm.since))
    parts = [f"{alarm.message}, since {alarm.since:%Y-%m-%d}" for alarm in ordered[:_SHOWN_ALARMS]]
    if more := len(ordered) - len(parts):
        parts.append(f"and {more} more")
    text = "; ".join(parts)
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


def last_request(records: Sequence[MonitorRecord]) -> datetime | None:
    """When the newest of some records requested a retraining."""
    requests = [record.at for record in records if record.consequence.action == "retrain"]
    return max(requests, default=None)


def decided_pairs(records: Sequence[MonitorRecord]) -> frozenset[tuple[str, str]]:
    """The pairs of champion and predecessor that records decided about: never twice for one."""
    return frozenset(
        (record.champion, record.consequence.version)
        for record in records
        if record.champion is not None and record.consequence.version
    )


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
