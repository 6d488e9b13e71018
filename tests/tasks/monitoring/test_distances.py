"""Distances from a reference: uniform p-values without a change, e-values, and what is found."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from overnight import models
from overnight.models.examples import Examples
from overnight.models.reference import reference_of
from overnight.models.starters.classification import DEFINITION as TABLE
from overnight.models.starters.regression import DEFINITION as NUMBER
from overnight.tasks.monitoring.distances import (
    apart_from_reference,
    apart_from_sample,
    distances,
    e_value,
    skews,
)

DIGITS = models.find("digits")


def hellinger(first, second):
    """By its definition (Hellinger 1909): the root of 1 minus the sum of √(p·q)."""
    return math.sqrt(max(1 - float(np.sqrt(first * second).sum()), 0.0))


def test_the_distance_is_hellingers_where_rows_are_many():
    rng = np.random.default_rng(1)
    first, second = rng.dirichlet(np.ones(8), 2)

    apart = apart_from_reference(first * 1e8, second * 1e8, smallest=0.05)

    assert apart.distance == pytest.approx(hellinger(first, second), abs=1e-4)
    assert apart.p == 0.0


@pytest.mark.parametrize(
    ("cells", "n", "m"), [(10, 200, 200), (12, 1_000, 5_000), (2, 400, 1_000), (60, 300, 3_000)]
)
def test_p_values_of_two_samples_are_uniform_without_a_change(cells, n, m):
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.full(cells, 2.0))
    ps = [
        apart_from_sample(rng.multinomial(n, shares), rng.multinomial(m, shares), smallest=0).p
        for _ in range(1_000)
    ]

    # Counts of two cells take few values, so their p-values do too.
    assert stats.kstest(ps, "uniform").pvalue > (0.001 if cells > 2 else 1e-6)
    assert np.mean(np.array(ps) < 0.01) < 0.022
    assert np.mean(np.array(ps) < 0.001) < 0.006


def shifted(shares, by, distance):
    """Shares tilted along `by`, so that their Hellinger distance from `shares` is this."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        tilted = shares * np.exp(middle * by)
        tilted /= tilted.sum()
        low, high = (middle, high) if hellinger(tilted, shares) < distance else (low, middle)
    return tilted


@pytest.mark.parametrize("n", [300, 3_000, 100_000])
def test_a_change_at_the_bound_is_none_however_many_rows_there_are(n):
    rng = np.random.default_rng(3)
    shares = np.full(10, 0.1)
    at_bound = shifted(shares, rng.normal(size=10), 0.05)
    ps = np.array(
        [
            apart_from_reference(rng.multinomial(n, at_bound), shares * 1e9, smallest=0.05).p
            for _ in range(1_000)
        ]
    )

    assert stats.kstest(ps, "uniform").pvalue > 0.001
    assert np.mean([e_value(p) for p in ps]) < 1.3


def test_days_against_one_reference_are_not_significant_together():
    """By a plain test of two samples, a reference that is off makes most days significant."""
    rng, shares = np.random.default_rng(4), np.full(10, 0.1)
    ours, plain = [], []
    for _ in range(60):
        reference = rng.multinomial(500, shares)
        days = rng.multinomial(5_000, shares, 10)
        ours.append([apart_from_reference(day, reference, smallest=0).p < 0.05 for day in days])
        expected = reference / 500 * 5_000
        plain.append([stats.chisquare(day, expected).pvalue < 0.05 for day in days])

    assert np.mean(np.mean(plain, axis=1) > 0.3) > 0.9
    assert np.mean(np.mean(ours, axis=1) > 0.3) <= 0.1


def test_new_names_and_empty_days_have_clear_distances():
    assert apart_from_reference([0, 0, 90], [50, 50, 0], smallest=0.05).distance > 0.9
    assert apart_from_reference([0, 0], [5, 5], smallest=0.05) == apart_from_sample(
        [0, 0], [5, 5], smallest=0.0
    )
    assert apart_from_reference([9], [7], smallest=0.0).p == 1.0
    assert apart_from_reference([90, 0], [70, 0], smallest=0.0).p == 1.0


def test_e_values_have_mean_one_over_uniform_p_values():
    """In log p, because most of the mean is at p-values that no simulation draws."""
    mean, _ = integrate.quad(lambda u: e_value(math.exp(-u)) * math.exp(-u), 0, 34, limit=200)
    # From exp(-34) on, the integral of 1 / (p·ln²p) is 1 / 34.
    assert mean + 1 / 34 == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("p", [1e-12, 1e-5, 0.01, 0.3, 0.9, 1 - 1e-6])
def test_an_e_value_is_the_mean_of_all_calibrators(p):
    mean, _ = integrate.quad(lambda kappa: kappa * p ** (kappa - 1), 0, 1, epsabs=1e-12)

    assert e_value(p) == pytest.approx(mean, rel=1e-4)


def test_e_values_are_bounded_and_fall_with_p():
    values = [e_value(p) for p in (0.0, 1e-15, 1e-9, 1e-3, 0.5, 1.0)]

    assert values == sorted(values, reverse=True)
    assert math.isfinite(values[0])
    assert values[-1] == 0.5


