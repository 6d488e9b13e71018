"""Gates that a version must pass, and data gates that rows must pass before training."""

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.gates import (
    AtLeast,
    BetterThan,
    Gate,
    MaximumRegression,
    SamePredictions,
    WithinBudget,
)
from overnight.store.schema import TensorSpec
from tests.support.small_models.sales.schema import MOST, WEEK_AGO, WEEKDAY, YESTERDAY

GATES: tuple[Gate, ...] = (
    # Intervals nominally cover 80 % of the true values.
    AtLeast("interval_coverage", 0.6),
    BetterThan("wape", baseline="week_ago_wape"),
    # At most so much worse than the champion on the same rows.
    MaximumRegression(metric="wape", margin=0.03),
    # Exported and served over HTTP, it answers as it did in training: no number moves by more than
    # so many pieces, and hardly a row has another forecast.
    SamePredictions(tolerance=1.0, changed_share=0.002),
    WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
)

DAY = TensorSpec(name="day", datatype="INT32", shape=(), minimum=0)
UNITS = TensorSpec(name="units", datatype="FP32", shape=(), minimum=0, maximum=MOST)
DATA_GATES = DataGates(
    columns=tuple(map(Column, (DAY, WEEKDAY, YESTERDAY, WEEK_AGO, UNITS))),
    minimum_rows=100,
    class_rows=0,
)
