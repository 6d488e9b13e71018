"""Gates that compare with the champion on the same rows, and say how surely."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from overnight.models.gates.comparing import ACCURACY, NO_ROW, PairedComparison, with_champion
from overnight.models.gates.gate import (
    ALPHA,
    WHOLE,
    Gate,
    check,
    finding,
    mistake,
    too_few,
    too_small,
)
from overnight.models.gates.holm import holm
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Finding

# With fewer pairs hardly anything can be shown, and a bootstrap's error is not what it says.
MINIMUM_PAIRS = 100


@dataclass(frozen=True)
class MaximumRegression:
    """The candidate is not worse than the champion by more than the margin.

    What is presumed until the rows show otherwise decides who errs how often.

    `presumed="worse"` (a non-inferiority test): the candidate must show on every slice that it is
    not worse by the margin or more. One that is, on any of them, is promoted with probability at
    most alpha. That needs no correction for many slices, because all must hold (Berger 1982); what
    grows with their number is the chance of refusing an equal.

    `presumed="no worse"`: the candidate is refused when the rows of a slice show that it is worse
    by more than the margin. One that is nowhere so is refused with probability at most alpha,
    over all slices together (Holm 1979). For slices too small for the first.

    The margin is in the metric's units, and never negative; which way is better the metric knows.
    With `optional`, a named slice of too few rows is not applicable: for what not every source has.
    """

    margin: float
    slices: tuple[str, ...] = WHOLE
    metric: str = ACCURACY
    presumed: Literal["worse", "no worse"] = "worse"
    alpha: float = ALPHA
    minimum_rows: int = MINIMUM_PAIRS
    optional: bool = False

    def __post_init__(self) -> None:
        check(
            self,
            minimum_rows=self.minimum_rows,
            names=self.slices,
            alpha=self.alpha,
            margin=self.margin,
        )
        if self.margin == 0 and self.presumed == "worse":
            raise mistake(
                self,
                "margin",
                expected="above 0, because an equal can never show that it is not worse at all; "
                'or MinimumImprovement(0), or presumed="no worse"',
                found=self.margin,
            )

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        if self.presumed == "worse":
            return _shown(self, evaluation, -self.margin)
        return _not_shown(self, evaluation, -self.margin)


@dataclass(frozen=True)
class MinimumImprovement:
    """The candidate shows on every slice that it is better than the champion by over the margin.

    One that is not is promoted with probability at most alpha. With margin 0 this is McNemar's
    exact test. As all slices must hold, no correction for their number is needed (Berger 1982).
    """

    margin: float
    slices: tuple[str, ...] = WHOLE
    metric: str = ACCURACY
    alpha: float = ALPHA
    minimum_rows: int = MINIMUM_PAIRS

    def __post_init__(self) -> None:
        check(
            self,
            minimum_rows=self.minimum_rows,
            names=self.slices,
            alpha=self.alpha,
            margin=self.margin,
        )

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        return _shown(self, evaluation, self.margin)


_Against = MaximumRegression | MinimumImprovement


def _shown(gate: _Against, evaluation: Evaluation, bound: float) -> Iterable[Finding]:
    """Passes where the rows show a difference above the bound."""
    for slice in gate.slices:
        comparison = _comparison(gate, evaluation, slice)
        if isinstance(comparison, Finding):
            yield comparison
            continue
        p = comparison.chance_if_at_most(bound)
        told = f"were it {_in_words(bound)}, so good a result would have probability {p:.4f}"
        asked = f"at most {gate.alpha:g} is asked for"
        yield _told(
            gate, evaluation, slice, comparison, bound, p, p <= gate.alpha, f"{told}, {asked}"
        )


def _not_shown(gate: _Against, evaluation: Evaluation, bound: float) -> Iterable[Finding]:
    """Refuses where the rows show a difference below the bound, by Holm over all slices."""
    asked = {slice: _comparison(gate, evaluation, slice) for slice in gate.slices}
    tested: Mapping[str, PairedComparison] = {
        slice: found for slice, found in asked.items() if not isinstance(found, Finding)
    }
    chances = holm([found.chance_if_at_least(bound) for found in tested.values()])
    adjusted = dict(zip(tested, chances, strict=True))
    for slice, found in asked.items():
        if isinstance(found, Finding):
            yield found
            continue
        p = adjusted[slice]
        many = f", Holm's correction for {len(tested)} slices made" if len(tested) > 1 else ""
        told = (
            f"were it {_in_words(bound)}, so bad a result would have probability {p:.4f}{many}; "
            f"{gate.alpha:g} or less refuses"
        )
        yield _told(gate, evaluation, slice, found, bound, p, p > gate.alpha, told)


def _comparison(gate: _Against, evaluation: Evaluation, slice: str) -> PairedComparison | Finding:
    """The evidence, or the finding that there is none."""
    if evaluation.champion is None:
        return finding(
            gate,
            gate.metric,
            slice=slice,
            passed=True,
            applicable=False,
            message="no champion to compare with",
        )
    found = with_champion(evaluation, gate.metric, slice)
    n = 0 if found == NO_ROW else None if isinstance(found, str) else found.n
    may_miss = isinstance(gate, MaximumRegression) and gate.optional and slice
    if may_miss and n is not None and n < gate.minimum_rows:
        return too_small(gate, gate.metric, slice, n, gate.minimum_rows)
    why = found if isinstance(found, str) else too_few(found.n, gate.minimum_rows)
    if isinstance(found, str) or why is not None:
        return finding(gate, gate.metric, slice=slice, passed=False, message=why or str(found), n=n)
    return found


def _told(
    gate: Gate,
    evaluation: Evaluation,
    slice: str,
    comparison: PairedComparison,
    bound: float,
    p: float,
    passed: bool,  # noqa: FBT001
    verdict: str,
) -> Finding:
    assert isinstance(gate, _Against)
    low, high = comparison.interval(gate.alpha)
    sure = f"{100 - 200 * gate.alpha:.4g} %"
    return finding(
        gate,
        gate.metric,
        slice=slice,
        passed=passed,
        message=f"{comparison.difference:+.4f} beside {evaluation.champion}, above zero being "
        f"better, {sure} between {low:+.4f} and {high:+.4f} ({comparison}); {verdict}",
        value=comparison.difference,
        bound=bound,
        n=comparison.n,
        low=low,
        high=high,
        p=p,
        alpha=gate.alpha,
    )


def _in_words(bound: float) -> str:
    if bound == 0:
        return "no better and no worse in truth"
    return f"{'worse' if bound < 0 else 'better'} by {abs(bound):g} in truth"
