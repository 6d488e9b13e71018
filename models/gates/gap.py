"""`MaximumGap`: a metric may differ by no more than so much between groups."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

from overnight.models.gates.gate import MINIMUM_ROWS, check, finding, invalid, unusable
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Direction, Finding, Measurement


@dataclass(frozen=True)
class MaximumGap:
    """The largest difference of a metric between groups is at most this.

    The groups are the slices whose names begin with `between=`, as `slices_by` makes them; those of
    fewer rows are left out, and named. With `confident`, the upper end of the gap's interval must
    be at most the bound, not only the gap.

    The interval of the difference of two groups follows from theirs (Zou and Donner 2008), and its
    upper end is the largest of all pairs: a larger true gap is beyond it with probability at most
    2.5 %, however many groups there are.
    """

    metric: str
    between: str
    at_most: float
    minimum_rows: int = MINIMUM_ROWS
    confident: bool = False
    direction: ClassVar[Direction] = "at most"

    def __post_init__(self) -> None:
        check(self, minimum_rows=self.minimum_rows, names=(self.between,), at_most=self.at_most)
        if self.at_most < 0:
            raise invalid(self, "at_most", expected="at least 0", found=self.at_most)
        if not self.between:
            raise invalid(self, "between", expected="the column of `slices_by`", found="")

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        groups = [
            measurement
            for measurement in evaluation.measurements
            if measurement.metric == self.metric
            and measurement.slice.startswith(f"{self.between}=")
        ]
        usable = [g for g in groups if unusable(g, self.metric, self.minimum_rows) is None]
        others = [f"{g.slice} ({g.n:,} rows)" for g in groups if g not in usable]
        left_out = f"; left out: {', '.join(others)}" if others else ""
        if len(usable) < 2:
            yield self._not_measured(groups, left_out)
            return
        highest = max(usable, key=lambda group: group.value)
        lowest = min(usable, key=lambda group: group.value)
        gap, (low, high) = highest.value - lowest.value, _interval(usable)
        judged = high if self.confident else gap
        if judged is None:
            yield finding(
                self,
                self.metric,
                slice=self.between,
                passed=False,
                message=f"{self.metric} has no interval to be confident of",
                bound=self.at_most,
            )
            return
        between = f" (95 % between {low:.4f} and {high:.4f})" if low is not None and high else ""
        yield finding(
            self,
            self.metric,
            slice=self.between,
            passed=judged <= self.at_most,
            message=f"{gap:.4f}{between} from {highest.value:.4f} on {highest.slice} to "
            f"{lowest.value:.4f} on {lowest.slice}, "
            f"{'confidently ' if self.confident else ''}at most {self.at_most:g}{left_out}",
            value=gap,
            bound=self.at_most,
            n=min(group.n for group in usable),
            low=low,
            high=high,
        )

    def _not_measured(self, groups: Sequence[Measurement], left_out: str) -> Finding:
        sizes = sorted((group.n for group in groups), reverse=True)
        return finding(
            self,
            self.metric,
            slice=self.between,
            passed=False,
            message=f"{self.metric} was not measured on two groups whose names begin with "
            f"{self.between}= and that have {self.minimum_rows:,} rows{left_out}; "
            f'add slices_by(rows, "{self.between}") to the examples, or more rows',
            bound=self.at_most,
            # The second largest group decides whether two can be compared at all.
            n=sizes[1] if len(sizes) > 1 else None,
        )


def _interval(groups: Sequence[Measurement]) -> tuple[float | None, float | None]:
    """The ends of the largest difference of any two groups; None without intervals of theirs."""
    lows, highs = [], []
    for first, second in permutations(groups, 2):
        if None in (first.low, first.high, second.low, second.high):
            return None, None
        assert first.low is not None and first.high is not None  # noqa: PT018
        assert second.low is not None and second.high is not None  # noqa: PT018
        difference = first.value - second.value
        lows.append(difference - math.hypot(first.value - first.low, second.high - second.value))
        highs.append(difference + math.hypot(first.high - first.value, second.value - second.low))
    # The largest difference of any two is never below 0.
    return max(0.0, *lows), max(highs)
