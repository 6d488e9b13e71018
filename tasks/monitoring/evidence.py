"""Evidence of a change that adds up over observations: the Shiryaev–Roberts e-detector.

Each part (the whole, a slice, a feature) has wagers; a wager's e-value of an observation has mean
at most 1 while nothing has changed. Before each observation every part puts in new stakes, all of
them at most 1 together, and its evidence is

    M = (M + stake) · e

(Shin, Ramdas and Rinaldo 2024, doi 10.51387/23-NEJSDS51, definition 2.2). The sum of all M minus
the number of observations is then a supermartingale, whatever depends on what between the parts. So
the first time that the sum reaches a level comes, without a change, after that many observations on
average at least (their proposition 2.4; Shiryaev 1963, Roberts 1966), looked at after each.

All numbers are kept as logarithms: nothing overflows, however many observations there were.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.registry.monitoring import DetectorState

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]
# A double ends at 1.8e308; beyond that only the logarithm is exact.
_MOST_LOG = 700.0


@dataclass(frozen=True)
class Observed:
    """What a batch of observations adds to one part.

    Attributes:
        part: its name.
        places: [k] of the batch's observations, those that this part sees, in order.
        log_e: [k, wagers] logarithms of e-values.
        values: [k] what was seen, for reports: a loss between 0 and 1, or a distance.
        stake: what the part puts in before each of its observations.
    """

    part: str
    places: Ints
    log_e: Floats
    values: Floats
    stake: float


@dataclass(frozen=True)
class Change:
    """The most likely change of a part: after which of its observations, and what came since.

    `mean` is that of the values since, and `n` their number; `before` is the mean until then, and
    None where nothing came before. `evidence` is the part's M.
    """

    part: str
    since: datetime | None
    mean: float
    n: int
    before: float | None
    evidence: float


def start(name: str, level: float) -> DetectorState:
    """A detector that has seen nothing; `level` is the declared mean run length.

    Raises:
        ValueError: the level is no finite number above 1.
    """
    if not (math.isfinite(level) and level > 1):
        raise ValueError(
            f"the detector {name}: its run length is {level}; expected more than 1 observation "
            "per false alarm"
        )
    return DetectorState(name=name, value=0.0, level=float(level), observations=0)


def restarted(state: DetectorState) -> DetectorState:
    """The same detector without any evidence, as after an alarm that was dealt with."""
    return start(state.name, state.level)


def alarmed(state: DetectorState) -> Change | None:
    """The change that raised the alarm, as it was seen then; None while there is none.

    The detector is looked at after each observation, so an alarm stays although the evidence has
    fallen again by the end of the batch.
    """
    alarm = state.details.get("alarm")
    return None if alarm is None else _change_from(alarm)


def advance(
    state: DetectorState, observed: Iterable[Observed], n: int, at: Times | None = None
) -> DetectorState:
    """The detector after a batch of n observations; the same as after n batches of one.

    Args:
        at: [n] when each was made, in UTC.
    """
    if n == 0:
        return state
    parts = {part.part: part for part in observed if len(part.places)}
    kept: dict[str, dict[str, Any]] = dict(state.details.get("parts", {}))
    totals = np.full(n, -math.inf)
    followed = {}
    for name in {**kept, **parts}:
        part = parts.get(name)
        if part is None:
            totals = np.logaddexp(totals, _log_sum(kept[name]["log_m"]))
            continue
        course = _follow(kept.get(name), part, at)
        followed[name] = course
        totals = np.logaddexp(totals, course.filled(n))
    crossed = np.flatnonzero(totals >= math.log(state.level))
    alarm = state.details.get("alarm")
    if alarm is None and len(crossed):
        alarm = _alarm(state, kept, followed, int(crossed[0]))
    kept |= {name: course.end for name, course in followed.items()}
    highest = max(float(totals.max()), state.details.get("highest_log", -math.inf))
    details = {"parts": kept, "alarm": alarm, "highest_log": highest, "log": float(totals[-1])}
    since = alarm["since"] if alarm else _leading(kept).get("since")
    return DetectorState(
        name=state.name,
        value=math.exp(min(float(totals[-1]), _MOST_LOG)),
        level=state.level,
        observations=state.observations + n,
        since=None if since is None else datetime.fromisoformat(since),
        details=details,
    )


def changes(state: DetectorState) -> tuple[Change, ...]:
    """The most likely change of every part as of now, the one with the most evidence first."""
    parts: dict[str, dict[str, Any]] = state.details.get("parts", {})
    seen = [_summary(name, part) for name, part in parts.items()]
    return tuple(sorted(map(_change_from, seen), key=lambda change: -change.evidence))


@dataclass(frozen=True)
class _Course:
    """A part over a batch: `log_m` [k, wagers] after each of its observations."""

    before: float
    places: Ints
    log_m: Floats
    log_ratio: Floats
    part: Observed
    begin: dict[str, Any]
    at: Times | None

    def filled(self, n: int) -> Floats:
        """The logarithm of the part's M after each of n observations of the batch."""
        values = np.concatenate(([self.before], np.logaddexp.reduce(self.log_m, axis=1)))
        filled: Floats = values[np.searchsorted(self.places, np.arange(n), side="right")]
        return filled

    @property
    def end(self) -> dict[str, Any]:
        return self.state_after(len(self.places))

    def state_after(self, count: int) -> dict[str, Any]:
        """The part as it is kept, after `count` of its observations of the batch.

        The most likely change point maximises the likelihood ratio (Page 1954): for each wager the
        place where the sum of logarithms from there on is greatest. It moves only forward, so the
        place and the totals at it are all that is kept.
        """
        if count == 0:
            return self.begin
        begin, wagers = self.begin, self.log_m.shape[1]
        sums = np.cumsum(self.part.values[:count])
        kept: dict[str, list[Any]] = {"ratio": [], "from_n": [], "from_sum": [], "from_at": []}
        for wager in range(wagers):
            started = _last_start(begin["ratio"][wager], self.part.log_e[:count, wager])
            kept["ratio"].append(float(self.log_ratio[count - 1, wager]))
            if started is None:
                for name in ("from_n", "from_sum", "from_at"):
                    kept[name].append(begin[name][wager])
                continue
            kept["from_n"].append(begin["n"] + started)
            kept["from_sum"].append(begin["sum"] + (float(sums[started - 1]) if started else 0.0))
            kept["from_at"].append(_iso(self.at, int(self.places[started])))
        return {
            **kept,
            "log_m": [float(value) for value in self.log_m[count - 1]],
            "n": begin["n"] + count,
            "sum": begin["sum"] + float(sums[-1]),
        }


