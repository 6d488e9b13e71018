"""The gates of sales fit CD4ML's one store as well as the package's four hundred."""

import numpy as np
import pyarrow as pa

from overnight.models.examples import Examples, Outputs
from overnight.models.gates import AtLeast, MaximumRegression
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.sales import DEFINITION, series
from overnight.models.sales.rows import to_columns
from overnight.models.sales.schema import GAP_DAYS
from overnight.store.registry.manifest import Finding
from tests.support.genuine_sales import day

FAMILIES = ("GROCERY I", "MEATS", "DAIRY", "PRODUCE", "DELI", "BREAD/BAKERY")
FIRST, HELD_FROM, LAST = day("2016-01-02"), day("2016-09-30"), day("2016-10-30")


def store47(first: int, last: int) -> pa.Table:
    """Ten lines a family and day, as the file of store 47 becomes rows."""
    days = np.arange(first, last + 1, dtype=np.int32)
    day_of, family = np.repeat(days, 10 * len(FAMILIES)), np.repeat(np.arange(len(FAMILIES)), 10)
    family = np.tile(family, len(days))
    draws = np.random.default_rng(first)
    return to_columns(
        pa.table(
            {
                "basket": pa.array(np.arange(len(day_of)) + 1_000 * first, pa.int64()),
                "store": pa.array(np.full(len(day_of), 47), pa.int32()),
                "department": pa.array([FAMILIES[one] for one in family]),
                "day": pa.array(day_of),
                "quantity": pa.array(draws.integers(1, 9, len(day_of)).astype(float)),
            }
        )
    )


def answered(examples: Examples, width: float) -> Outputs:
    """The truth with an interval around it, or beside it when the width is below nothing."""
    middle = examples.labels.astype(np.float32)
    return {"units": np.stack([middle - width, middle, middle + width], axis=1)}


def judged(outputs_of: float, *, left_out: int | None = None) -> list[Finding]:
    held = store47(HELD_FROM, LAST)
    if left_out is not None:
        held = held.filter(pa.array(held["day"].to_numpy() != left_out))
    examples = series.holdout_examples(store47(FIRST, HELD_FROM - 1), held)
    outputs = answered(examples, outputs_of)
    rows = DEFINITION.per_row(examples, outputs)
    evaluation = Evaluation(
        DEFINITION.measure(examples, outputs),
        champion="v1",
        rows=rows,
        champion_rows=rows,
        slices=examples.slices,
    )
    kinds = (AtLeast, MaximumRegression)
    gates = [one for one in DEFINITION.gates if isinstance(one, kinds) and one.slices != ("",)]
    assert len(gates) == 2
    return [found for gate in gates for found in gate.findings(evaluation)]


def test_no_gate_asks_for_a_slice_that_one_store_cannot_have() -> None:
    found = judged(1.0)

    assert [one.message for one in found if not one.passed] == []
    missing = {one.slice for one in found if not one.applicable}
    assert {"GROCERY", "middle stores", "large stores"} <= missing
    assert "small stores" not in missing


def test_what_one_store_has_is_held_to_the_bound() -> None:
    assert "small stores" in {one.slice for one in judged(-1.0) if not one.passed}


def test_a_day_missing_from_the_holdout_leaves_days_enough_to_judge() -> None:
    found = judged(1.0, left_out=LAST - GAP_DAYS - 5)

    assert [one.message for one in found if not one.passed] == []
    assert all(one.applicable for one in found if one.slice == "small stores")


def test_what_is_perishable_goes_by_the_departments_name() -> None:
    examples = series.holdout_examples(store47(FIRST, HELD_FROM - 1), store47(HELD_FROM, LAST))
    rows = {one.metric: one for one in DEFINITION.per_row(examples, answered(examples, 1.0))}
    weights = rows["squared_log_error"].weights

    # Of the file's families PRODUCE and DELI are departments too; the others are answered as other.
    assert weights is not None
    assert np.array_equal(weights == 1.25, examples.slices["perishable"])
    assert examples.slices["perishable"].mean() == 2 / len(FAMILIES)
