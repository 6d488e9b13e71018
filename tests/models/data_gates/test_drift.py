"""Shift: distances as published, and gates that ask for size and certainty both."""

import math

import numpy as np
import pytest

from overnight.models.data_gates.drift import (
    ColumnSample,
    Distance,
    SameShares,
    SameSpread,
    ShiftGate,
    shares_distance,
    spread_distance,
)

LEARNED = np.repeat(np.arange(10), 1_000)
WITHOUT_SEVENS = LEARNED[LEARNED != 7]
SPREAD = np.linspace(-1.0, 1.0, 2_001)


def labels(values: np.ndarray) -> ColumnSample:
    return ColumnSample(len(values), categories={"label": values})


def numbers(values: np.ndarray) -> ColumnSample:
    return ColumnSample(len(values), numbers={"mean": values})


def test_shares_without_a_common_category_are_one_apart_and_equal_ones_nothing() -> None:
    assert shares_distance([50, 0], [0, 50]).value == pytest.approx(1)
    assert shares_distance([10, 20], [100, 200]).value == pytest.approx(0)
    assert shares_distance([10, 0], [100, 0]) == shares_distance([7], [9]) == Distance(0.0, 1.0)


def test_the_distance_of_shares_is_the_root_of_the_divergence_in_bits() -> None:
    """By the definition of Lin 1991: the mean of two Kullback-Leibler divergences to the middle."""
    ours, theirs = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    middle = (ours + theirs) / 2
    divergence = (math.log2(1 / middle[0]) + (theirs * np.log2(theirs / middle)).sum()) / 2

    found = shares_distance([20, 0], [10, 10]).value

    assert found == pytest.approx(math.sqrt(divergence))
    # In nats it is the 0.4645 of scipy's own example.
    assert found * math.sqrt(math.log(2)) == pytest.approx(0.46450140402245893)


def test_chance_is_that_of_a_published_table() -> None:
    """Party by gender, Agresti 2007, table 2.5: chi-square 30.07 on 2 degrees of freedom."""
    found = shares_distance([762, 327, 468], [484, 239, 477])

    assert found.p == pytest.approx(math.exp(-30.07 / 2), rel=0.01)


def test_few_rows_are_held_against_tables_drawn_at_random_always_the_same_ones() -> None:
    first, again = (shares_distance([3, 0, 1], [40, 50, 60]) for _ in range(2))

    assert first == again
    # Fisher's exact test, as Freeman and Halton 1951 extend it, says 0.094 of the same table.
    assert first.p == pytest.approx(0.0983)


def test_a_category_of_one_row_counts() -> None:
    assert shares_distance([5, 1], [5, 0]).value == pytest.approx(0.29800275)


def test_a_table_whose_expected_counts_are_five_needs_no_draws() -> None:
    """Chi-square of 0.8 on one degree of freedom, without the correction of Yates 1934."""
    found = shares_distance([4, 6], [6, 4])

    assert found.p == pytest.approx(math.erfc(math.sqrt(0.4)))


def test_a_spread_that_moves_by_one_deviation_is_one_away() -> None:
    moved = spread_distance(SPREAD + SPREAD.std(), SPREAD)

    assert moved.value == pytest.approx(1)
    assert moved.p < 1e-9
    assert spread_distance(np.array([0, 1, 3]), np.array([5, 6, 8])).value == pytest.approx(
        5 / np.std([5, 6, 8])
    )


def test_the_chance_of_a_spread_is_exact_for_few_rows() -> None:
    """Of the 252 orders of five and five, two set them wholly apart."""
    assert spread_distance(np.arange(5), np.arange(10, 15)).p == pytest.approx(2 / 252)


def test_what_never_varied_may_not_begin_to() -> None:
    constant = np.full(100, 3.0)

    assert spread_distance(constant, constant).value == 0
    assert spread_distance(np.append(constant, 4.0), constant) == Distance(math.inf, 1.0)


@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (1.000001, True), (0.999999, False)])
def test_bounds_are_inclusive(factor: float, passed: bool) -> None:
    shares = shares_distance(np.bincount(WITHOUT_SEVENS, minlength=10), np.bincount(LEARNED)).value
    spread = spread_distance(SPREAD + 1, SPREAD).value

    by_label = SameShares("label", bound=shares * factor)
    by_mean = SameSpread("mean", bound=spread * factor)

    assert by_label.finding("n", labels(WITHOUT_SEVENS), labels(LEARNED)).passed is passed
    assert by_mean.finding("n", numbers(SPREAD + 1), numbers(SPREAD)).passed is passed


def test_the_finding_names_what_moved_most_with_its_figures() -> None:
    gate = SameShares("label", bound=0.1, names=tuple("abcdefghij"))

    finding = gate.finding("night-7", labels(WITHOUT_SEVENS), labels(LEARNED))

    assert (finding.gate, finding.metric, finding.slice) == ("SameShares", "label", "night-7")
    assert "largest change is h, from 10.0% to 0.0%" in finding.message
    assert (finding.bound, finding.n, finding.passed) == (0.1, 9_000, False)
    reported = SameSpread("mean", bound=0.5).finding(
        "night-7", numbers(SPREAD + 9), numbers(SPREAD)
    )
    assert "9 on average where" in reported.message


