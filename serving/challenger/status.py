"""Status of a challenge on this host, as JSON and as Prometheus metrics."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from overnight.serving.host.alias_state import EndedChallenge, FollowerState
from overnight.serving.telemetry import metrics
from overnight.serving.telemetry.challenge_stats import ChallengeStats, total
from overnight.serving.telemetry.metrics import WorkerCounters
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenge_terms import Terms


@dataclass(frozen=True)
class ChallengeStatus:
    """The newest challenge that was not stopped and did not become champion."""

    record: AliasRecord
    terms: Terms
    stats: ChallengeStats
    withdrawn: str | None = None


def challenge_status(
    state: FollowerState, ended: EndedChallenge | None, workers: Iterable[WorkerCounters]
) -> ChallengeStatus | None:
    """What the leader followed and the workers counted, together; None without a challenge."""
    record = state.last
    if record is None or record.target is None or record.terms is None:
        return None
    counted = total(record.id, (stats for worker in workers for stats in worker.challenges))
    stats = counted or ChallengeStats(
        record=record.id, model=record.model, version=record.version, mode=record.terms.mode
    )
    if ended is not None and ended.record.id == record.id:
        if ended.outcome == "became champion":
            return None
        error = ended.sync_error
        unsynced = f"; other hosts do not know it yet: {error}" if error else ""
        return ChallengeStatus(
            record, record.terms, ended.stats or stats, withdrawn=ended.reason + unsynced
        )
    reasons = [refusal.reason for refusal in state.refused if refusal.sequence == record.sequence]
    withdrawn = f"refused here: {reasons[-1]}" if reasons else None
    return ChallengeStatus(record, record.terms, stats, withdrawn=withdrawn)


_COUNTERS = (
    ("requests", "Requests that the challenger answered or should have."),
    ("errors", "Requests that the challenger did not answer."),
    ("compared", "Requests that both answered."),
    (
        "disagreements",
        "Compared requests that the challenger answered otherwise, by share of rows.",
    ),
    ("dropped", "Requests that were not compared, because too many waited."),
)


def counters(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """What every worker counted of its newest challenges; nothing without any."""
    challenges = [
        (worker, stats) for worker, counted in workers.items() for stats in counted.challenges
    ]
    for field, help_text in _COUNTERS if challenges else ():
        samples = [
            (_labels(stats) | {"worker": worker}, getattr(stats, field))
            for worker, stats in challenges
        ]
        yield from metrics.counters(f"overnight_challenger_{field}_total", help_text, samples)


def gauges(statuses: Iterable[ChallengeStatus]) -> Iterator[str]:
    """Whether challengers are active, and their slowdown; nothing without a challenge."""
    challenges = list(statuses)
    if not challenges:
        return
    yield from metrics.gauges(
        "overnight_challenger_active",
        "1 while the challenger gets traffic, 0 once it was withdrawn.",
        [(_labels(status.stats), float(status.withdrawn is None)) for status in challenges],
    )
    yield from metrics.gauges(
        "overnight_challenger_slowdown",
        "CPU seconds of its answers over the champion's.",
        [
            (_labels(status.stats), slowdown)
            for status in challenges
            if (slowdown := status.stats.slowdown) is not None
        ],
    )


def _labels(stats: ChallengeStats) -> dict[str, str]:
    return {"model": stats.model, "version": stats.version, "mode": stats.mode}


def challenge_to_json(status: ChallengeStatus | None) -> dict[str, Any] | None:
    """A challenge as JSON, null when there is none."""
    if status is None:
        return None
    record, stats = status.record, status.stats
    slowdown = stats.slowdown
    return {
        "version": record.version,
        "mode": status.terms.mode,
        "share": status.terms.share,
        "since": record.at.isoformat(),
        "by": record.by,
        "reason": record.reason,
        "requests": stats.requests,
        "errors": stats.errors,
        "compared": stats.compared,
        "disagreements": round(stats.disagreements, 3),
        "dropped": stats.dropped,
        "slowdown": None if slowdown is None else round(slowdown, 3),
        "withdrawn": status.withdrawn,
    }