def digits(rng, n, *, ink=255.0, wrong=0.01):
    """Bars of random place on black, with labels; answers are right but for a share."""
    labels = rng.integers(0, 10, n)
    images = np.zeros((n, 28, 28), np.uint8)
    for image, label, left in zip(images, labels, rng.integers(4, 12, n), strict=True):
        image[6 : 16 + label, left : left + 6] = ink
    answers = np.where(rng.random(n) < wrong, (labels + 1) % 10, labels)
    probabilities = np.full((n, 10), 0.001, np.float32)
    probabilities[np.arange(n), answers] = 0.991
    slices = {f"digit {label}": labels == label for label in range(10)}
    return Examples({"image": images}, labels, slices), {"probabilities": probabilities}


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(5)
    training, _ = digits(rng, 5_000)
    holdout, outputs = digits(rng, 2_000)
    return reference_of(DIGITS, "v1", training=training, holdout=holdout, outputs=outputs)


def test_a_day_like_the_reference_is_near_in_everything(reference):
    day, outputs = digits(np.random.default_rng(6), 500)

    measured = distances(reference, DIGITS, day.inputs, outputs)

    assert {(each.kind, each.feature) for each in measured} >= {
        ("inputs", "contrast"),
        ("inputs", "image: width"),
        ("answers", "probabilities"),
        ("confidence", "probabilities"),
    }
    assert all(each.distance < 0.1 and each.p > 0.01 and each.e < 20 for each in measured)


def test_fainter_pictures_and_other_classes_are_found_by_name(reference):
    day, outputs = digits(np.random.default_rng(7), 500, ink=180)
    swapped = {"probabilities": np.roll(outputs["probabilities"], 1, axis=1)}
    some = day.take(np.asarray(day.labels) < 5)

    faint = {each.feature: each for each in distances(reference, DIGITS, day.inputs, swapped)}
    few = {
        (each.kind, each.feature): each
        for each in distances(
            reference,
            DIGITS,
            some.inputs,
            {"probabilities": outputs["probabilities"][np.asarray(day.labels) < 5]},
        )
    }

    assert faint["contrast"].e > 1e6
    assert faint["centre row"].e < 20
    assert few["answers", "probabilities"].e > 1e6
    assert few["confidence", "probabilities"].e < 20


def test_few_rows_have_a_distance_and_no_verdict(reference):
    day, outputs = digits(np.random.default_rng(8), 20)

    measured = distances(reference, DIGITS, day.inputs, outputs)

    assert all(each.p is None and each.e is None and each.n == 20 for each in measured)


def test_what_is_not_recorded_is_not_compared(reference):
    day, outputs = digits(np.random.default_rng(9), 100)

    assert {each.kind for each in distances(reference, DIGITS, {}, outputs)} == {
        "answers",
        "confidence",
    }
    assert {each.kind for each in distances(reference, DIGITS, day.inputs, {})} == {"inputs"}
    empty = distances(reference, DIGITS, {"image": day.inputs["image"][:0]}, {})
    assert all(each.n == 0 and each.e is None for each in empty)


def table(rng, n, *, fee=1.0):
    plan = np.array(["basic", "plus", None], object)[rng.choice(3, n, p=[0.6, 0.3, 0.1])]
    return {
        "months": rng.integers(0, 60, n).astype(np.float32),
        "fee": np.where(rng.random(n) < 0.1, np.nan, rng.gamma(4, 10, n) * fee).astype(np.float32),
        "calls": rng.poisson(2, n).astype(np.float32),
        "plan": plan,
        "region": np.array(["north", "south"], object)[rng.integers(0, 2, n)],
    }


def test_skew_is_between_serving_and_training_of_one_day():
    """A unit that only serving has: euros there, cents here."""
    rng = np.random.default_rng(10)
    training, serving = table(rng, 800), table(rng, 300, fee=100)

    measured = {each.feature: each for each in skews(TABLE, training, serving)}

    assert all(each.kind == "skew" and each.against == "today" for each in measured.values())
    assert measured["fee"].e > 1e6
    assert max(each.e for name, each in measured.items() if name != "fee") < 20
    assert all(each.e is None for each in skews(TABLE, table(rng, 20), serving)), (
        "too few rows of training"
    )


def test_an_answer_without_classes_is_compared_as_a_number():
    rng = np.random.default_rng(11)
    name = NUMBER.tensors.outputs[0].name
    holdout = rows_of(NUMBER, rng, 2_000)
    outputs = {name: rng.normal(100, 10, 2_000).astype(np.float32)}
    made = reference_of(NUMBER, "v1", training=holdout, holdout=holdout, outputs=outputs)

    live = {name: rng.normal(110, 10, 500).astype(np.float32)}
    (answers,) = distances(made, NUMBER, {}, live)

    assert (answers.kind, answers.feature) == ("answers", name)
    assert answers.e > 1e6


def rows_of(definition, rng, n):
    """n rows of numbers and names, as the schema declares them."""
    inputs = {
        spec.name: rng.integers(0, 50, n).astype(np.float32)
        if spec.datatype.startswith("FP")
        else np.array(["a", "b"], object)[rng.integers(0, 2, n)]
        for spec in definition.tensors.inputs
    }
    return Examples(inputs, rng.normal(100, 10, n).astype(np.float32))
