"""What is measured of a forecast, checked by hand."""

import math

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.metrics.regression import resampled
from overnight.models.sales.metrics import (
    in_interval,
    mean_of_28_days,
    measure,
    per_row,
    seasonal_naive,
)
from overnight.models.sales.schema import DEPARTMENT, RECENT_DAYS


def examples(labels: list[float], *, department: str = "GROCERY", lead: int = 7) -> Examples:
    n = len(labels)
    recent = np.tile(np.arange(RECENT_DAYS, dtype=np.float32), (n, 1))
    return Examples(
        inputs={
            "store": np.ones(n, np.int32),
            "department": np.full(n, DEPARTMENT.vocabulary.index(department), np.int32),
            "day": np.arange(17_500, 17_500 + n, dtype=np.int32),
            "lead_days": np.full(n, lead, np.int32),
            "recent": recent,
        },
        labels=np.array(labels, np.float32),
        slices={"all": np.ones(n, bool), "none": np.zeros(n, bool)},
    )


def answers(*quantiles: tuple[float, float, float]) -> dict[str, np.ndarray]:
    return {"units": np.array(quantiles, np.float32)}


def by_name(requested: Examples, output: dict[str, np.ndarray]) -> dict[str, float]:
    return {one.metric: one.value for one in measure(requested, output) if not one.slice}


def test_errors_are_shares_of_what_was_sold() -> None:
    found = by_name(examples([10, 30]), answers((1, 8, 12), (1, 33, 40)))

    assert found["wape"] == pytest.approx((2 + 3) / 40)
    assert found["r2"] == pytest.approx(1 - (4 + 9) / 200)


def test_logarithms_weigh_perishable_departments_more() -> None:
    plain, perishable = examples([3]), examples([1], department="PRODUCE")
    both = Examples(
        inputs={
            name: np.concatenate([plain.inputs[name], perishable.inputs[name]])
            for name in plain.inputs
        },
        labels=np.concatenate([plain.labels, perishable.labels]),
    )

    found = by_name(both, answers((0, 7, 9), (0, 1, 2)))

    assert found["nwrmsle"] == pytest.approx(math.sqrt(math.log(2) ** 2 / 2.25))


@pytest.mark.parametrize(("lead", "place"), [(4, 52), (7, 55), (8, 49), (10, 51)])
def test_the_seasonal_naive_is_the_same_weekday_of_the_newest_known_week(
    lead: int, place: int
) -> None:
    requested = examples([1], lead=lead)

    assert seasonal_naive(requested).tolist() == [place]
    # Counted from the day asked for it is whole weeks ago.
    assert (lead + RECENT_DAYS - 1 - place) % 7 == 0


def test_the_mean_is_of_the_newest_28_days() -> None:
    assert mean_of_28_days(examples([1])).tolist() == [np.arange(28, 56).mean()]


def test_an_interval_is_judged_in_whole_pieces() -> None:
    requested = examples([0, 3, 4, 1, -2])

    inside = in_interval(
        requested, answers((0.4, 1, 2), (0, 1, 2.1), (0, 1, 3), (1.9, 2, 3), (0, 0, 1))
    )

    assert inside.tolist() == [True, True, False, True, True]


def test_a_slice_without_rows_is_no_number() -> None:
    found = measure(examples([1, 2]), answers((0, 1, 2), (0, 1, 2)))

    (none,) = (one for one in found if (one.metric, one.slice) == ("wape", "none"))
    assert (math.isnan(none.value), none.n) == (True, 0)


def test_intervals_are_wider_when_rows_of_a_day_stand_together() -> None:
    random = np.random.default_rng(0)
    days = np.repeat(np.arange(20), 50)
    values = 1 + np.repeat(random.normal(size=20), 50) + 0.1 * random.normal(size=1_000)
    weights = np.ones(1_000)

    alone, together = resampled(values, weights, None), resampled(values, weights, days)

    assert together[1] - together[0] > 4 * (alone[1] - alone[0])


def test_rows_add_up_to_what_is_measured() -> None:
    requested, output = examples([10, 30, 0]), answers((1, 8, 12), (1, 33, 40), (0, 1, 2))
    whole = by_name(requested, output)

    reported: dict[str, RowMetric] = {row.metric: row for row in per_row(requested, output)}

    for metric in ("wape", "interval_coverage", "seasonal_naive_wape", "mean_28_wape"):
        row = reported[metric]
        assert row.weights is not None
        assert row.values.sum() / row.weights.sum() == pytest.approx(whole[metric])
        assert row.units is not None
    assert math.sqrt(reported["squared_log_error"].values.sum() / 3) == pytest.approx(
        whole["nwrmsle"]
    )
