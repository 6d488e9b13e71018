"""Nights of sales that are merely unlike others pass, and spoilt ones wait for a person."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models.data_gates.drift import ColumnSample
from overnight.models.sales.data_gates import DATA_GATES, row_statistics
from overnight.tasks.data.admission import check_columns_of
from tests.support.genuine_sales import rows, sold, year


def everywhere(first: str, last: str) -> pa.Table:
    stores = tuple(pc.unique(year()["store_id"]).to_pylist())
    return rows(sold(first, last, stores=stores))


@pytest.fixture(scope="module")
def learned() -> ColumnSample:
    return row_statistics(everywhere("2017-10-01", "2017-10-31"))


def held(night: pa.Table, learned: ColumnSample) -> set[str]:
    found = [gate.finding("tonight", row_statistics(night), learned) for gate in DATA_GATES.shifts]
    return {one.metric for one in found if not one.passed}


@pytest.mark.parametrize("night", ["2017-11-03", "2017-11-05", "2017-11-23", "2017-12-24"])
def test_a_sound_arrival_passes_on_weekdays_sundays_and_feasts(
    night: str, learned: ColumnSample
) -> None:
    assert held(everywhere(night, night), learned) == set()


@pytest.mark.parametrize(
    ("metric", "spoil"),
    [
        ("store", lambda night: night.filter(pc.less(night["store"], 350))),
        ("department", lambda night: night.filter(pc.not_equal(night["department"], "GROCERY"))),
        ("pieces", lambda night: night.set_column(4, "units", pc.multiply(night["units"], 10.0))),
    ],
)
def test_a_damaged_arrival_is_parked(
    metric: str, spoil: Callable[[pa.Table], pa.Table], learned: ColumnSample
) -> None:
    night = everywhere("2017-11-03", "2017-11-03")

    assert metric in held(spoil(night), learned)


@pytest.mark.parametrize(
    ("column", "value"), [("units", 1e6), ("day", 40_000), ("store", 0), ("basket", -1)]
)
def test_a_value_out_of_range_refuses_its_arrival(column: str, value: float) -> None:
    night = rows(sold("2017-11-03", "2017-11-03"))
    place, kind = night.column_names.index(column), night.schema.field(column).type
    wrong = night.set_column(place, column, pa.array([value] * night.num_rows).cast(kind))

    assert column in {one.metric for one in check_columns_of(wrong, DATA_GATES, "tonight")}
    assert check_columns_of(night, DATA_GATES, "tonight") == ()
