"""Slices by the values of a column."""

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.metrics.slices import slices_by
from overnight.store.errors import ConfigurationError

ROWS = pa.table(
    {
        "group": ["a", "b", None, "b", "c"],
        "age": pa.array([10.0, 30.0, None, 49.0, 50.0], pa.float64()),
        "member": [True, False, True, True, None],
    }
)


def counts(masks: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}


def test_each_value_is_a_slice_and_so_are_the_missing_ones() -> None:
    assert counts(slices_by(ROWS, "group")) == {
        "group=b": [1, 3],
        "group=a": [0],
        "group=c": [4],
        "group=missing": [2],
    }
    assert counts(slices_by(ROWS, "member")) == {
        "member=True": [0, 2, 3],
        "member=False": [1],
        "member=missing": [4],
    }


def test_only_the_most_frequent_values_are_slices() -> None:
    assert list(slices_by(ROWS, "group", most=1)) == ["group=b", "group=missing"]


def test_numbers_are_cut_at_borders() -> None:
    assert counts(slices_by(ROWS, "age", borders=(30, 50))) == {
        "age=under 30": [0],
        "age=30 to 50": [1, 3],
        "age=50 or more": [4],
        "age=missing": [2],
    }


def test_no_rows_have_no_slices() -> None:
    assert slices_by(ROWS.slice(0, 0), "group") == {}


@pytest.mark.parametrize(
    ("column", "borders", "why"),
    [
        ("sex", (), "no column is called 'sex' among group, age, member"),
        ("age", (30, 30), "expected borders that rise"),
        ("group", (1, 2), "borders cut numbers, and it has string"),
    ],
)
def test_a_wrong_declaration_says_so(column: str, borders: tuple[float, ...], why: str) -> None:
    with pytest.raises(ConfigurationError, match="slices_by") as raised:
        slices_by(ROWS, column, borders=borders)

    assert why in str(raised.value)
