"""The champion is measured once on each arrival, and its scores are stored."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from overnight import models
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.live_scores import LiveScores
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.evaluation.score import score, unlearned_arrivals
from overnight.tasks.reporting.score_table import score_line, score_table
from tests.support.examples import manifest
from tests.support.serving import bundles

PREDICTOR = bundles.network(1)
IMAGES = np.random.default_rng(3).integers(0, 256, (30, 28, 28), dtype=np.uint8)
ANSWERS = bundles.probabilities(1, IMAGES).argmax(axis=1)
HOLDOUT = Measurement(metric="accuracy", value=0.991, n=10_000, low=0.989, high=0.993)
CHAMPION = manifest().model_copy(update={"measurements": (HOLDOUT,)})
START = datetime(2026, 11, 22, tzinfo=UTC)


def stamped(*arrivals: tuple[str, int, int], wrong: Sequence[int] = ()) -> pa.Table:
    """Rows of arrivals by name, first and last, labelled as the version answers but for `wrong`."""
    labels = np.where(np.isin(np.arange(30), wrong), (ANSWERS + 1) % 10, ANSWERS)
    parts = [
        pa.table(
            {
                "image": pa.array([image.tobytes() for image in IMAGES[start:end]], pa.binary()),
                "label": pa.array(labels[start:end], pa.int64()),
                "arrival": pa.array([name] * (end - start), pa.string()),
                "arrived_at": [START + timedelta(days=days)] * (end - start),
                "arrival_row": pa.array(range(end - start), pa.int64()),
            }
        )
        for days, (name, start, end) in enumerate(arrivals)
    ]
    return pa.concat_tables(parts)


def plain(definition: ModelDefinition) -> ModelDefinition:
    """The digits, read from the two columns that these tests are about."""

    def examples(rows: pa.Table) -> Examples:
        images = [np.frombuffer(item, np.uint8) for item in rows.column("image").to_pylist()]
        inputs = {"image": np.reshape(images, (-1, 28, 28))}
        return Examples(inputs, rows.column("label").to_numpy())

    return replace(definition, examples=examples)


DEFINITION = plain(models.find("digits"))


def scored(bucket: MemoryBucket, rows: pa.Table, *arrivals: str, definition=DEFINITION):
    return score(
        ModelRegistry(bucket, definition.name),
        definition,
        CHAMPION,
        PREDICTOR,
        rows=rows,
        arrivals=arrivals,
    )


def test_each_arrival_is_measured_by_itself_and_compared_with_the_holdout():
    bucket = MemoryBucket()
    rows = stamped(("a", 0, 10), ("b", 10, 30), wrong=[0, 1])

    result = scored(bucket, rows, "a", "b")

    reported = {item.arrival: item for item in result.scores}
    assert [reported[name].headline.value for name in "ab"] == [0.8, 1.0]
    assert [reported[name].n for name in "ab"] == [10, 20]
    assert {item.holdout for item in result.scores} == {HOLDOUT}
    assert LiveScores(bucket, CHAMPION.model).of_version(CHAMPION.version) == [*result.scores]


def test_a_stored_score_is_not_measured_again():
    bucket = MemoryBucket()
    first = scored(bucket, stamped(("a", 0, 10)), "a")

    again = scored(bucket, stamped(("a", 0, 10), wrong=range(10)), "a")

    assert again == first


def test_an_arrival_without_rows_has_no_score():
    bucket = MemoryBucket()

    result = scored(bucket, stamped(("a", 0, 10)), "empty", "a")

    assert [item.arrival for item in result.scores] == ["a"]
    assert len(bucket.keys_below("models")) == 1


def test_rows_that_are_no_examples_are_reported_and_the_others_are_scored():
    rows = stamped(("bad", 0, 5), ("good", 5, 10)).set_column(
        0,
        "image",
        pa.array([b"short"] * 5 + [item.tobytes() for item in IMAGES[5:10]], pa.binary()),
    )

    result = scored(MemoryBucket(), rows, "bad", "good")

    assert [item.arrival for item in result.scores] == ["good"]
    (reported,) = result.unreadable
    assert reported.startswith("bad: its rows are no examples")


def test_inputs_made_of_earlier_rows_use_only_rows_before_the_arrival():
    seen: list[tuple[int, int, list[str]]] = []

    def arrived(before: pa.Table, fresh: pa.Table) -> Examples:
        seen.append((before.num_rows, fresh.num_rows, fresh.column_names))
        return DEFINITION.examples(fresh)

    rows = stamped(("a", 0, 10), ("b", 10, 18), ("c", 18, 30))

    result = scored(
        MemoryBucket(), rows, "a", "b", definition=replace(DEFINITION, arrival_examples=arrived)
    )

    assert seen == [(0, 10, ["image", "label"]), (10, 8, ["image", "label"])]
    assert [item.n for item in result.scores] == [10, 8]


def test_an_arrival_without_truth_has_no_score():
    def nothing(_before: pa.Table, fresh: pa.Table) -> Examples:
        return DEFINITION.examples(fresh.slice(0, 0))

    definition = replace(DEFINITION, arrival_examples=nothing)

    assert scored(MemoryBucket(), stamped(("a", 0, 10)), "a", definition=definition).scores == ()


def test_empty_slices_are_not_stored():
    def examples(rows: pa.Table) -> Examples:
        whole = DEFINITION.examples(rows)
        return replace(whole, slices={"none": np.zeros(whole.n, bool)})

    definition = replace(DEFINITION, examples=examples)

    (result,) = scored(MemoryBucket(), stamped(("a", 0, 10)), "a", definition=definition).scores

    assert all(item.n for item in result.measurements)


def test_an_interval_of_no_width_is_dropped():
    def measure(examples: Examples, _outputs: object) -> tuple[Measurement, ...]:
        one_day = Measurement(metric="wape", value=0.2, n=examples.n, low=0.2, high=0.2)
        return one_day, one_day.model_copy(update={"metric": "bias", "low": 0.1})

    definition = replace(DEFINITION, measure=measure)

    (result,) = scored(MemoryBucket(), stamped(("a", 0, 10)), "a", definition=definition).scores

    assert [(item.low, item.high) for item in result.measurements] == [(None, None), (0.1, 0.2)]
    assert "| a | wape | 0.2 |" in score_table([result])


@pytest.mark.parametrize(
    ("learned", "expected"), [(0, ("first", "late", "last")), (2, ("late", "last")), (9, ())]
)
def test_only_arrivals_after_the_newest_version_are_unlearned(learned, expected):
    assert unlearned_arrivals({"late": 3, "first": 1, "last": 4}, learned) == expected


def test_the_report_compares_live_scores_with_the_holdout():
    result = scored(MemoryBucket(), stamped(("a", 0, 10), wrong=[0]), "a").scores

    reported = score_table(result)

    assert "before any version learned from it" in reported
    assert "| a | accuracy | 0.9 (" in reported
    assert "0.991 (0.989 to 0.993)" in reported
    assert score_line(result[0]).endswith("over 10 rows; 0.991 on the holdout")
    assert score_table(()) == ""
