"""Gates that compare one metric with a bound: `AtLeast`, `AtMost`, `Calibrated`, `Robust`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from overnight.models.gates.gate import (
    MINIMUM_ROWS,
    WHOLE,
    Gate,
    check,
    finding,
    not_applicable,
    unusable,
)
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Direction, Finding, Measurement


@dataclass(frozen=True)
class AtLeast:
    """The metric reaches the bound on every slice.

    With `confident`, the lower end of its 95 % interval must reach it, not only the metric. With
    `optional`, a named slice of too few rows is not applicable: for slices that a source may lack.
    """

    metric: str
    bound: float
    slices: tuple[str, ...] = WHOLE
    minimum_rows: int = MINIMUM_ROWS
    confident: bool = False
    optional: bool = False
    direction: ClassVar[Direction] = "at least"

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, bound=self.bound)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            measurement = evaluation.measured(self.metric, slice)
            if self.optional and slice and measurement and measurement.n < self.minimum_rows:
                yield not_applicable(self, self.metric, slice, measurement.n, self.minimum_rows)
            else:
                yield _within_bound(self, evaluation, slice, sign=1)


@dataclass(frozen=True)
class AtMost:
    """The metric stays at or below the bound on every slice.

    With `confident`, the upper end of its 95 % interval must, not only the metric.
    """

    metric: str
    bound: float
    slices: tuple[str, ...] = WHOLE
    minimum_rows: int = MINIMUM_ROWS
    confident: bool = False
    direction: ClassVar[Direction] = "at most"

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, bound=self.bound)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield _within_bound(self, evaluation, slice, sign=-1)


@dataclass(frozen=True)
class Calibrated:
    """Confidences match accuracies: the expected calibration error is at most this.

    The estimate (Guo et al. 2017) is biased upwards: it sums absolute gaps, so even a perfectly
    calibrated classifier shows some, the more the fewer rows there are (Kumar et al. 2019,
    Roelofs et al. 2022). That errs on the side of refusing, and the finding
    reports how much of the value chance alone explains (`calibration_floor`, where measured).
    """

    at_most: float
    slices: tuple[str, ...] = WHOLE
    minimum_rows: int = 1_000
    metric: str = "calibration_error"
    floor: str = "calibration_floor"
    direction: ClassVar[Direction] = "at most"

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, at_most=self.at_most)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            measurement = evaluation.measured(self.metric, slice)
            reason = unusable(measurement, self.metric, self.minimum_rows)
            if reason is not None or measurement is None:
                yield _not_measured(self, self.metric, slice, reason, self.at_most, measurement)
                continue
            floor = evaluation.measured(self.floor, slice)
            by_chance = (
                f"; {floor.value:.4f} expected by chance on {measurement.n:,} rows"
                if unusable(floor, self.floor, 1) is None and floor is not None
                else ""
            )
            yield finding(
                self,
                self.metric,
                slice=slice,
                passed=measurement.value <= self.at_most,
                message=f"{measurement.value:.4f}, at most {self.at_most:g}{by_chance}",
                value=measurement.value,
                bound=self.at_most,
                n=measurement.n,
            )


@dataclass(frozen=True)
class Robust:
    """The metric reaches the bound under each of the model's declared perturbations."""

    at_least: float
    perturbations: tuple[str, ...]
    metric: str = "accuracy"
    minimum_rows: int = MINIMUM_ROWS
    direction: ClassVar[Direction] = "at least"

    def __post_init__(self) -> None:
        names = self.perturbations
        check(self, minimum_rows=self.minimum_rows, names=names, at_least=self.at_least)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for name in self.perturbations:
            measurement = evaluation.measured(self.metric, name)
            reason = unusable(measurement, self.metric, self.minimum_rows)
            if reason is not None or measurement is None:
                yield _not_measured(self, self.metric, name, reason, self.at_least, measurement)
                continue
            baseline = evaluation.measured(self.metric)
            unperturbed = f", {baseline.value:.4f} unperturbed" if baseline is not None else ""
            yield finding(
                self,
                self.metric,
                slice=name,
                passed=measurement.value >= self.at_least,
                message=f"{measurement.value:.4f}{unperturbed}, at least {self.at_least:g}",
                value=measurement.value,
                bound=self.at_least,
                n=measurement.n,
            )


def _within_bound(
    gate: AtLeast | AtMost, evaluation: Evaluation, slice: str, *, sign: int
) -> Finding:
    measurement = evaluation.measured(gate.metric, slice)
    reason = unusable(measurement, gate.metric, gate.minimum_rows)
    if reason is not None or measurement is None:
        return _not_measured(gate, gate.metric, slice, reason, gate.bound, measurement)
    judged = (
        (measurement.low if sign > 0 else measurement.high) if gate.confident else measurement.value
    )
    if judged is None:
        reason = f"{gate.metric} has no interval to be confident of"
        return _not_measured(gate, gate.metric, slice, reason, gate.bound, measurement)
    text = f"{measurement.value:.4f}"
    if measurement.low is not None and measurement.high is not None:
        text += f" (95 % between {measurement.low:.4f} and {measurement.high:.4f})"
    return finding(
        gate,
        gate.metric,
        slice=slice,
        passed=sign * judged >= sign * gate.bound,
        message=f"{text}, {'confidently ' if gate.confident else ''}"
        f"at {'least' if sign > 0 else 'most'} {gate.bound:g}",
        value=measurement.value,
        bound=gate.bound,
        n=measurement.n,
        low=measurement.low,
        high=measurement.high,
    )


def _not_measured(
    gate: Gate,
    metric: str,
    slice: str,
    reason: str | None,
    bound: float,
    measurement: Measurement | None,
) -> Finding:
    return finding(
        gate,
        metric,
        slice=slice,
        passed=False,
        message=reason or f"{metric} was not measured",
        bound=bound,
        n=measurement.n if measurement else None,
    )
