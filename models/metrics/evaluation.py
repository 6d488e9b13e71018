"""Evaluation of a candidate: metrics and comparisons, the input of gates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Units = NDArray[np.integer]


# Of the rows of a mask, [n], influences on a metric of all of them together, [k]: their mean is the
# metric on these rows, and their spread its variance.
Influences = Callable[[Mask], Floats]


@dataclass(frozen=True, eq=False)
class Joint:
    """A metric of rows that are no summands of it.

    `scale` says between which ends it lies: `share` from 0 to 1, `positive` from 0, `any` has none.
    `evidence` counts the rows of a mask that carry it: the rarer class of an area under a curve.
    """

    influences: Influences
    scale: Literal["share", "positive", "any"]
    evidence: Callable[[Mask], int]


@dataclass(frozen=True, eq=False)
class RowMetric:
    """A metric row by row: on any rows it is the sum of `values` over the sum of `weights`.

    A mean has no weights (each row counts once); a ratio such as the weighted absolute percentage
    error has absolute errors as values and sales as weights. Rows with the same number in `units`
    are correlated (a day, a store, a writer) and resampled together; without it rows are
    independent.

    A metric of all rows together, such as an area under a curve or a root, is no such sum.
    `joint` has it (`models/metrics/joint.py`); `values` are then its influences on all rows.
    """

    metric: str
    values: Floats
    better: Literal["higher", "lower"]
    weights: Floats | None = None
    units: Units | None = None
    joint: Joint | None = None

    def __post_init__(self) -> None:
        parts = (part for part in (self.values, self.weights, self.units) if part is not None)
        shapes = {part.shape for part in parts}
        if len(shapes) != 1 or self.values.ndim != 1:
            raise ConfigurationError(
                f"{self.metric} row by row: expected values, weights and units of one shape [n], "
                f"found {sorted(shapes)}; correct the model's `per_row`"
            )

    def chosen(self, mask: Mask) -> tuple[Floats, Floats]:
        """The values and weights of the rows of a mask, [k] each.

        Those of a metric of all rows together are its influences on these rows alone.
        """
        if self.joint is not None:
            influences = self.joint.influences(mask)
            return influences, np.ones(len(influences))
        weights = np.ones(len(self.values)) if self.weights is None else self.weights
        return self.values[mask].astype(float), weights[mask].astype(float)


@dataclass(frozen=True)
class Paired:
    """Counts of right answers of candidate and champion on the same rows of one slice.

    Only rows on which they differ show which is better.
    """

    slice: str
    both: int
    only_candidate: int
    only_champion: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.only_candidate + self.only_champion + self.neither


@dataclass(frozen=True)
class Changed:
    """The rows in which a further output differs; `exact` for outputs of flags or codes.

    `largest_difference` is over all numbers of the output.
    """

    output: str
    rows: int
    exact: bool
    largest_difference: float = 0.0


@dataclass(frozen=True)
class Sameness:
    """Differences of the exported predictor's outputs from the trained network's, on the holdout.

    `largest_difference` is over all numbers of the first output; `changed_answers` counts its rows
    with another class, or with numbers out of tolerance; `further` those of each further output.
    """

    n: int
    largest_difference: float
    changed_answers: int
    further: tuple[Changed, ...] = ()


@dataclass(frozen=True)
class Rehearsal:
    """Outputs and costs of the real serving application, measured over HTTP.

    `largest_difference`, `changed_answers` and `further` are between its answers and the trained
    network's, as in `Sameness`. `row_ms` is the time of a row alone, and `row_ms_in_eight`
    that of a row in a request of eight.
    """

    n: int
    largest_difference: float
    changed_answers: int
    p50_ms: float
    p99_ms: float
    resident_mb: float
    size_mb: float
    row_ms: float = 0.0
    row_ms_in_eight: float = 0.0
    further: tuple[Changed, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """A candidate's metrics on the holdout, and its comparison with the champion on those rows.

    `champion` is None while nothing serves; `paired` is then empty. `rows` and `champion_rows`
    are the metrics row by row, `slices` the masks of the holdout's rows by name. `incomparable`
    says why the champion cannot answer these rows; then nothing of it is measured. Where it can
    answer only some, `left_out` says which not and why; `compared_rows` and `compared_slices` are
    the candidate's own on the rows that both answered, and all that is the champion's is of these.
    While two sets of a holdout judge, `holdout` names this one's, and `older` has the other.
    """

    measurements: tuple[Measurement, ...]
    champion: str | None = None
    champion_measurements: tuple[Measurement, ...] = ()
    paired: tuple[Paired, ...] = ()
    rehearsal: Rehearsal | None = None
    exported: Sameness | None = None
    rows: tuple[RowMetric, ...] = ()
    champion_rows: tuple[RowMetric, ...] = ()
    slices: Mapping[str, Mask] = field(default_factory=dict)
    incomparable: str = ""
    left_out: str = ""
    compared_rows: tuple[RowMetric, ...] = ()
    compared_slices: Mapping[str, Mask] = field(default_factory=dict)
    holdout: str = ""
    older: tuple["Evaluation", ...] = ()

    def measured(self, metric: str, slice: str = "") -> Measurement | None:
        """The candidate's measurement of a metric on a slice, or None."""
        return _find(self.measurements, metric, slice)

    def champion_measured(self, metric: str, slice: str = "") -> Measurement | None:
        """The champion's measurement on the same rows, or None."""
        return _find(self.champion_measurements, metric, slice)

    def counts(self, slice: str = "") -> Paired | None:
        """The counts of a slice, or None where candidate and champion were not compared."""
        return next((paired for paired in self.paired if paired.slice == slice), None)

    def mask(self, slice: str, n: int) -> Mask | None:
        """The rows of a slice, all n of them for the whole holdout; None for an unknown name."""
        return np.ones(n, bool) if slice == "" else self.slices.get(slice)


def _find(measurements: tuple[Measurement, ...], metric: str, slice: str) -> Measurement | None:
    for measurement in measurements:
        if (measurement.metric, measurement.slice) == (metric, slice):
            return measurement
    return None