def test_a_distance_that_chance_explains_is_none() -> None:
    few = np.array([1, 1, 1, 2, 2])

    finding = SameShares("label", bound=0.1).finding("few", labels(few), labels(LEARNED))

    assert finding.value is not None
    assert finding.value > 0.1
    assert finding.passed


def test_a_certain_difference_that_does_not_matter_is_none() -> None:
    many = np.tile(SPREAD, 50)

    finding = SameSpread("mean", bound=0.5).finding("many", numbers(many + 0.05), numbers(many))

    assert "hardly by chance" in finding.message
    assert finding.passed


@pytest.mark.parametrize(
    ("gate", "sample", "reported"),
    [
        (SameSpread("mean", 0.5), ColumnSample(3), "was not measured of the arrival"),
        (SameSpread("mean", 0.5), numbers(np.array([])), "has no row in the arrival"),
        (SameSpread("mean", 0.5), numbers(np.full(2, math.nan)), "has no row in the arrival"),
        (
            SameSpread("mean", 0.5),
            numbers(np.array([1.0, math.nan, math.inf])),
            "is not a number in 1 of 2 rows",
        ),
        (SameShares("label", 0.5), ColumnSample(3), "was not measured of the arrival"),
        (SameShares("label", 0.5), labels(np.array([])), "has no row in the arrival"),
        (SameShares("label", 0.5), labels(np.array([1, math.nan])), "not a number in 1 of 2 rows"),
    ],
)
def test_what_is_missing_empty_or_no_number_fails(
    gate: ShiftGate, sample: ColumnSample, reported: str
) -> None:
    usual = numbers(SPREAD) if isinstance(gate, SameSpread) else labels(LEARNED)

    assert reported in gate.finding("n", sample, usual).message
    assert not gate.finding("n", sample, usual).passed
    assert not gate.finding("n", usual, sample).passed


def test_a_category_that_was_never_learned_counts_as_moved() -> None:
    finding = SameShares("label", bound=0.1).finding(
        "new", labels(np.full(100, 12)), labels(LEARNED)
    )

    assert finding.value == pytest.approx(1)
    assert "largest change is 12, from 0.0% to 100.0%" in finding.message


def test_rows_of_which_a_number_is_missing_say_nothing_of_its_spread() -> None:
    gate = SameSpread("mean", bound=0.5)
    holes = np.full(500, math.nan)
    nullable = numbers(np.concatenate([SPREAD, holes]))

    alike = gate.finding("n", nullable, numbers(np.concatenate([holes, SPREAD])))
    moved = gate.finding("n", numbers(np.concatenate([holes, SPREAD + 9])), nullable)

    assert (alike.passed, alike.value, alike.n) == (True, 0, len(SPREAD))
    assert not moved.passed
    assert "9 on average where" in moved.message


@pytest.mark.parametrize(
    ("gate", "sample", "reference", "expected"),
    [
        (
            SameShares("label", 0.25, ("zero", "one")),
            labels(np.array([0, 0, 0, 1] * 25)),
            labels(np.array([1, 1, 0, 1] * 25)),
            {
                "gate": "SameShares",
                "metric": "label",
                "slice": "night",
                "passed": False,
                "message": "largest change is zero, from 25.0% to 75.0%; Jensen-Shannon distance "
                "0.434, at most 0.25 (hardly by chance)",
                "bound": 0.25,
                "direction": "at most",
                "n": 100,
            },
        ),
        (
            SameShares("label", 0.25, ("zero", "one")),
            labels(np.array([2] * 3 + [0])),
            labels(np.array([0, 1, 0, 1])),
            {
                "gate": "SameShares",
                "metric": "label",
                "slice": "night",
                "passed": True,
                "message": "largest change is 2, from 0.0% to 75.0%; Jensen-Shannon distance "
                "0.81, at most 0.25 (chance alone 0.22)",
                "bound": 0.25,
                "direction": "at most",
                "n": 4,
            },
        ),
        (
            SameSpread("mean", 0.25),
            numbers(np.array([1.0, 2.0, 3.0, math.nan])),
            numbers(np.array([2.0, 3.0, 4.0])),
            {
                "gate": "SameSpread",
                "metric": "mean",
                "slice": "night",
                "passed": True,
                "message": "2 on average where 3 was learned; normalised Wasserstein distance "
                "1.22, at most 0.25 (chance alone 1)",
                "bound": 0.25,
                "direction": "at most",
                "n": 3,
            },
        ),
        (
            SameShares("label", 0.25),
            ColumnSample(7),
            labels(LEARNED),
            {
                "gate": "SameShares",
                "metric": "label",
                "slice": "night",
                "passed": False,
                "message": "label was not measured of the arrival",
                "bound": 0.25,
                "direction": "at most",
                "n": 7,
            },
        ),
        (
            SameSpread("mean", 0.5),
            numbers(SPREAD),
            numbers(np.array([])),
            {
                "gate": "SameSpread",
                "metric": "mean",
                "slice": "night",
                "passed": False,
                "message": "mean has no row in what was learned",
                "bound": 0.5,
                "direction": "at most",
                "n": 2_001,
            },
        ),
    ],
)
def test_findings_are_right_in_every_field(
    gate: ShiftGate, sample: ColumnSample, reference: ColumnSample, expected: dict[str, object]
) -> None:
    found = gate.finding("night", sample, reference).model_dump(exclude_defaults=True)

    found.pop("value", None)
    assert found == expected
