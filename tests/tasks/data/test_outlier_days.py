"""Days far from all others refuse their arrival, because one of them would move every window."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.data_gates.declaration import DataGates
from overnight.store.datasets.delta_table import Dataset
from overnight.tasks.data.outlier_days import days_of, outlier_days

GATES = DataGates(outlier_days=14)


def table(days: Sequence[int], arrival: str) -> pa.Table:
    return pa.table({"day": pa.array(days, pa.int32()), "arrival": [arrival] * len(days)})


@pytest.fixture
def rows(tmp_path: Path) -> Dataset:
    result = Dataset.in_folder(tmp_path, "sales", "rows")
    result.append(table(range(100, 200), "history"), "history")
    return result


def against(days: Sequence[int], rows: Dataset, *, excluded: Sequence[str] = ()) -> list[str]:
    reported = days_of(table(days, "tonight"), GATES)
    return [
        item.message for item in outlier_days(reported, rows, GATES, "tonight", excluded=excluded)
    ]


@pytest.mark.parametrize("days", [[200], [195, 200], [213], [86], [150], [213, 227], []])
def test_days_near_the_known_ones_or_in_a_chain_from_them_are_accepted(
    days: list[int], rows: Dataset
) -> None:
    assert against(days, rows) == []


@pytest.mark.parametrize("stray", [215, 565, 85, -200])
def test_a_single_day_far_from_the_known_ones_refuses_its_arrival(
    stray: int, rows: Dataset
) -> None:
    (reported,) = against([200] * 999 + [stray], rows)

    assert "1 of 1,000 rows are more than 14 days from all others" in reported
    assert str(np.datetime64(stray, "D")) in reported


def test_in_an_empty_dataset_days_are_compared_with_the_most_frequent_one(
    tmp_path: Path,
) -> None:
    nothing = Dataset.in_folder(tmp_path, "sales", "none")
    year = [day for day in range(100, 400) for _ in range(3)]

    assert against(year, nothing) == []
    assert "2 of 902 rows" in against([*year, 4_000, 10], nothing)[0]


def test_an_excluded_day_makes_no_other_plausible(rows: Dataset) -> None:
    rows.append(table([900], "wrong"), "wrong")

    assert against([905], rows) == []
    assert against([905], rows, excluded=["wrong"])


def test_a_model_without_a_limit_accepts_all_days(rows: Dataset) -> None:
    none = DataGates()

    assert not len(days_of(table([9_000], "tonight"), none))
    assert outlier_days(np.array([9_000]), rows, none, "tonight", excluded=()) == ()
