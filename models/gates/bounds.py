"""Gates that hold one metric against a number: `AtLeast`, `AtMost`, `Calibrated`, `Robust`."""

from collections.abc import Iterable
from dataclasses import dataclass

from overnight.models.gates.gate import MINIMUM_ROWS, WHOLE, Gate, broken, check, finding, too_small
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Finding, Measurement


@dataclass(frozen=True)
class AtLeast:
    """The metric reaches the bound on every slice.

    With `confident`, the lower end of its 95 % interval must reach it, not only the metric. With
    `optional`, a named slice of too few rows is not applicable: for what not every source has.
    """

    metric: str
    bound: float
    slices: tuple[str, ...] = WHOLE
    minimum_rows: int = MINIMUM_ROWS
    confident: bool = False
    optional: bool = False

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, bound=self.bound)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            found = evaluation.measured(self.metric, slice)
            if self.optional and slice and found and found.n < self.minimum_rows:
                yield too_small(self, self.metric, slice, found.n, self.minimum_rows)
            else:
                yield _held(self, evaluation, slice, sign=1)


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

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, bound=self.bound)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield _held(self, evaluation, slice, sign=-1)


@dataclass(frozen=True)
class Calibrated:
    """Confidences mean what they say: the expected calibration error is at most this.

    The estimate (Guo et al. 2017) is biased upwards: it sums absolute gaps, so even a perfectly
    calibrated classifier shows some, the more the fewer rows there are (Kumar et al. 2019,
    Roelofs et al. 2022). That errs on the side of refusing, and the finding says how much of
    the value chance alone would explain (`calibration_floor`, where it was measured).
    """

    at_most: float
    slices: tuple[str, ...] = WHOLE
    minimum_rows: int = 1_000
    metric: str = "calibration_error"
    floor: str = "calibration_floor"

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, at_most=self.at_most)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            found = evaluation.measured(self.metric, slice)
            why = broken(found, self.metric, self.minimum_rows)
            if why is not None or found is None:
                yield _unheld(self, self.metric, slice, why, self.at_most, found)
                continue
            floor = evaluation.measured(self.floor, slice)
            chance = (
                f"; {floor.value:.4f} would be chance on {found.n:,} rows"
                if broken(floor, self.floor, 1) is None and floor is not None
                else ""
            )
            yield finding(
                self,
                self.metric,
                slice=slice,
                passed=found.value <= self.at_most,
                message=f"{found.value:.4f}, at most {self.at_most:g}{chance}",
                value=found.value,
                bound=self.at_most,
                n=found.n,
            )


@dataclass(frozen=True)
class Robust:
    """The metric reaches the bound under each of the model's declared perturbations."""

    at_least: float
    perturbations: tuple[str, ...]
    metric: str = "accuracy"
    minimum_rows: int = MINIMUM_ROWS

    def __post_init__(self) -> None:
        names = self.perturbations
        check(self, minimum_rows=self.minimum_rows, names=names, at_least=self.at_least)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for name in self.perturbations:
            found = evaluation.measured(self.metric, name)
            why = broken(found, self.metric, self.minimum_rows)
            if why is not None or found is None:
                yield _unheld(self, self.metric, name, why, self.at_least, found)
                continue
            plain = evaluation.measured(self.metric)
            unperturbed = f", {plain.value:.4f} unperturbed" if plain is not None else ""
            yield finding(
                self,
                self.metric,
                slice=name,
                passed=found.value >= self.at_least,
                message=f"{found.value:.4f}{unperturbed}, at least {self.at_least:g}",
                value=found.value,
                bound=self.at_least,
                n=found.n,
            )


def _held(gate: AtLeast | AtMost, evaluation: Evaluation, slice: str, *, sign: int) -> Finding:
    found = evaluation.measured(gate.metric, slice)
    why = broken(found, gate.metric, gate.minimum_rows)
    if why is not None or found is None:
        return _unheld(gate, gate.metric, slice, why, gate.bound, found)
    end = (found.low if sign > 0 else found.high) if gate.confident else found.value
    if end is None:
        why = f"{gate.metric} has no interval to be confident of"
        return _unheld(gate, gate.metric, slice, why, gate.bound, found)
    told = f"{found.value:.4f}"
    if found.low is not None and found.high is not None:
        told += f" (95 % between {found.low:.4f} and {found.high:.4f})"
    return finding(
        gate,
        gate.metric,
        slice=slice,
        passed=sign * end >= sign * gate.bound,
        message=f"{told}, {'confidently ' if gate.confident else ''}"
        f"at {'least' if sign > 0 else 'most'} {gate.bound:g}",
        value=found.value,
        bound=gate.bound,
        n=found.n,
        low=found.low,
        high=found.high,
    )


def _unheld(
    gate: Gate,
    metric: str,
    slice: str,
    why: str | None,
    bound: float,
    found: Measurement | None,
) -> Finding:
    return finding(
        gate,
        metric,
        slice=slice,
        passed=False,
        message=why or f"{metric} was not measured",
        bound=bound,
        n=found.n if found else None,
    )
