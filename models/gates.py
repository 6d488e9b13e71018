"""The vocabulary of gates: small frozen values that a model declares and an evaluation answers.

Bounds are inclusive and named so that signs cannot be confused. A metric that is missing, not a
number or measured on no row fails. A comparison without a champion is not applicable, and says so.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from models.evaluation import Evaluation, Paired
from models.metrics import Z95
from store.manifest import Finding, Measurement

WHOLE = ("",)


class Gate(Protocol):
    """Something a candidate must satisfy."""

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        """One finding for each slice the gate looks at."""


@dataclass(frozen=True)
class AtLeast:
    """The metric reaches the bound on every slice."""

    metric: str
    bound: float
    slices: tuple[str, ...] = WHOLE

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield _held(self, evaluation, slice, sign=1)


@dataclass(frozen=True)
class AtMost:
    """The metric stays at or below the bound on every slice."""

    metric: str
    bound: float
    slices: tuple[str, ...] = WHOLE

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield _held(self, evaluation, slice, sign=-1)


@dataclass(frozen=True)
class BetterThan:
    """The lower end of the metric's interval beats what a trivial rule reaches."""

    metric: str
    baseline: str

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        mine, trivial = evaluation.measured(self.metric), evaluation.measured(self.baseline)
        if (broken := _broken(mine, self.metric) or _broken(trivial, self.baseline)) is not None:
            yield _finding(self, self.metric, passed=False, message=broken)
            return
        assert mine is not None
        assert trivial is not None
        low = mine.low if mine.low is not None else mine.value
        yield _finding(
            self,
            self.metric,
            passed=low > trivial.value,
            message=f"{self.metric} {mine.value:.4f}, at least {low:.4f}; "
            f"{self.baseline} {trivial.value:.4f}",
            value=low,
            bound=trivial.value,
            n=mine.n,
        )


@dataclass(frozen=True)
class MaximumRegression:
    """The share of right answers is not lower than the champion's by more than the margin.

    Paired on the same rows: passes when the lower end of the difference's 95 % interval is at or
    above minus the margin.
    """

    margin: float
    slices: tuple[str, ...] = WHOLE
    metric: str = "accuracy"

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield _compared(self, evaluation, slice, bound=-self.margin)


@dataclass(frozen=True)
class MinimumImprovement:
    """The share of right answers is higher than the champion's by at least the margin."""

    margin: float
    slices: tuple[str, ...] = WHOLE
    metric: str = "accuracy"

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield _compared(self, evaluation, slice, bound=self.margin)


@dataclass(frozen=True)
class SamePredictions:
    """Served answers equal those of the trained network.

    At most `changed_share` of the rows may change their most probable class, and no
    probability may move by more than `tolerance`.
    """

    tolerance: float
    changed_share: float = 0.0

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        rehearsal = evaluation.rehearsal
        if rehearsal is None or rehearsal.n == 0:
            yield _finding(self, "served answers", passed=False, message="nothing was rehearsed")
            return
        changed = rehearsal.changed_answers / rehearsal.n
        for metric, value, bound in (
            ("changed answers", changed, self.changed_share),
            ("largest difference", rehearsal.largest_difference, self.tolerance),
        ):
            yield _finding(
                self,
                metric,
                passed=value <= bound,
                message=f"{value:.6g} over HTTP against the trained network, at most {bound:g}",
                value=value,
                bound=bound,
                n=rehearsal.n,
            )


@dataclass(frozen=True)
class WithinBudget:
    """What a version costs in rehearsal: milliseconds at p99, MB resident, MB on disk."""

    p99_ms: float
    resident_mb: float
    size_mb: float

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        rehearsal = evaluation.rehearsal
        if rehearsal is None:
            yield _finding(self, "cost", passed=False, message="nothing was rehearsed")
            return
        for metric in ("p99_ms", "resident_mb", "size_mb"):
            value, bound = getattr(rehearsal, metric), getattr(self, metric)
            yield _finding(
                self,
                metric,
                passed=value <= bound,
                message=f"{value:.3g}, at most {bound:g}",
                value=value,
                bound=bound,
            )


def difference_interval(paired: Paired) -> tuple[float, float, float]:
    """Candidate's share of right answers minus the champion's, with its 95 % interval.

    The adjusted Wald interval for paired proportions (Agresti and Min 2005): half a row is added
    to each of the four cells, which keeps its coverage when few rows differ.
    """
    n = paired.n + 2
    better, worse = paired.only_candidate + 0.5, paired.only_champion + 0.5
    centre = (better - worse) / n
    half = Z95 * math.sqrt(max((better + worse) - (better - worse) ** 2 / n, 0)) / n
    return (paired.only_candidate - paired.only_champion) / paired.n, centre - half, centre + half


def _compared(
    gate: MaximumRegression | MinimumImprovement,
    evaluation: Evaluation,
    slice: str,
    *,
    bound: float,
) -> Finding:
    if evaluation.champion is None:
        return _finding(
            gate,
            gate.metric,
            slice=slice,
            passed=True,
            applicable=False,
            message="no champion to compare with",
        )
    paired = next((paired for paired in evaluation.paired if paired.slice == slice), None)
    if paired is None or paired.n == 0:
        return _finding(gate, gate.metric, slice=slice, passed=False, message="no row was compared")
    difference, low, high = difference_interval(paired)
    return _finding(
        gate,
        gate.metric,
        slice=slice,
        passed=low >= bound,
        message=f"{difference:+.4f} against {evaluation.champion}, 95 % between {low:+.4f} and "
        f"{high:+.4f}: right where it was wrong {paired.only_candidate}, "
        f"wrong where it was right {paired.only_champion}",
        value=low,
        bound=bound,
        n=paired.n,
    )


def _held(gate: AtLeast | AtMost, evaluation: Evaluation, slice: str, *, sign: int) -> Finding:
    measurement = evaluation.measured(gate.metric, slice)
    if (broken := _broken(measurement, gate.metric)) is not None:
        return _finding(
            gate, gate.metric, slice=slice, passed=False, message=broken, bound=gate.bound
        )
    assert measurement is not None
    return _finding(
        gate,
        gate.metric,
        slice=slice,
        passed=sign * measurement.value >= sign * gate.bound,
        message=f"{measurement.value:.4f}, at {'least' if sign > 0 else 'most'} {gate.bound:g}",
        value=measurement.value,
        bound=gate.bound,
        n=measurement.n,
    )


def _broken(measurement: Measurement | None, metric: str) -> str | None:
    """Why a measurement cannot be held against a bound, or None when it can."""
    if measurement is None:
        return f"{metric} was not measured"
    if not math.isfinite(measurement.value):
        return f"{metric} is {measurement.value}"
    return f"{metric} was measured on no row" if measurement.n == 0 else None


def _finding(
    gate: Gate,
    metric: str,
    *,
    passed: bool,
    message: str,
    slice: str = "",
    value: float | None = None,
    bound: float | None = None,
    n: int | None = None,
    applicable: bool = True,
) -> Finding:
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=slice,
        passed=passed,
        message=message,
        value=value,
        bound=bound,
        n=n,
        applicable=applicable,
    )
