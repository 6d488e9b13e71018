"""The reference in a bundle: what it counts, how large it is, and how other releases read it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from overnight import models
from overnight.models.examples import Examples
from overnight.models.reference import (
    LARGEST_BYTES,
    FeatureSummary,
    days_of,
    parse,
    reference_of,
    reference_or_why,
    summary_of,
    upper_bound,
)
from overnight.models.starters.classification import DEFINITION as TABLE
from overnight.models.starters.series import DEFINITION as SERIES
from overnight.models.starters.text import DEFINITION as TEXTS
from overnight.models.watched_features import WatchedFeature, answer_features, input_features
from overnight.store.errors import CorruptVersion
from overnight.store.input_encodings import TextEncoding
from overnight.store.schema import Schema, TensorSpec

DIGITS = models.find("digits")


def probabilities(classes, answers, confidence):
    n = len(answers)
    rest = (1 - np.asarray(confidence)) / (classes - 1)
    values = np.repeat(rest[:, None], classes, axis=1)
    values[np.arange(n), answers] = confidence
    return values.astype(np.float32)


def table(n, seed=1, plans=3):
    rng = np.random.default_rng(seed)
    inputs = {
        "months": rng.integers(0, 60, n).astype(np.float32),
        "fee": np.where(rng.random(n) < 0.1, np.nan, rng.gamma(4, 10, n)).astype(np.float32),
        "calls": rng.poisson(2, n).astype(np.float32),
        "plan": np.array([f"plan {k}" for k in range(plans)], object)[rng.integers(0, plans, n)],
        "region": np.array(["north", None], object)[rng.integers(0, 2, n)],
    }
    labels = rng.integers(0, 2, n)
    return Examples(inputs, labels, {"old": inputs["months"] > 30, "none": np.zeros(n, bool)})


def referred(n=3_000, *, training=None, right=0.9):
    rng = np.random.default_rng(2)
    holdout = table(n)
    answers = np.where(rng.random(n) < right, holdout.labels, 1 - holdout.labels)
    outputs = {"probabilities": probabilities(2, answers, rng.uniform(0.8, 0.999, n))}
    training = training if training is not None else table(5_000, seed=3)
    made = reference_of(TABLE, "v1", training=training, holdout=holdout, outputs=outputs)
    return made, training, holdout, outputs


def test_counts_are_those_of_the_rows():
    made, training, holdout, outputs = referred()

    months, fee = made.feature("inputs", "months"), made.feature("inputs", "fee")
    plan, region = made.feature("inputs", "plan"), made.feature("inputs", "region")
    expected = np.histogram(training.inputs["months"], bins=[-math.inf, *months.borders, math.inf])[
        0
    ]
    assert list(months.counts) == expected.tolist()
    assert fee.missing == np.isnan(training.inputs["fee"]).sum()
    assert sum(fee.counts) + fee.missing == training.n
    assert dict(zip(plan.categories, plan.counts, strict=True)) == {
        name: (training.inputs["plan"] == name).sum() for name in set(training.inputs["plan"])
    }
    assert region.missing == sum(value is None for value in training.inputs["region"])
    assert region.categories == ("north",)
    answered = made.feature("answers", "probabilities")
    classes = np.array(TABLE.tensors.labels)[outputs["probabilities"].argmax(axis=1)]
    assert dict(zip(answered.categories, answered.counts, strict=True)) == {
        name: (classes == name).sum() for name in TABLE.tensors.labels
    }
    assert (made.rows, made.holdout_rows) == (5_000, 3_000)
    assert sum(made.feature("confidence", "probabilities").counts) == holdout.n


def test_losses_are_bounded_together_by_slice():
    made, _, holdout, outputs = referred()

    wrong = ~TABLE.correct(holdout, outputs)
    by_slice = {each.slice: each for each in made.losses}
    assert by_slice.keys() == {"", "old"}
    old = wrong[holdout.slices["old"]]
    assert by_slice["old"].loss == pytest.approx(old.mean())
    # Three masks share the 5 % that a bound may fail.
    assert by_slice["old"].upper == pytest.approx(
        stats.beta.ppf(1 - 0.05 / 3, old.sum() + 1, len(old) - old.sum())
    )
    assert made.bounds[""] > by_slice[""].loss
    assert (made.unit, made.memberships) == ("label", 1)


def test_calibration_counts_the_holdout_by_confidence():
    made, _, holdout, outputs = referred()

    right = TABLE.correct(holdout, outputs)
    assert sum(each.n for each in made.calibration) == holdout.n
    assert sum(each.right for each in made.calibration) == right.sum()
    total = sum(each.n * each.confidence for each in made.calibration)
    assert total == pytest.approx(outputs["probabilities"].max(axis=1).sum(), rel=1e-5)


def test_it_is_the_same_at_every_attempt_and_read_as_it_was_written():
    training = table(30_000)
    first, *_ = referred(training=training)
    second, *_ = referred(training=training)

    assert first.encoded() == second.encoded()
    assert parse(first.encoded()) == first
    assert first.rows == 30_000
    # A sample is enough for shares.
    assert first.feature("inputs", "months").n == 20_000


def test_its_size_is_bounded():
    """Hundreds of columns with names that never repeat."""
    names = [f"column_{k}_with_a_name_of_some_length" for k in range(300)]
    specs = tuple(TensorSpec(name=name, datatype="INT32", shape=()) for name in names)
    ids = np.array([f"{k:032x}" for k in range(400)], object)
    wide = replace(
        TABLE,
        tensors=Schema(inputs=specs, outputs=TABLE.tensors.outputs, labels=TABLE.tensors.labels),
        learned=dict.fromkeys(names, lambda published, spec: spec),
    )
    rows = Examples(dict.fromkeys(names, ids), np.zeros(400, int))
    outputs = {"probabilities": probabilities(2, np.zeros(400, int), np.full(400, 0.9))}

    made = reference_of(wide, "v1", training=rows, holdout=rows, outputs=outputs)

    assert len(made.encoded()) < LARGEST_BYTES
    assert made.feature("answers", "probabilities") is not None
    assert len(made.features) + len(made.left_out) == 302
    assert made.left_out
    assert not {feature.name for feature in made.features} & {*made.left_out}


def test_fields_of_newer_releases_are_ignored_and_absent_ones_have_defaults():
    made, *_ = referred()
    document = json.loads(made.encoded()) | {"added": {"later": 1}}
    for name in ("calibration", "left_out", "memberships", "unit"):
        document.pop(name)

    read = parse(json.dumps(document).encode())

    assert read.features == made.features
    assert (read.calibration, read.memberships, read.unit) == ((), 1, "label")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\x00", "expected JSON"),
        (b"[]", "expected a reference, found"),
        (b'{"format": 1}', "expected a reference, found version: Field required"),
        (b'{"format": 2}', "expected format 1, found format 2; a newer release wrote it: update"),
        (b'{"format": "x"}', "expected a reference, found format"),
    ],
)
def test_a_bad_file_says_what_is_wrong_and_what_to_do(body, message):
    with pytest.raises(CorruptVersion, match=message):
        parse(body, "digits v1 reference.json")


@pytest.mark.parametrize(("wrong", "n"), [(0, 50), (3, 50), (50, 50), (499, 500)])
def test_the_bound_of_a_share_is_clopper_and_pearsons(wrong, n):
    bound = upper_bound(np.arange(n) < wrong, 0.95)

    if wrong == n:
        assert bound == 1.0
    else:
        # The share at which so few wrong ones have probability 5 %.
        assert stats.binom.cdf(wrong, n, bound) == pytest.approx(0.05, rel=1e-6)


def test_the_bound_of_means_holds_as_often_as_declared():
    rng = np.random.default_rng(4)
    bounds = [upper_bound(rng.beta(2, 6, 28), 0.95) for _ in range(400)]

    assert np.mean(np.array(bounds) >= 0.25) >= 0.93
    assert upper_bound(np.zeros(0), 0.95) == upper_bound(np.array([0.5]), 0.95) == 1.0
    assert upper_bound(np.full(9, 0.5), 0.95) == pytest.approx(0.55)


def series(days, shops=60, lift=1.0):
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(20_000, 20_000 + days, dtype=np.int32), shops)
    base = np.tile(rng.gamma(3, 30, shops), days)
    recent = (base[:, None] * rng.uniform(0.8, 1.2, (len(day), 28))).astype(np.float32)
    inputs = {
        "shop": np.tile(np.array([f"s{k}" for k in range(shops)], object), days),
        "day": day,
        "lead_days": np.ones(len(day), np.int32),
        "recent": recent * np.float32(lift),
    }
    return Examples(inputs, (base * lift).astype(np.float32))


def test_a_forecasts_losses_are_of_days_and_its_days_are_apart_by_themselves():
    training, holdout = series(30, shops=120), series(28)
    # Christmas is busier than other days.
    recent = training.inputs["recent"].copy()
    recent[training.inputs["day"] == 20_010] *= 2
    training = Examples({**training.inputs, "recent": recent}, training.labels)
    middle = np.asarray(holdout.labels)
    outputs = {"units": np.stack([middle - 5, middle, middle + 5], axis=1)}
    outputs["units"][holdout.inputs["day"] == 20_003] += 100

    made = reference_of(SERIES, "v1", training=training, holdout=holdout, outputs=outputs)

    assert made.unit == "day"
    (whole,) = made.losses
    assert (whole.n, whole.loss) == (28, pytest.approx(1 / 28))
    assert whole.loss < whole.upper < 0.2
    assert made.feature("inputs", "day") is None
    mean = made.feature("inputs", "recent: mean")
    assert mean.usual > 0.1
    assert made.feature("inputs", "lead_days").usual == 0
    assert {f.name for f in made.features if f.kind != "inputs"} == {"units", "units: width"}
    assert made.calibration == ()


def test_days_are_those_of_forecasts_alone():
    assert days_of(TABLE, {"months": np.zeros(1)}) is None
    assert days_of(SERIES, {"day": np.array([1.0, 2.0])}).tolist() == [1, 2]
    assert days_of(SERIES, {}) is None


def test_texts_are_watched_by_length_and_unknown_words():
    spec = TEXTS.tensors.inputs[0].model_copy(
        update={"text": TextEncoding(tokenizer="whitespace", length=8, pieces=("a", "b"))}
    )
    known = TEXTS.adopting(TEXTS.tensors.with_inputs({spec.name: spec}))
    values = np.array(["a b zebra c", "", None, "b"], object)

    features = {f.name: f.values for f in input_features(known, {spec.name: values})}

    np.testing.assert_equal(features["message: words"], [4, 0, math.nan, 1])
    np.testing.assert_equal(features["message: unknown words"], [0.5, 0, math.nan, 0])


def test_pictures_are_watched_by_brightness_place_and_size_of_what_is_drawn():
    images = np.zeros((3, 28, 28), np.uint8)
    images[0, 5:15, 10:13] = 255
    images[1] = 255 - images[0]

    features = {f.name: f.values for f in input_features(DIGITS, {"image": images})}

    assert features["image: height"].tolist() == [10, 10, 0]
    assert features["image: width"].tolist() == [3, 3, 0]
    assert features["centre row"][0] == pytest.approx(9.5)
    assert {f.name for f in input_features(DIGITS, {})} == set()


def test_infinite_numbers_are_missing_and_numbers_beyond_all_have_a_bin():
    values = np.array([1.0, 2.0, math.inf, math.nan, 3.0])
    summary = summary_of(WatchedFeature("inputs", "x", values))

    assert summary.missing == 2
    counts = summary.counted(np.array([-1e30, 1e30, math.nan]))
    assert (counts[0], counts[-3], counts[-1]) == (1, 1, 1)


def test_a_constant_and_an_empty_feature_have_summaries():
    constant = summary_of(WatchedFeature("inputs", "x", np.full(9, 2.0)))
    empty = summary_of(WatchedFeature("inputs", "x", np.zeros(0)))
    nameless = summary_of(WatchedFeature("inputs", "x", np.array([], object)))

    assert constant.counted(np.full(4, 2.0)).sum() == 4
    assert empty.counts == (0,)
    assert nameless.is_categorical
    assert nameless.counted(np.array(["a"], object)).tolist() == [0, 1, 0]
    assert isinstance(empty, FeatureSummary)


def test_confidence_is_counted_where_a_person_would_draw_lines():
    outputs = {"probabilities": probabilities(10, np.zeros(4, int), [0.45, 0.97, 0.9995, 0.9999])}
    confidence = {f.kind: f for f in answer_features(DIGITS, outputs)}["confidence"]

    assert summary_of(confidence).counts == (1, 0, 0, 0, 0, 0, 1, 0, 2)


def test_a_model_whose_code_fails_costs_the_reference_and_not_the_version():
    made, training, holdout, outputs = referred(200)
    rows = {"training": training, "holdout": holdout}

    def broken(*_: object) -> np.ndarray:
        raise ZeroDivisionError("of the model")

    def unexported() -> dict[str, np.ndarray]:
        raise KeyError("probabilities")

    assert reference_or_why(TABLE, "v1", **rows, answers=lambda: outputs) == (made, "")
    for definition, answers, named in (
        (replace(TABLE, correct=broken), lambda: outputs, "ZeroDivisionError: of the model"),
        (TABLE, unexported, "KeyError: 'probabilities'"),
    ):
        none, why = reference_or_why(definition, "v1", **rows, answers=answers)
        assert none is None
        assert "v1 is not watched" in why
        assert named in why
        assert "overnight test" in why
