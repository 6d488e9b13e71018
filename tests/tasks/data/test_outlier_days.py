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
    found = Dataset.in_folder(tmp_path, "sales", "rows")
    found.append(table(range(100, 200), "history"), "history")
    return found


def against(days: Sequence[int], rows: Dataset, *, excluded: Sequence[str] = ()) -> list[str]:
    told = days_of(table(days, "tonight"), GATES)
    return [one.message for one in outlier_days(told, rows, GATES, "tonight", excluded=excluded)]


@pytest.mark.parametrize("days", [[200], [195, 200], [213], [86], [150], [213, 227], []])
def test_days_near_the_known_ones_or_in_a_chain_from_them_may_come(
    days: list[int], rows: Dataset
) -> None:
    assert against(days, rows) == []


@pytest.mark.parametrize("stray", [215, 565, 85, -200])
def test_a_single_day_far_from_the_known_ones_refuses_its_arrival_and_is_told(
    stray: int, rows: Dataset
) -> None:
    (told,) = against([200] * 999 + [stray], rows)

    assert "1 of 1,000 rows are more than 14 days from all others" in told
    assert str(np.datetime64(stray, "D")) in told


def test_before_the_first_arrival_the_day_of_most_rows_is_what_others_are_held_against(
    tmp_path: Path,
) -> None:
    nothing = Dataset.in_folder(tmp_path, "sales", "none")
    year = [day for day in range(100, 400) for _ in range(3)]

    assert against(year, nothing) == []
    assert "2 of 902 rows" in against([*year, 4_000, 10], nothing)[0]


def test_a_day_that_was_excluded_makes_no_other_plausible(rows: Dataset) -> None:
    rows.append(table([900], "wrong"), "wrong")

    assert against([905], rows) == []
    assert against([905], rows, excluded=["wrong"])


def test_a_model_that_declares_nothing_of_days_is_asked_nothing(rows: Dataset) -> None:
    none = DataGates()

    assert not len(days_of(table([9_000], "tonight"), none))
    assert outlier_days(np.array([9_000]), rows, none, "tonight", excluded=()) == ()
