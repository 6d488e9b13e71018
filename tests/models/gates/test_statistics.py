"""The statistics behind the gates, against scipy, published examples, and what must always hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial, ttest_1samp

from overnight.models.gates import difference_interval, holm
from overnight.models.gates.resampling import PairedBootstrap
from overnight.models.gates.shares import PairedShares, score
from tests.support.evaluations import paired

quick = settings(max_examples=40, deadline=None)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)
counts = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 300))
margins = st.sampled_from([-0.2, -0.05, -0.01, 0.0, 0.01, 0.05])
gains = st.lists(st.floats(-9, 9, width=16), min_size=5, max_size=40)


def resampled(values: np.ndarray, weights: np.ndarray | None = None) -> PairedBootstrap:
    ones = np.ones(len(values))
    return PairedBootstrap(
        np.asarray(values, float), ones if weights is None else weights, len(values)
    )


def test_the_tests_agree_with_a_published_example() -> None:
    # Airway reactivity of 21 children before and after a transplantation: 1 and 7 changed (Bentur
    # et al. 2009). Fagerland, Lydersen and Laake (2013, 2014) print 0.0703 for McNemar's exact
    # test, two-sided, and -0.517 to -0.026 for Tango's interval.
    children = PairedShares(21, 1, 7)

    assert 2 * children.p_value_at_least(0) == pytest.approx(0.0703, abs=5e-5)
    assert children.interval(0.025) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_the_interval_agrees_with_another_published_one_where_both_are_right() -> None:
    # Agresti and Min (2005): 1600 asked twice, 86 and 150 changed their minds; their interval for
    # so many rows is -0.0587 to -0.0212.
    difference, low, high = difference_interval(paired(86, 150, 1_600))

    assert difference == pytest.approx(-0.04)
    assert (low, high) == pytest.approx((-0.0587, -0.0212), abs=3e-4)


def test_the_score_is_mcnemars_when_the_bound_is_zero() -> None:
    # McNemar (1947) with 25 won and 10 lost: (25 - 10) / sqrt(35).
    assert score(np.array([25.0]), np.array([10.0]), 100, 0.0) == pytest.approx(15 / 35**0.5)


@pytest.mark.parametrize(("better", "worse"), [(3, 2), (0, 3), (6, 1), (12, 10)])
@pytest.mark.parametrize("bound", [-0.2, -0.1, 0.1])
def test_the_exact_test_is_the_largest_probability_of_all_tables_as_extreme(
    better: int, worse: int, bound: float
) -> None:
    n, seen = 25, PairedShares(25, better, worse)
    tables = [(b, c, n - b - c) for b, c in itertools.product(range(n + 1), repeat=2) if b + c <= n]
    won, lost = (np.array([table[side] for table in tables], float) for side in (0, 1))
    reached = score(np.array([float(better)]), np.array([float(worse)]), n, bound)
    extreme = score(won, lost, n, bound) >= reached - 1e-9

    def probability(share: float) -> float:
        cells = [(share + bound) / 2, (share - bound) / 2, 1 - share]
        return float(multinomial.pmf(tables, n, cells)[extreme].sum())

    largest = max(probability(share) for share in np.linspace(abs(bound), 1, 200))

    # It searches only shares that the rows do not exclude, and pays 0.0001 for that.
    assert seen.p_value_at_most(bound) <= largest + 2e-4
    at = max((better + worse) / n, abs(bound))
    assert seen.p_value_at_most(bound) >= probability(at)


@pytest.mark.parametrize(("n", "margin"), [(100, 0.05), (400, 0.02)])
@pytest.mark.parametrize("share", [1.0, 1.5, 3.0])
def test_one_worse_by_the_margin_passes_no_more_often_than_declared(
    n: int, margin: float, share: float
) -> None:
    differ = margin * share
    won, lost = (differ - margin) / 2, (differ + margin) / 2

    # Nearly all there is to lose; the rest can add no more than 1e-6.
    probability, fewest = 0.0, 0
    for worse in range(int(binom.isf(1e-6, n, lost)) + 1):
        # Beside one more lost row, no fewer must be won.
        while PairedShares(n, fewest, worse).p_value_at_most(-margin) > 0.025:
            fewest += 1
        enough = binom.sf(fewest - 1, n - worse, won / (1 - lost))
        probability += float(binom.pmf(worse, n, lost) * enough)

    assert probability <= 0.025


def test_holms_procedure_on_a_textbook_example() -> None:
    # Holm's own scheme on four ordered values: 4 x 0.005, 3 x 0.01, 2 x 0.03, then never less.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


@given(p_values)
def test_holm_only_raises_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)

    assert all(p <= found <= 1 for p, found in zip(values, adjusted, strict=True))
    assert max(adjusted) <= min(1, max(len(values) * p for p in values))
    by_value = [found for _, found in sorted(zip(values, adjusted, strict=True))]
    assert by_value == sorted(by_value)


@given(counts, margins)
@quick
def test_one_more_row_won_is_never_less_evidence(seen: tuple[int, int, int], bound: float) -> None:
    better, worse, alike = seen
    n = better + worse + alike + 1

    before = PairedShares(n, better, worse).p_value_at_most(bound)
    after = PairedShares(n, better + 1, worse).p_value_at_most(bound)

    # The search for the worst case pays 0.0001, and its end moves with the rows.
    assert after <= before + 5e-4
    assert 0 <= after <= 1


@given(gains, st.randoms(use_true_random=False))
@quick
def test_the_order_of_rows_changes_nothing(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = resampled(np.array(values)), resampled(np.array(shuffled))

    assert one.p_value_at_most(0.1) == other.p_value_at_most(0.1)
    assert one.interval(0.025) == other.interval(0.025)


@given(gains, st.floats(0, 3))
@quick
def test_a_larger_gain_on_every_row_is_never_less_evidence(
    values: list[float], more: float
) -> None:
    rows = np.array(values)

    before = resampled(rows).p_value_at_most(0)
    after = resampled(rows + more).p_value_at_most(0)

    # Adding rounds, so two draws that were as far may not be any more.
    assert after <= before + 0.01
    assert 0 <= after <= 1


def test_the_bootstrap_agrees_with_students_test_where_that_is_right() -> None:
    rows = np.random.default_rng(3).normal(0.1, 1, 400)
    student = ttest_1samp(rows, 0, alternative="greater")
    reference = ttest_1samp(rows, 0).confidence_interval(0.95)

    assert resampled(rows).p_value_at_most(0) == pytest.approx(student.pvalue, abs=0.01)
    assert resampled(rows).interval(0.025) == pytest.approx(tuple(reference), abs=0.01)


def test_the_bootstrap_of_a_ratio_is_that_of_a_mean_when_weights_are_equal() -> None:
    rows = np.random.default_rng(4).exponential(size=200) - 0.9
    whole, scaled = resampled(rows), resampled(3 * rows, np.full(200, 3.0))

    assert whole.p_value_at_most(0) == scaled.p_value_at_most(0)
    uneven = resampled(rows, np.random.default_rng(5).uniform(0.999, 1.001, 200))
    assert uneven.interval(0.025) == pytest.approx(whole.interval(0.025), abs=0.01)


@pytest.mark.parametrize(("value", "sign"), [(0.5, 1), (-0.5, -1)])
@pytest.mark.parametrize(("rows", "least"), [(1, 0.5), (4, 0.0625), (200, 1 / 5_000)])
def test_rows_without_any_spread_prove_no_more_than_their_number(
    value: float, sign: int, rows: int, least: float
) -> None:
    same = resampled(np.full(rows, value))

    at_most, at_least = same.p_value_at_most(0), same.p_value_at_least(0)

    assert (at_most, at_least) == ((least, 1.0) if sign > 0 else (1.0, least))
    assert same.interval(0.025) == pytest.approx((value, value))


def test_no_p_value_of_the_bootstrap_is_zero() -> None:
    # Given rows of which every draw is above the bound.
    rows = np.random.default_rng(7).normal(10, 1, 100)

    at_most, at_least = resampled(rows).p_value_at_most(0), resampled(-rows).p_value_at_least(0)

    # Then the rows themselves count as one more draw (Phipson and Smyth 2010).
    assert at_most == at_least == pytest.approx(1 / 5_000)


def test_very_many_rows_are_pooled_and_say_the_same() -> None:
    rows = np.random.default_rng(6).normal(0.005, 1, 60_000)
    student = ttest_1samp(rows, 0, alternative="greater")

    assert resampled(rows).p_value_at_most(0) == pytest.approx(student.pvalue, abs=0.02)
