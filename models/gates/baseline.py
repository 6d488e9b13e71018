"""`BetterThan`: comparison with a trivial baseline."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from overnight.models.gates.comparing import with_baseline
from overnight.models.gates.gate import ALPHA, MINIMUM_ROWS, WHOLE, check, finding, too_few
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Direction, Finding


@dataclass(frozen=True)
class BetterThan:
    """The candidate is significantly better than a trivial rule: majority class, seasonal naive.

    Both metrics come from the model's `per_row`, and are compared on the same rows. A candidate no
    better than the rule passes with probability at most alpha.
    """

    metric: str
    baseline: str
    slices: tuple[str, ...] = WHOLE
    alpha: float = ALPHA
    minimum_rows: int = MINIMUM_ROWS
    direction: ClassVar[Direction] = "at least"

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=self.slices, alpha=self.alpha)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        for slice in self.slices:
            yield self._finding(evaluation, slice)

    def _finding(self, evaluation: Evaluation, slice: str) -> Finding:
        comparison = with_baseline(evaluation, self.metric, self.baseline, slice)
        if isinstance(comparison, str):
            return finding(self, self.metric, slice=slice, passed=False, message=comparison)
        n = comparison.n
        if (why := too_few(n, self.minimum_rows)) is not None:
            return finding(self, self.metric, slice=slice, passed=False, message=why, n=n)
        p = comparison.p_value_at_most(0)
        low, high = comparison.interval(self.alpha)
        return finding(
            self,
            self.metric,
            slice=slice,
            passed=p <= self.alpha,
            message=f"{comparison.difference:+.4f} compared with {self.baseline} (above zero is "
            f"better), superiority: p = {p:.2g}, needs ≤ {self.alpha:g}; {comparison}",
            value=comparison.difference,
            bound=0.0,
            n=n,
            low=low,
            high=high,
            p=p,
            alpha=self.alpha,
        )
