"""The nightly arrivals bring the truth of the forecasts that were answered."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models.sales import DEFINITION, series
from overnight.models.sales.arrived import arrived_truths
from overnight.store.predictions.records import AnsweredRequest
from overnight.store.predictions.tables import LabelTable, PredictionTable, SegmentId
from overnight.tasks.monitoring.arrival_labels import label_from_arrivals
from tests.support.genuine_sales import day, rows, sold

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def sales_rows() -> pa.Table:
    return rows(sold("2017-01-01", "2017-04-30"))


def split(sales_rows: pa.Table, at: str) -> tuple[pa.Table, pa.Table]:
    later = pc.greater_equal(sales_rows["day"], day(at))
    return sales_rows.filter(pc.invert(later)), sales_rows.filter(later)


def named(inputs):
    """Inputs as rows of the source name their stores and departments."""
    specs = {spec.name: spec for spec in DEFINITION.tensors.inputs}
    return {
        name: np.array([specs[name].vocabulary[code] for code in values], object)
        if specs[name].vocabulary
        else values
        for name, values in inputs.items()
    }


def test_the_truths_are_the_examples_that_the_arrival_completes(sales_rows):
    before, arrived = split(sales_rows, "2017-04-26")
    completed = series.arrival_examples(before, arrived)

    truths = arrived_truths(named(completed.inputs), before, arrived)

    by_name = (completed.inputs["store"] > 0) & (completed.inputs["department"] > 0)
    assert truths.known.tolist() == by_name.tolist()
    np.testing.assert_allclose(
        truths.truths["units"][truths.known], np.asarray(completed.labels)[truths.known]
    )


def test_days_that_are_not_final_and_unknown_series_have_no_truth(sales_rows):
    before, arrived = split(sales_rows, "2017-04-26")
    requested = {
        "store": np.array(["289", "289", "other", "289"], object),
        "department": np.array(["GROCERY"] * 4, object),
        "day": np.array([day(d) for d in ("2017-04-29", "2017-04-10", "2017-04-26", "2017-05-02")]),
    }

    assert not arrived_truths(requested, before, arrived).known.any()
    assert not arrived_truths(requested, before.slice(0, 0), arrived).known.any()
    assert not arrived_truths(requested, before, arrived.slice(0, 0)).known.any()


def test_answers_of_an_arrival_are_labelled_once(sales_rows, tmp_path):
    before, arrived = split(sales_rows, "2017-04-26")
    predictions = PredictionTable.in_folder(tmp_path, "sales")
    labels = LabelTable.in_folder(tmp_path, "sales")
    completed = series.arrival_examples(before, arrived)
    chosen = np.flatnonzero(completed.inputs["store"] > 0)[:3]
    inputs = {name: values[chosen] for name, values in completed.inputs.items()}
    # The second is of a day that no arrival has brought yet.
    inputs["day"] = inputs["day"].copy()
    inputs["day"][1] += 300
    answered = AnsweredRequest(
        request="r", caller="", at_us=int((NOW - timedelta(days=9)).timestamp() * 1e6),
        model="sales", version="v1", route="champion", client="c", share=1.0, latency_us=1, n=3,
        inputs=inputs, digest="", outputs={"units": np.ones((3, 3), np.float32)},
    )  # fmt: skip
    predictions.append({SegmentId("b" * 32, 0): [answered]})
    snapshot = pa.concat_tables([before, arrived])
    of_arrival = ["first"] * before.num_rows + ["night-1"] * arrived.num_rows
    snapshot = snapshot.append_column("arrival", pa.array(of_arrival))
    snapshot = snapshot.append_column("arrived_at", pa.nulls(len(snapshot), pa.timestamp("us")))
    snapshot = snapshot.append_column("arrival_row", pa.nulls(len(snapshot), pa.int64()))

    def label(*arrivals):
        return label_from_arrivals(
            snapshot, arrivals, DEFINITION, predictions, labels,
            lambda _: DEFINITION.tensors, at=NOW,
        )  # fmt: skip

    assert label("night-1", "unknown") == {"night-1": 2}
    assert label("night-1") == {}
    sent = labels.read().sort_by("row").to_pylist()
    assert [(row["request"], row["row"], row["origin"]) for row in sent] == [
        ("r", 0, "arrival"),
        ("r", 2, "arrival"),
    ]
    truth = float(np.asarray(completed.labels)[chosen[0]])
    assert sent[0]["truth"] == f'{{"units":{truth}}}'
    # An arrival that labels nothing is looked at once.
    assert label("first") == {"first": 0}
    assert label("first") == {}
