"""Gates of sales: what a version must satisfy before it is promoted."""

from collections.abc import Mapping

import numpy as np

from overnight.models.definition import Perturbation
from overnight.models.examples import Array
from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Gate,
    MaximumRegression,
    MinimumImprovement,
    Robust,
    SamePredictions,
    WithinBudget,
)
from overnight.models.sales.schema import DEPARTMENTS
from overnight.models.sales.series import JUDGED_DAYS, SIZES

# Comparisons are by day, because the errors of one day are correlated over all stores; a week of
# days may be unknown, because their arrivals were rejected or never came.
_DAYS = JUDGED_DAYS - 7


def without(name: str) -> Perturbation:
    """A perturbation that sets every row's store or department to an unknown one."""

    def perturb(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {**inputs, name: np.zeros_like(inputs[name])}

    return perturb


def newest_day_lost(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The sales of the cut-off day are missing, and the client sends 0 for them."""
    recent = np.array(inputs["recent"])
    recent[:, -1] = 0
    return {**inputs, "recent": recent}


PERTURBATIONS: Mapping[str, Perturbation] = {
    "unknown store": without("store"),
    "unknown department": without("department"),
    "newest day lost": newest_day_lost,
}

# An earlier version is reinstated when it is better by more than a candidate may be worse, on days
# that neither has learned: a champion trained yesterday has learned none of the newest 28.
REINSTATEMENT = MinimumImprovement(margin=0.01, metric="wape", minimum_rows=_DAYS)

GATES: tuple[Gate, ...] = (
    AtMost("wape", 0.85),
    AtMost("nwrmsle", 1.0),
    AtLeast("r2", 0.3),
    BetterThan("wape", baseline="seasonal_naive_wape", minimum_rows=_DAYS),
    BetterThan("wape", baseline="mean_28_wape", minimum_rows=_DAYS),
    # Nominally 80 %; rounded outwards to whole pieces it is a little more.
    AtLeast("interval_coverage", 0.75),
    AtMost("interval_coverage", 0.95),
    # CD4ML's data has one store, of one size, and hardly a department of these names.
    AtLeast("interval_coverage", 0.7, slices=(*DEPARTMENTS, *SIZES), optional=True),
    Robust(0.7, perturbations=tuple(PERTURBATIONS), metric="interval_coverage"),
    Robust(0.3, perturbations=tuple(PERTURBATIONS), metric="r2"),
    MaximumRegression(margin=0.01, metric="wape", minimum_rows=_DAYS),
    MaximumRegression(
        margin=0,
        metric="wape",
        slices=(*DEPARTMENTS, *SIZES, "perishable"),
        presumed="no worse",
        minimum_rows=_DAYS,
        optional=True,
    ),
    MaximumRegression(margin=0.02, metric="squared_log_error", minimum_rows=_DAYS),
    # Half a piece, where the largest forecasts are of a hundred; int8 weights, when they are served
    # at all, change one forecast in a thousand, and rounding hardly any more.
    SamePredictions(tolerance=0.5, changed_share=0.002),
    WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
)
