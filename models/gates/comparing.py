"""Paired comparisons: metrics of the candidate and of another on the same rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from overnight.models.gates.resampling import PairedBootstrap
from overnight.models.gates.shares import PairedShares
from overnight.models.metrics.evaluation import Evaluation, Floats, Mask, Paired, RowMetric

# The metric that is compared by counts of rows answered right.
ACCURACY = "accuracy"
NO_ROW = "no row was compared"


class PairedComparison(Protocol):
    """The difference between the candidate and another on the same rows, with its tests."""

    @property
    def n(self) -> int:
        """The number of independent units: rows, or groups of rows that belong together."""

    @property
    def difference(self) -> float:
        """Above zero when the candidate is better, whichever way the metric points."""

    def p_value_at_most(self, bound: float) -> float:
        """The p-value of `the true difference is at most bound` against `it is above`."""

    def p_value_at_least(self, bound: float) -> float:
        """The p-value of `the true difference is at least bound` against `it is below`."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """The difference's interval, alpha outside at either end."""


def difference_interval(paired: Paired, *, alpha: float = 0.025) -> tuple[float, float, float]:
    """Candidate's share of right answers minus the champion's, with its interval (Tango 1998)."""
    shares = _paired_shares(paired)
    return (shares.difference, *shares.interval(alpha))


def with_champion(evaluation: Evaluation, metric: str, slice: str) -> PairedComparison | str:
    """The comparison with the champion on a slice, or why there is none."""
    if evaluation.incomparable:
        return f"{evaluation.champion} cannot answer these rows: {evaluation.incomparable}"
    # Counts know no groups: rows that belong together are resampled together.
    grouped = any(row.metric == ACCURACY and row.units is not None for row in evaluation.rows)
    if metric == ACCURACY and not grouped and (paired := evaluation.counts(slice)) is not None:
        return _paired_shares(paired) if paired.n else NO_ROW
    if evaluation.left_out:
        evaluation = replace(
            evaluation, rows=evaluation.compared_rows, slices=evaluation.compared_slices
        )
    try:
        ours = _row_metric(evaluation.rows, metric)
        return _compare_rows(evaluation, slice, ours, _row_metric(evaluation.champion_rows, metric))
    except _IncomparableError as reason:
        return str(reason)


def with_baseline(
    evaluation: Evaluation, metric: str, baseline: str, slice: str
) -> PairedComparison | str:
    """The comparison with a trivial rule on a slice, or why there is none."""
    try:
        ours = _row_metric(evaluation.rows, metric)
        return _compare_rows(evaluation, slice, ours, _row_metric(evaluation.rows, baseline))
    except _IncomparableError as reason:
        return str(reason)


class _IncomparableError(Exception):
    """The reason why two cannot be compared on a slice."""


def _paired_shares(paired: Paired) -> PairedShares:
    return PairedShares(n=paired.n, better=paired.only_candidate, worse=paired.only_champion)


def _row_metric(rows: Sequence[RowMetric], metric: str) -> RowMetric:
    for row_metric in rows:
        if row_metric.metric == metric:
            return row_metric
    raise _IncomparableError(f"{metric} was not measured row by row")


def _compare_rows(
    evaluation: Evaluation, slice: str, ours: RowMetric, theirs: RowMetric
) -> PairedComparison:
    if len(ours.values) != len(theirs.values):
        raise _IncomparableError(f"{ours.metric} and {theirs.metric} are not of the same rows")
    mask = evaluation.mask(slice, len(ours.values))
    if mask is None:
        raise _IncomparableError(f"no slice is called {slice}")
    if not mask.any():
        raise _IncomparableError(NO_ROW)
    gains, weights = _gains(ours, theirs, mask)
    units = None if ours.units is None else ours.units[mask]
    # Rows that weigh nothing and gain nothing are no evidence: a recall is of its class alone.
    counted = (weights != 0) | (gains != 0)
    gains, weights = gains[counted], weights[counted]
    if units is not None:
        _, unit = np.unique(units[counted], return_inverse=True)
        totals = np.bincount(unit, gains).astype(float), np.bincount(unit, weights).astype(float)
        return PairedBootstrap(*totals, rows=len(gains))
    # Influences are no answers, however they happen to differ.
    if ours.joint is None and np.all(np.isin(gains, (-1, 0, 1))) and np.all(weights == 1):
        return PairedShares(
            n=len(gains), better=int((gains > 0).sum()), worse=int((gains < 0).sum())
        )
    return PairedBootstrap(gains, weights, rows=len(gains))


def _gains(ours: RowMetric, theirs: RowMetric, mask: Mask) -> tuple[Floats, Floats]:
    """How much better the candidate is on each row of a slice, and the weight of each row."""
    mine, weights = ours.chosen(mask)
    gains = mine - theirs.chosen(mask)[0]
    unknown = int(np.sum(~np.isfinite(gains) | ~np.isfinite(weights)))
    if unknown:
        raise _IncomparableError(f"{ours.metric} is not a number on {unknown:,} rows")
    if weights.min() < 0 or weights.sum() <= 0:
        raise _IncomparableError(f"the weights of {ours.metric} are negative or add up to 0")
    return (gains if ours.better == "higher" else -gains), weights
