"""Inputs of an example are what was known at its cut-off: nothing of its day or later."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models.examples import Examples
from overnight.models.sales import series
from overnight.models.sales.schema import (
    DEPARTMENT,
    GAP_DAYS,
    LONGEST_LEAD,
    RECENT_DAYS,
    SHORTEST_LEAD,
    STORE,
    TENSORS,
)
from tests.support.genuine_sales import day, rows, sold

FIRST, LAST = "2017-01-01", "2017-05-31"
HELD_FROM = "2017-05-01"


@pytest.fixture(scope="module")
def sales_rows() -> pa.Table:
    return rows(sold(FIRST, LAST))


def parts(sales_rows: pa.Table, begin: str = HELD_FROM) -> tuple[pa.Table, pa.Table]:
    later = pc.greater_equal(sales_rows["day"], day(begin))
    return sales_rows.filter(pc.invert(later)), sales_rows.filter(later)


def with_units(sales_rows: pa.Table, changed: np.ndarray) -> pa.Table:
    place = sales_rows.column_names.index("units")
    return sales_rows.set_column(place, "units", pa.array(changed))


def of_day(examples: Examples, when: int) -> dict[str, np.ndarray]:
    chosen = examples.inputs["day"] == when
    return {name: array[chosen] for name, array in examples.inputs.items()}


def test_nothing_after_the_cut_off_leaks_into_the_inputs(sales_rows: pa.Table) -> None:
    before, held = parts(sales_rows)
    plain = series.holdout_examples(before, held)
    days = np.concatenate([before["day"].to_numpy(), held["day"].to_numpy()])

    for when in (day("2017-05-03"), day("2017-05-14"), day("2017-05-28")):
        requested = of_day(plain, when)
        # Everything after the newest cut-off of that day, which is the shortest lead before it.
        spoilt = np.where(
            days > when - SHORTEST_LEAD,
            777.0,
            np.concatenate([before["units"].to_numpy(), held["units"].to_numpy()]),
        )
        n = before.num_rows
        changed = series.holdout_examples(
            with_units(before, spoilt[:n]), with_units(held, spoilt[n:])
        )

        found = of_day(changed, when)

        assert len(found["day"]) == len(requested["day"]) > 0
        for name, array in requested.items():
            assert np.array_equal(found[name], array), name
        assert not np.array_equal(
            changed.labels[changed.inputs["day"] == when], plain.labels[plain.inputs["day"] == when]
        )


def test_each_window_ends_with_its_own_cut_off(sales_rows: pa.Table) -> None:
    numbered = with_units(sales_rows, sales_rows["day"].to_numpy().astype(float))
    one = numbered.group_by(["store", "department", "day"]).aggregate([("units", "min")])
    daily = pa.table(
        {
            "store": one["store"],
            "department": one["department"],
            "day": one["day"],
            "units": one["units_min"],
        }
    )

    examples = series.training_examples(daily)

    cutoff = examples.inputs["day"] - examples.inputs["lead_days"]
    ages = np.arange(RECENT_DAYS - 1, -1, -1)
    expected = cutoff[:, None] - ages
    recent = examples.inputs["recent"]
    sold_then = recent > 0
    assert sold_then.any()
    assert np.array_equal(recent[sold_then], expected[sold_then])


def test_leads_reach_from_the_gap_to_the_horizon_and_never_change(sales_rows: pa.Table) -> None:
    first, second = (
        series.training_examples(sales_rows),
        series.training_examples(sales_rows.take(np.arange(sales_rows.num_rows)[::-1])),
    )

    lead = first.inputs["lead_days"]
    assert (lead.min(), lead.max()) == (SHORTEST_LEAD, LONGEST_LEAD)
    assert np.bincount(lead)[SHORTEST_LEAD:].min() > 0.8 * len(lead) / 7
    for name, array in first.inputs.items():
        assert np.array_equal(array, second.inputs[name])


def test_labels_are_what_the_lines_sold_that_day(sales_rows: pa.Table) -> None:
    lines = sold("2017-04-10", "2017-04-10", stores=(367,))
    grocery = lines.filter(pc.equal(lines["department"], "GROCERY"))

    examples = series.training_examples(sales_rows)

    here = (
        (examples.inputs["day"] == day("2017-04-10"))
        & (examples.inputs["store"] == STORE.vocabulary.index("367"))
        & (examples.inputs["department"] == DEPARTMENT.vocabulary.index("GROCERY"))
    )
    assert examples.labels[here].tolist() == [pc.sum(grocery["quantity"]).as_py()]


def test_days_of_the_gap_are_no_examples_because_they_are_not_final(sales_rows: pa.Table) -> None:
    before, held = parts(sales_rows)

    judged = series.holdout_examples(before, held)

    days = judged.inputs["day"]
    assert (days.min(), days.max()) == (day(HELD_FROM), day(LAST) - GAP_DAYS)


def test_an_arrival_completes_the_day_three_before_its_newest(sales_rows: pa.Table) -> None:
    before, held = parts(sales_rows, LAST)

    found = series.arrival_examples(before, held)

    assert set(found.inputs["day"].tolist()) == {day(LAST) - GAP_DAYS}
    assert series.arrival_examples(before.slice(0, 0), held).n == 0
    assert series.arrival_examples(before, held.slice(0, 0)).n == 0


def test_unknown_stores_and_departments_that_sell_often_are_series_of_other(
    sales_rows: pa.Table,
) -> None:
    moved = sales_rows.set_column(
        sales_rows.column_names.index("store"),
        "store",
        pa.array(np.full(sales_rows.num_rows, 4), pa.int32()),
    )

    examples = series.training_examples(moved)

    assert set(examples.inputs["store"].tolist()) == {0}
    assert {0, 1} <= set(examples.inputs["department"].tolist())


def test_what_counts_other_units_is_in_no_series(sales_rows: pa.Table) -> None:
    assert not {"FUEL", "MISCELLANEOUS"} & set(series.panel(sales_rows).department)
    assert {"FUEL", "MISCELLANEOUS"} <= set(sales_rows["department"].to_pylist())


def test_examples_are_as_the_tensors_declare(sales_rows: pa.Table) -> None:
    inputs = series.training_examples(sales_rows).inputs

    for spec in TENSORS.inputs:
        array = inputs[spec.name]
        assert array.min() >= spec.minimum
        assert array.max() <= spec.maximum
        assert array.shape[1:] == spec.shape


def test_too_few_days_are_an_error(sales_rows: pa.Table) -> None:
    few = sales_rows.filter(pc.less(sales_rows["day"], day("2017-02-01")))

    with pytest.raises(ValueError, match="an example needs 66"):
        series.training_examples(few)


def without(sales_rows: pa.Table, *days: str, but: int = 0) -> pa.Table:
    """As if the nights of some days were left out; `but` late rows of each came all the same."""
    missing = np.isin(sales_rows["day"].to_numpy(), [day(one) for one in days])
    late = [np.flatnonzero(sales_rows["day"].to_numpy() == day(one))[:but] for one in days]
    missing[np.concatenate(late)] = False
    return sales_rows.filter(pa.array(~missing))


LEFT_OUT = ("2017-04-12", "2017-05-15")


@pytest.mark.parametrize("but", [0, 2])
def test_a_day_left_out_is_neither_learned_nor_judged_nor_scored(
    sales_rows: pa.Table, but: int
) -> None:
    rest = without(sales_rows, *LEFT_OUT, but=but)
    before, held = parts(rest)
    tonight = parts(without(sales_rows, "2017-05-15", but=but), "2017-05-18")

    found = [
        series.training_examples(rest),
        series.holdout_examples(before, held),
        series.arrival_examples(*tonight),
    ]

    assert all(one.n for one in found)
    missing = [day(one) for one in LEFT_OUT]
    assert not any(np.isin(one.inputs["day"], missing).any() for one in found)
    assert day("2017-05-14") in found[1].inputs["day"]


def test_a_day_left_out_goes_into_windows_as_its_weekday_before_and_not_as_nothing(
    sales_rows: pa.Table,
) -> None:
    plain, sums = series.panel(sales_rows), series.panel(without(sales_rows, LEFT_OUT[0]))

    place = day(LEFT_OUT[0]) - sums.first
    chosen = [
        np.flatnonzero((plain.store == store) & (plain.department == department))[0]
        for store, department in zip(sums.store, sums.department, strict=True)
    ]
    assert sums.unknown.tolist() == [day(LEFT_OUT[0])]
    assert np.array_equal(sums.units[:, place], plain.units[chosen, place - 7])
    assert sums.units[:, place].sum() > 0


def test_a_day_on_which_the_shops_are_closed_is_known_to_sell_nothing() -> None:
    sales_rows = series.panel(rows(sold("2017-12-01", "2017-12-31")))

    assert sales_rows.unknown.tolist() == []
    assert sales_rows.units[:, day("2017-12-25") - sales_rows.first].sum() == 0


def test_one_row_of_a_wrong_day_moves_no_end(sales_rows: pa.Table) -> None:
    stray = sales_rows.slice(0, 1)
    place = sales_rows.column_names.index("day")
    wrong = stray.set_column(place, "day", pa.array([day(LAST) + 9], pa.int32()))

    found = series.panel(pa.concat_tables([sales_rows, wrong]))

    assert (found.first, found.last) == (day(FIRST), day(LAST))


def test_rows_that_count_no_pieces_are_no_examples(sales_rows: pa.Table) -> None:
    apart = sales_rows.filter(pc.is_in(sales_rows["department"], pa.array(["FUEL"])))

    with pytest.raises(ValueError, match="no row counts pieces"):
        series.training_examples(apart)
