"""How a challenge stands on this host, as pages and metrics tell it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from overnight.serving.host.alias_state import EndedChallenge, FollowerState
from overnight.serving.telemetry import metrics
from overnight.serving.telemetry.challenge_stats import ChallengeStats, total
from overnight.serving.telemetry.metrics import WorkerCounters
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.challenge_terms import Terms


@dataclass(frozen=True)
class ChallengeStatus:
    """The newest challenge that was not stopped and did not become champion."""

    record: AliasRecord
    terms: Terms
    tally: ChallengeStats
    withdrawn: str | None = None


def challenge_status(
    known: FollowerState, ended: EndedChallenge | None, workers: Iterable[WorkerCounters]
) -> ChallengeStatus | None:
    """What the leader noted and the workers counted, together; None when nothing challenges."""
    record = known.last
    if record is None or record.target is None or record.terms is None:
        return None
    terms = record.terms
    found = total(record.id, (one for said in workers for one in said.challenges))
    nothing = ChallengeStats(
        record=record.id, model=record.model, version=record.version, mode=record.terms.mode
    )
    if ended is not None and ended.record.id == record.id:
        if ended.how == "became champion":
            return None
        trouble = f"; other hosts do not know it yet: {ended.trouble}" if ended.trouble else ""
        tally = ended.tally or found or nothing
        return ChallengeStatus(record, terms, tally, withdrawn=ended.reason + trouble)
    refused = [one.reason for one in known.refused if one.sequence == record.sequence]
    reason = f"refused here: {refused[-1]}" if refused else None
    return ChallengeStatus(record, terms, found or nothing, withdrawn=reason)


_COUNTERS = (
    ("requests", "Requests that the challenger was to answer."),
    ("errors", "Requests that the challenger did not answer."),
    ("compared", "Requests that both answered."),
    (
        "disagreements",
        "Compared requests that the challenger answered otherwise, by share of rows.",
    ),
    ("dropped", "Requests that were not compared, because too many waited."),
)


def counters(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """What every worker counted of its newest challenge; nothing where there was none."""
    known = [(name, one) for name, said in workers.items() for one in said.challenges]
    for field, told in _COUNTERS if known else ():
        samples = [(_of(one) | {"worker": name}, getattr(one, field)) for name, one in known]
        yield from metrics.counters(f"overnight_challenger_{field}_total", told, samples)


def gauges(standings: Iterable[ChallengeStatus]) -> Iterator[str]:
    """Whether it lives, and how slow it is; nothing where nothing challenges."""
    every = list(standings)
    if not every:
        return
    live = [(_of(one.tally), float(one.withdrawn is None)) for one in every]
    yield from metrics.gauges(
        "overnight_challenger_active",
        "1 while the challenger gets traffic, 0 once it was withdrawn.",
        live,
    )
    yield from metrics.gauges(
        "overnight_challenger_slowdown",
        "CPU seconds of its answers over the champion's.",
        [(_of(one.tally), slow) for one in every if (slow := one.tally.slowdown) is not None],
    )


def _of(tally: ChallengeStats) -> dict[str, str]:
    return {"model": tally.model, "version": tally.version, "mode": tally.mode}


def challenging(standing: ChallengeStatus | None) -> dict[str, Any] | None:
    """A challenge as JSON, null when there is none."""
    if standing is None:
        return None
    record, tally = standing.record, standing.tally
    slowdown = tally.slowdown
    return {
        "version": record.version,
        "mode": standing.terms.mode,
        "share": standing.terms.share,
        "since": record.at.isoformat(),
        "by": record.by,
        "reason": record.reason,
        "requests": tally.requests,
        "errors": tally.errors,
        "compared": tally.compared,
        "disagreements": round(tally.disagreements, 3),
        "dropped": tally.dropped,
        "slowdown": None if slowdown is None else round(slowdown, 3),
        "withdrawn": standing.withdrawn,
    }
