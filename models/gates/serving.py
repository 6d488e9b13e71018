"""Gates on the version as it will be served: `SamePredictions`, `WithinBudget`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from overnight.models.gates.gate import check, finding
from overnight.models.metrics.evaluation import Evaluation, Rehearsal, Sameness
from overnight.store.registry.manifest import Direction, Finding


@dataclass(frozen=True)
class SamePredictions:
    """The exported predictor, and the same over HTTP, answer as the trained network did.

    At most `changed_share` of the rows may have another answer: another class where there are
    classes, numbers out of the model's `tolerance`, or an embedding that points elsewhere. No
    number of the first output may move by more than `tolerance`; where that is given by output, no
    number of those that are named. Each further output may differ on that share of rows, too, and
    one of flags or vocabulary codes on none.
    """

    tolerance: float | Mapping[str, float]
    changed_share: float = 0.0
    direction: ClassVar[Direction] = "at most"

    def __post_init__(self) -> None:
        bounds = self.tolerance if isinstance(self.tolerance, Mapping) else {"": self.tolerance}
        for tolerance in bounds.values():
            check(self, minimum_rows=1, tolerance=tolerance, changed_share=self.changed_share)

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        yield from self._compare("exported", "the exported predictor", evaluation.exported)
        yield from self._compare("over HTTP", "serving, over HTTP", evaluation.rehearsal)

    def _compare(
        self, how: str, who: str, answers: Sameness | Rehearsal | None
    ) -> Iterable[Finding]:
        if answers is None or answers.n == 0:
            missing = f"{who}: no answer was compared with training"
            yield finding(self, f"answers {how}", passed=False, message=missing)
            return
        changed = answers.changed_answers / answers.n
        for metric, value, bound in (
            ("changed answers", changed, self.changed_share),
            *self._largest(answers),
        ):
            yield finding(
                self,
                f"{metric} {how}",
                passed=value <= bound,
                message=f"{who}: {value:.6g} against the trained network, at most {bound:g}",
                value=value,
                bound=bound,
                n=answers.n,
            )
        for further in answers.further:
            value, bound = further.rows / answers.n, 0.0 if further.exact else self.changed_share
            yield finding(
                self,
                f"changed {further.output} {how}",
                passed=value <= bound,
                message=f"{who}: {further.output} differs on {further.rows:,} of {answers.n:,} "
                f"rows from the trained network's, a share of at most {bound:g} may",
                value=value,
                bound=bound,
                n=answers.n,
            )

    def _largest(self, answers: Sameness | Rehearsal) -> Iterable[tuple[str, float, float]]:
        """The largest difference of each bounded output, and its bound."""
        if not isinstance(self.tolerance, Mapping):
            yield "largest difference", answers.largest_difference, self.tolerance
            return
        by_output = {further.output: further.largest_difference for further in answers.further}
        for output, bound in self.tolerance.items():
            # The first output is not among the further ones, and has no name here.
            value = by_output.get(output, answers.largest_difference)
            yield f"largest difference of {output}", value, bound


@dataclass(frozen=True)
class WithinBudget:
    """What a version costs in rehearsal: milliseconds at p99, MB resident, MB on disk."""

    p99_ms: float
    resident_mb: float
    size_mb: float
    direction: ClassVar[Direction] = "at most"

    def __post_init__(self) -> None:
        check(
            self,
            minimum_rows=1,
            p99_ms=self.p99_ms,
            resident_mb=self.resident_mb,
            size_mb=self.size_mb,
        )

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        rehearsal = evaluation.rehearsal
        for metric in ("p99_ms", "resident_mb", "size_mb"):
            bound = getattr(self, metric)
            if rehearsal is None or rehearsal.n == 0:
                why = "nothing was rehearsed"
                yield finding(self, metric, passed=False, message=why, bound=bound)
                continue
            value = getattr(rehearsal, metric)
            yield finding(
                self,
                metric,
                passed=value <= bound,
                message=f"{value:.3g}, at most {bound:g}",
                value=value,
                bound=bound,
            )
