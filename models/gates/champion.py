"""Gates that compare with the champion on the same rows, by tests of a known error rate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from overnight.models.gates.comparing import ACCURACY, NO_ROW, PairedComparison, with_champion
from overnight.models.gates.gate import (
    ALPHA,
    WHOLE,
    Gate,
    check,
    finding,
    invalid,
    not_applicable,
    too_few,
)
from overnight.models.gates.holm import holm
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Direction, Finding

# With fewer pairs no test has power, and the bootstrap's error rate exceeds its nominal alpha.
MINIMUM_PAIRS = 100
# How the message of a finding begins that leaves the comparison to a person.
UNDECIDED = "a person decides, because it cannot be compared with"


@dataclass(frozen=True)
class MaximumRegression:
    """The candidate is not worse than the champion by more than the margin.

    The null hypothesis decides which error is bounded by alpha.

    `presumed="worse"` (a non-inferiority test): the candidate must be shown on every slice not to
    be worse by the margin or more. One that is, on any of them, is promoted with probability at
    most alpha. That needs no correction for many slices, because all must hold (Berger 1982); what
    grows with their number is the chance of refusing an equal candidate.

    `presumed="no worse"`: the candidate is refused when the rows of a slice show that it is worse
    by more than the margin. One that is nowhere so is refused with probability at most alpha,
    over all slices together (Holm 1979). For slices too small for the first.

    The margin is in the metric's units, and never negative; the metric defines which way is better.
    With `optional`, a named slice of too few rows is not applicable: for slices a source may lack.
    """

    margin: float
    slices: tuple[str, ...] = WHOLE
    metric: str = ACCURACY
    presumed: Literal["worse", "no worse"] = "worse"
    alpha: float = ALPHA
    minimum_rows: int = MINIMUM_PAIRS
    optional: bool = False
    direction: ClassVar[Direction] = "at least"

    def __post_init__(self) -> None:
        check(
            self,
            minimum_rows=self.minimum_rows,
            names=self.slices,
            alpha=self.alpha,
            margin=self.margin,
        )
        if self.margin == 0 and self.presumed == "worse":
            raise invalid(
                self,
                "margin",
                expected="above 0, because an equal can never show that it is not worse at all; "
                'or MinimumImprovement(0), or presumed="no worse"',
                found=self.margin,
            )

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        if self.presumed == "worse":
            return _proven(self, evaluation, -self.margin)
        return _not_refuted(self, evaluation, -self.margin)


@dataclass(frozen=True)
class MinimumImprovement:
    """The candidate is shown on every slice to be better than the champion by more than the margin.

    One that is not is promoted with probability at most alpha. With margin 0 this is McNemar's
    exact test. As all slices must hold, no correction for their number is needed (Berger 1982).
    """

    margin: float
    slices: tuple[str, ...] = WHOLE
    metric: str = ACCURACY
    alpha: float = ALPHA
    minimum_rows: int = MINIMUM_PAIRS
    direction: ClassVar[Direction] = "at least"

    def __post_init__(self) -> None:
        check(
            self,
            minimum_rows=self.minimum_rows,
            names=self.slices,
            alpha=self.alpha,
            margin=self.margin,
        )

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        return _proven(self, evaluation, self.margin)


_ComparisonGate = MaximumRegression | MinimumImprovement


def _proven(gate: _ComparisonGate, evaluation: Evaluation, bound: float) -> Iterable[Finding]:
    """Passes slices where the difference is significantly above the bound."""
    for slice in gate.slices:
        comparison = _comparison(gate, evaluation, slice)
        if isinstance(comparison, Finding):
            yield comparison
            continue
        p = comparison.p_value_at_most(bound)
        test = f"{_test(bound)}: p = {p:.2g}, needs ≤ {gate.alpha:g}"
        yield _finding(gate, evaluation, slice, comparison, bound, p, p <= gate.alpha, test)


def _not_refuted(gate: _ComparisonGate, evaluation: Evaluation, bound: float) -> Iterable[Finding]:
    """Refuses slices where the difference is significantly below the bound, by Holm over all."""
    by_slice = {slice: _comparison(gate, evaluation, slice) for slice in gate.slices}
    tested: Mapping[str, PairedComparison] = {
        slice: comparison
        for slice, comparison in by_slice.items()
        if not isinstance(comparison, Finding)
    }
    p_values = holm([comparison.p_value_at_least(bound) for comparison in tested.values()])
    adjusted = dict(zip(tested, p_values, strict=True))
    for slice, comparison in by_slice.items():
        if isinstance(comparison, Finding):
            yield comparison
            continue
        p = adjusted[slice]
        corrected = f", by Holm over {len(tested)} slices" if len(tested) > 1 else ""
        test = f"{_test(bound, worse=True)}: p = {p:.2g}{corrected}, needs > {gate.alpha:g}"
        yield _finding(gate, evaluation, slice, comparison, bound, p, p > gate.alpha, test)


def _comparison(
    gate: _ComparisonGate, evaluation: Evaluation, slice: str
) -> PairedComparison | Finding:
    """The comparison with the champion, or a finding that says why there is none."""
    if evaluation.champion is None:
        return finding(
            gate,
            gate.metric,
            slice=slice,
            passed=True,
            applicable=False,
            message="no champion to compare with",
        )
    if evaluation.incomparable:
        return _undecided(gate, slice, f"{evaluation.champion}: {evaluation.incomparable}")
    comparison = with_champion(evaluation, gate.metric, slice)
    n = 0 if comparison == NO_ROW else None if isinstance(comparison, str) else comparison.n
    may_be_missing = isinstance(gate, MaximumRegression) and gate.optional and slice
    if may_be_missing and n is not None and n < gate.minimum_rows:
        return not_applicable(gate, gate.metric, slice, n, gate.minimum_rows)
    if n is not None and n < gate.minimum_rows and evaluation.left_out:
        few = f"{n:,} rows are left, at least {gate.minimum_rows:,} are needed"
        return _undecided(gate, slice, f"{evaluation.champion}: {few}; {evaluation.left_out}", n)
    reason = comparison if isinstance(comparison, str) else too_few(comparison.n, gate.minimum_rows)
    if isinstance(comparison, str) or reason is not None:
        return finding(
            gate, gate.metric, slice=slice, passed=False, message=reason or str(comparison), n=n
        )
    return comparison


def _undecided(gate: _ComparisonGate, slice: str, why: str, n: int | None = None) -> Finding:
    """The finding on a comparison that cannot be made: `Verdict.undecided` has a person decide."""
    return finding(
        gate,
        gate.metric,
        slice=slice,
        passed=True,
        applicable=False,
        message=f"{UNDECIDED} {why}",
        n=n,
    )


def _finding(
    gate: Gate,
    evaluation: Evaluation,
    slice: str,
    comparison: PairedComparison,
    bound: float,
    p: float,
    passed: bool,  # noqa: FBT001
    verdict: str,
) -> Finding:
    assert isinstance(gate, _ComparisonGate)
    low, high = comparison.interval(gate.alpha)
    left_out = f"; {evaluation.left_out}" if evaluation.left_out else ""
    confidence = f"{100 - 200 * gate.alpha:.4g} %"
    own, other = (
        evaluation.measured(gate.metric, slice),
        evaluation.champion_measured(gate.metric, slice),
    )
    both = f"{own.value:.4f} against {other.value:.4f}, " if own and other else ""
    return finding(
        gate,
        gate.metric,
        slice=slice,
        passed=passed,
        message=f"{both}{comparison.difference:+.4f} ({confidence}: {low:+.4f} to {high:+.4f}; "
        f"above zero is better), {verdict}; {comparison}, compared with {evaluation.champion}"
        f"{left_out}",
        value=comparison.difference,
        bound=bound,
        n=comparison.n,
        low=low,
        high=high,
        p=p,
        alpha=gate.alpha,
        candidate=own.value if own else None,
        champion=other.value if other else None,
    )


def _test(bound: float, *, worse: bool = False) -> str:
    """The test in the words of the field: what must be shown, and by which margin."""
    if worse:
        return f"inferiority, margin {-bound:g}"
    if bound < 0:
        return f"non-inferiority, margin {-bound:g}"
    return f"superiority{f', margin {bound:g}' if bound else ''}"
