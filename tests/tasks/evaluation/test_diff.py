"""Two versions are compared by their lineage and by their answers."""

from dataclasses import replace

import numpy as np

from overnight import models
from overnight.models.digits.plots import disagreements
from overnight.models.examples import Examples
from overnight.models.kinds.embedding import Embedding
from overnight.store.schema import TensorSpec
from overnight.tasks.evaluation.diff import difference
from overnight.tasks.reporting.diff_report import render_diff
from overnight.tasks.reporting.markdown import page
from tests.support.examples import manifest

DEFINITION = models.find("digits")
VERSIONS = tuple(manifest(version=f"2026112{day}T020000-0123456789ab") for day in (1, 2))
LABELS = np.array([7, 7, 3, 3])
HOLDOUT = Examples(inputs={"image": np.zeros((4, 28, 28), np.uint8)}, labels=LABELS)


def answering(*classes: int, sure: float = 0.9) -> dict[str, np.ndarray]:
    rows = np.full((len(classes), 10), (1 - sure) / 9, np.float32)
    rows[np.arange(len(classes)), classes] = sure
    return {"probabilities": rows}


FIRST, SECOND = answering(7, 1, 3, 3), answering(7, 7, 3, 8, sure=0.8)


def test_changed_answers_are_counted_by_which_version_is_right():
    result = difference(DEFINITION, VERSIONS, (FIRST, SECOND), holdout=HOLDOUT)

    assert (result.rows, result.changed, result.gained, result.lost) == (4, 2, 1, 1)
    assert [
        (example.row, example.label, example.first, example.second) for example in result.examples
    ] == [
        (1, "7", "1 90%", "7 80%"),
        (3, "3", "3 90%", "8 80%"),
    ]


def test_metrics_are_measured_again_for_both_versions():
    result = difference(DEFINITION, VERSIONS, (FIRST, SECOND), holdout=HOLDOUT)

    (accuracy,) = [p for p in result.measured if (p[0].metric, p[0].slice) == ("accuracy", "")]
    assert [item.value for item in accuracy] == [0.75, 0.75]


def test_the_gain_of_each_metric_says_which_version_is_better():
    labels = np.full(400, 7)
    rows = Examples(inputs={"image": np.zeros((400, 28, 28), np.uint8)}, labels=labels)
    right, wrong_at_times = answering(*labels), answering(*([1] * 80 + [7] * 320))

    for outputs, verdict in (
        ((wrong_at_times, right), "better"),
        ((right, wrong_at_times), "worse"),
        ((right, right), "unclear"),
    ):
        result = difference(DEFINITION, VERSIONS, outputs, holdout=rows)
        by_metric = {
            first.metric: change
            for (first, _), change in zip(result.measured, result.changes, strict=True)
        }
        accuracy = by_metric["accuracy"]
        assert accuracy.verdict == verdict
        assert accuracy.low < accuracy.gain < accuracy.high
        # Lower is better, and a gain is a gain.
        assert by_metric["log_loss"].verdict == verdict
        # Not measured row by row.
        assert by_metric["calibration_error"].verdict == ""

    assert "| unclear |" in render_diff(result, DEFINITION, {})


def test_rows_are_named_by_their_categories_and_dates():
    store = TensorSpec(
        name="store", datatype="INT32", shape=(), vocabulary=("other", "292"), otherwise="other"
    )
    day = TensorSpec(name="day", datatype="INT32", shape=(), date=True)
    tensors = DEFINITION.tensors
    definition = replace(
        DEFINITION, tensors=tensors.model_copy(update={"inputs": (store, day, *tensors.inputs)})
    )
    values = {"store": np.array([0, 1, 1, 1]), "day": np.array([17_444, 17_445, 17_446, 17_447])}
    rows = replace(HOLDOUT, inputs={**values, **HOLDOUT.inputs})

    result = difference(definition, VERSIONS, (FIRST, SECOND), holdout=rows)

    assert [example.name for example in result.examples] == ["292, 2017-10-06", "292, 2017-10-08"]
    assert "292, 2017-10-06" in render_diff(result, definition, {})


def test_the_axes_compare_the_second_version_with_the_first():
    other = VERSIONS[1].model_copy(
        update={"training": VERSIONS[1].training.model_copy(update={"settings": {"seed": 2}})}
    )

    result = difference(DEFINITION, (VERSIONS[0], other), (FIRST, FIRST), holdout=HOLDOUT)

    assert [axis.detail for axis in result.axes if axis.changed] == ["seed 1 then, 2 now"]
    assert (result.changed, result.examples) == (0, ())


def test_at_most_the_requested_number_of_examples_is_listed():
    result = difference(DEFINITION, VERSIONS, (FIRST, SECOND), holdout=HOLDOUT, shown=1)

    assert (result.changed, len(result.examples)) == (2, 1)


def test_the_page_embeds_the_pictures():
    result = difference(DEFINITION, VERSIONS, (FIRST, SECOND), holdout=HOLDOUT)

    html = page(
        render_diff(result, DEFINITION, disagreements(HOLDOUT, FIRST, SECOND)), title="t"
    ).decode()

    assert "2 of 4 holdout rows get different answers" in html
    assert 'src="data:image/png;base64,' in html


def test_forecasts_that_moved_count_as_changed_though_the_last_quantile_is_the_largest():
    definition = replace(DEFINITION, tensors=DEFINITION.tensors.model_copy(update={"labels": ()}))
    first = np.array([[1, 2, 3], [1, 2, 3], [0, 0, 1], [2, 4, 8]], np.float32)
    second = first * np.array([[3], [1], [1], [1.5]], np.float32)
    definition = replace(
        definition,
        measure=lambda *_: (),
        correct=lambda _, reported: np.asarray(reported["probabilities"])[:, 0] >= 2,
    )

    result = difference(
        definition,
        VERSIONS,
        ({"probabilities": first}, {"probabilities": second}),
        holdout=HOLDOUT,
    )

    assert result.changed == 2
    assert [(example.row, example.first, example.second) for example in result.examples] == [
        (0, "1, 2, 3", "3, 6, 9"),
        (3, "2, 4, 8", "3, 6, 12"),
    ]


def test_rows_on_which_a_further_output_differs_are_counted_and_shown():
    seen = np.zeros((4, 28, 28), np.uint8)
    other = seen.copy()
    other[2, 5, 5] = 200
    outputs = (FIRST | {"seen": seen}, FIRST | {"seen": other})

    result = difference(DEFINITION, VERSIONS, outputs, holdout=HOLDOUT)

    assert (result.changed, result.further) == (0, (("seen", 1),))
    assert "seen differs on 1 of 4 rows" in render_diff(result, DEFINITION, {})


def test_of_an_embedding_without_labels_a_few_numbers_are_shown():
    kind = Embedding("style", (40,))
    definition = replace(
        DEFINITION,
        tensors=kind.schema(),
        measure=kind.measure,
        per_row=kind.per_row,
        correct=kind.correct,
        tolerance=kind.tolerance,
    )
    first = {"style": np.arange(80.0, dtype=np.float32).reshape(2, 40)}
    holdout = Examples({"image": np.zeros((2, 1))}, {})

    result = difference(
        definition, VERSIONS, (first, {"style": first["style"] + 1}), holdout=holdout
    )

    assert (result.changed, result.gained, result.lost) == (2, 0, 0)
    assert result.examples[0].label == ""
    assert result.examples[0].first == "0, 1, 2, 3, 4, 5, 6, 7, …"
