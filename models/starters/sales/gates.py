"""What a version must show before it serves, and what rows must be before it learns from them."""

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
from overnight.models.starters.sales.schema import MOST, WEEK_AGO, WEEKDAY, YESTERDAY
from overnight.store.schema import TensorSpec

GATES: tuple[Gate, ...] = (
    # Of intervals meant for 80 % of all truths, at least so many hold theirs.
    AtLeast("interval_coverage", 0.6),
    BetterThan("wape", baseline="week_ago_wape"),
    # Beside the champion on the same rows: at most so much worse.
    MaximumRegression(metric="wape", margin=0.03),
    # Exported and asked over HTTP, it answers as it did in training: no number is further away
    # than so many pieces, and hardly a row has another forecast.
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
