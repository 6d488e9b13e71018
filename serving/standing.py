"""How a challenge stands on this host, as pages and metrics tell it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serving import metrics
from serving.ledger import Ended, Known
from serving.metrics import Snapshot
from serving.tally import Tally, total
from store.aliases import AliasRecord
from store.terms import Terms


@dataclass(frozen=True)
class Standing:
    """The newest challenge that was not stopped and did not become champion."""

    record: AliasRecord
    terms: Terms
    tally: Tally
    withdrawn: str | None = None


def standing(known: Known, ended: Ended | None, workers: Iterable[Snapshot]) -> Standing | None:
    """What the leader noted and the workers counted, together; None when nothing challenges."""
    record = known.last
    if record is None or record.target is None or record.terms is None:
        return None
    terms = record.terms
    found = total(record.id, (one for said in workers for one in said.challenges))
    nothing = Tally(
        record=record.id, model=record.model, version=record.version, mode=record.terms.mode
    )
    if ended is not None and ended.record.id == record.id:
        if ended.how == "became champion":
            return None
        trouble = f"; other hosts do not know it yet: {ended.trouble}" if ended.trouble else ""
        tally = ended.tally or found or nothing
        return Standing(record, terms, tally, withdrawn=ended.reason + trouble)
    refused = [one.reason for one in known.refused if one.sequence == record.sequence]
    reason = f"refused here: {refused[-1]}" if refused else None
    return Standing(record, terms, found or nothing, withdrawn=reason)


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


def counters(workers: Mapping[str, Snapshot]) -> Iterator[str]:
    """What every worker counted of its newest challenge; nothing where there was none."""
    known = [(name, one) for name, said in workers.items() for one in said.challenges]
    for field, told in _COUNTERS if known else ():
        samples = [(_of(one) | {"worker": name}, getattr(one, field)) for name, one in known]
        yield from metrics.counters(f"overnight_challenger_{field}_total", told, samples)


def gauges(standings: Iterable[Standing]) -> Iterator[str]:
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


def _of(tally: Tally) -> dict[str, str]:
    return {"model": tally.model, "version": tally.version, "mode": tally.mode}


def challenging(standing: Standing | None) -> dict[str, Any] | None:
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
