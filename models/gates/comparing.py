"""Evidence for a comparison: the same rows, answered by the candidate and by another."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from overnight.models.gates.resampling import Resampled
from overnight.models.gates.shares import Shares
from overnight.models.metrics.evaluation import Evaluation, Floats, Mask, Paired, RowMetric

# The metric that is compared by counts of rows answered right.
ACCURACY = "accuracy"
NO_ROW = "no row was compared"


class PairedComparison(Protocol):
    """By how much the candidate is better on the same rows, and how surely."""

    @property
    def n(self) -> int:
        """Rows, or units of rows that belong together."""

    @property
    def difference(self) -> float:
        """Above zero when the candidate is better, whichever way the metric points."""

    def chance_if_at_most(self, bound: float) -> float:
        """The p-value of `the true difference is at most bound` against `it is above`."""

    def chance_if_at_least(self, bound: float) -> float:
        """The p-value of `the true difference is at least bound` against `it is below`."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """The difference's interval, alpha outside at either end."""


def difference_interval(paired: Paired, *, alpha: float = 0.025) -> tuple[float, float, float]:
    """Candidate's share of right answers minus the champion's, with its interval (Tango 1998)."""
    shares = _shares(paired)
    return (shares.difference, *shares.interval(alpha))


def with_champion(evaluation: Evaluation, metric: str, slice: str) -> PairedComparison | str:
    """The comparison with the champion on a slice, or why there is none."""
    if metric == ACCURACY and (paired := evaluation.counts(slice)) is not None:
        return _shares(paired) if paired.n else NO_ROW
    try:
        mine = _named(evaluation.rows, metric)
        return _row_by_row(evaluation, slice, mine, _named(evaluation.champion_rows, metric))
    except _IncomparableError as why:
        return str(why)


def with_baseline(
    evaluation: Evaluation, metric: str, baseline: str, slice: str
) -> PairedComparison | str:
    """The comparison with a trivial rule on a slice, or why there is none."""
    try:
        mine = _named(evaluation.rows, metric)
        return _row_by_row(evaluation, slice, mine, _named(evaluation.rows, baseline))
    except _IncomparableError as why:
        return str(why)


class _IncomparableError(Exception):
    """Why two cannot be compared on a slice."""


def _shares(paired: Paired) -> Shares:
    return Shares(n=paired.n, better=paired.only_candidate, worse=paired.only_champion)


def _named(rows: Sequence[RowMetric], metric: str) -> RowMetric:
    for one in rows:
        if one.metric == metric:
            return one
    raise _IncomparableError(f"{metric} was not told row by row")


def _row_by_row(
    evaluation: Evaluation, slice: str, mine: RowMetric, theirs: RowMetric
) -> PairedComparison:
    if len(mine.values) != len(theirs.values):
        raise _IncomparableError(f"{mine.metric} and {theirs.metric} are not of the same rows")
    mask = evaluation.mask(slice, len(mine.values))
    if mask is None:
        raise _IncomparableError(f"no slice is called {slice}")
    if not mask.any():
        raise _IncomparableError(NO_ROW)
    gains, weights = _gains(mine, theirs, mask)
    if mine.units is not None:
        _, unit = np.unique(mine.units[mask], return_inverse=True)
        totals = np.bincount(unit, gains).astype(float), np.bincount(unit, weights).astype(float)
        return Resampled(*totals, rows=len(gains))
    if np.all(np.isin(gains, (-1, 0, 1))) and np.all(weights == 1):
        return Shares(n=len(gains), better=int((gains > 0).sum()), worse=int((gains < 0).sum()))
    return Resampled(gains, weights, rows=len(gains))


def _gains(mine: RowMetric, theirs: RowMetric, mask: Mask) -> tuple[Floats, Floats]:
    """By how much the candidate is better on each row of a slice, and what each row counts."""
    gains = mine.values[mask].astype(float) - theirs.values[mask].astype(float)
    weights = np.ones(len(gains)) if mine.weights is None else mine.weights[mask].astype(float)
    unknown = int(np.sum(~np.isfinite(gains) | ~np.isfinite(weights)))
    if unknown:
        raise _IncomparableError(f"{mine.metric} is not a number on {unknown:,} rows")
    if weights.min() < 0 or weights.sum() <= 0:
        raise _IncomparableError(f"the weights of {mine.metric} are negative or add up to nothing")
    return (gains if mine.better == "higher" else -gains), weights