def _follow(begin: dict[str, Any] | None, part: Observed, at: Times | None) -> _Course:
    wagers = part.log_e.shape[1]
    state = begin or _empty(wagers)
    log_m = np.empty_like(part.log_e)
    log_ratio = np.empty_like(part.log_e)
    log_stake = math.log(part.stake / wagers)
    for wager in range(wagers):
        held = state["log_m"][wager]
        log_e = part.log_e[:, wager]
        log_m[:, wager] = _grown(-math.inf if held is None else held, log_e, log_stake)
        log_ratio[:, wager] = _ratios(state["ratio"][wager], log_e)
    return _Course(_log_sum(state["log_m"]), part.places, log_m, log_ratio, part, state, at)


def _empty(wagers: int) -> dict[str, Any]:
    return {
        # None is nothing, whose logarithm JSON has no number for.
        "log_m": [None] * wagers,
        "ratio": [0.0] * wagers,
        "from_n": [0] * wagers,
        "from_sum": [0.0] * wagers,
        "from_at": [None] * wagers,
        "n": 0,
        "sum": 0.0,
    }


def _grown(log_m: float, log_e: Floats, log_stake: float) -> Floats:
    """The logarithm of M after each observation: M = (M + stake) · e, summed in one pass.

    With S the sums of log e, M after k is exp(S_k) · (M before + Σ stake · exp(−S_{j−1}), j ≤ k).
    """
    sums = np.cumsum(log_e)
    stakes = np.concatenate(([log_m], log_stake - (sums - log_e)))
    grown: Floats = sums + np.logaddexp.accumulate(stakes)[1:]
    return grown


def _ratios(before: float, log_e: Floats) -> Floats:
    """The logarithm of the greatest likelihood ratio after each observation: max(C, 0) + log e."""
    sums = np.concatenate(([max(before, 0.0)], log_e)).cumsum()
    lowest = np.minimum.accumulate(np.minimum(sums, 0.0))
    ratios: Floats = sums[1:] - lowest[:-1]
    return ratios


def _last_start(before: float, log_e: Floats) -> int | None:
    """Before which of the observations the ratio last started anew; None if before the batch."""
    starts = np.concatenate(([before], _ratios(before, log_e)[:-1])) <= 0
    places = np.flatnonzero(starts)
    return int(places[-1]) if len(places) else None


def _alarm(
    state: DetectorState,
    kept: dict[str, dict[str, Any]],
    followed: dict[str, _Course],
    place: int,
) -> dict[str, Any]:
    """The alarm after the observation at this place of the batch, and the part that leads it."""
    then = dict(kept)
    for name, course in followed.items():
        count = int(np.searchsorted(course.places, place, side="right"))
        if count or name in kept:
            then[name] = course.state_after(count)
    leading = _leading(then)
    return {**leading, "observation": state.observations + place + 1}


def _leading(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The summary of the part with the most evidence; empty if there is no part."""
    if not parts:
        return {}
    name = max(parts, key=lambda part: _log_sum(parts[part]["log_m"]))
    return _summary(name, parts[name])


def _summary(name: str, part: dict[str, Any]) -> dict[str, Any]:
    """A part's evidence, and its most likely change: that of the wager with the greatest ratio."""
    wager = int(np.argmax(part["ratio"]))
    n = part["n"] - part["from_n"][wager]
    before = part["from_n"][wager]
    return {
        "part": name,
        "since": part["from_at"][wager],
        "n": n,
        "mean": (part["sum"] - part["from_sum"][wager]) / n if n else 0.0,
        "before": part["from_sum"][wager] / before if before else None,
        "evidence": math.exp(min(_log_sum(part["log_m"]), _MOST_LOG)),
    }


def _change_from(summary: dict[str, Any]) -> Change:
    since = summary["since"]
    return Change(
        part=summary["part"],
        since=None if since is None else datetime.fromisoformat(since),
        mean=summary["mean"],
        n=summary["n"],
        before=summary["before"],
        evidence=summary["evidence"],
    )


def _log_sum(log_m: Sequence[float | None]) -> float:
    held = [value for value in log_m if value is not None]
    return float(np.logaddexp.reduce(held)) if held else -math.inf


def _iso(at: Times | None, place: int) -> str | None:
    if at is None:
        return None
    microseconds = int(at[place].astype("datetime64[us]").astype(np.int64))
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()
