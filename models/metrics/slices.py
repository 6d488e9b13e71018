"""Slices by the values of a column: the groups that no version may serve worse than others."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.metrics.evaluation import Mask
from overnight.store.errors import ConfigurationError

MISSING = "missing"


def slices_by(
    rows: pa.Table, column: str, *, most: int = 20, borders: Sequence[float] = ()
) -> dict[str, Mask]:
    """A mask of n rows for each value of a column, named `column=value`.

    Only the `most` frequent values get one. Missing values are `column=missing`. A column of
    numbers is cut at `borders`, which rise: `age=under 30`, `age=30 to 50`, `age=50 or more`.

    Raises:
        ConfigurationError: there is no such column, borders do not rise, or cut no numbers.
    """
    if column not in rows.column_names:
        raise ConfigurationError(
            f"slices_by: no column is called {column!r} among {', '.join(rows.column_names)}; "
            "name one of them"
        )
    values = rows.column(column)
    if borders:
        return _between(values, column, borders)
    counts = sorted(
        (-item["counts"].as_py(), _text(item["values"].as_py()))
        for item in pc.value_counts(values)
        if item["values"].as_py() is not None
    )
    texts = np.array([_text(value) for value in values.to_pylist()], object)
    masks = {f"{column}={name}": texts == name for _, name in counts[:most]}
    return masks | _missing(values, column)


def _between(values: pa.ChunkedArray, column: str, borders: Sequence[float]) -> dict[str, Mask]:
    if any(high <= low for low, high in pairwise(borders)):
        raise ConfigurationError(
            f"slices_by({column!r}): expected borders that rise, found {tuple(borders)}"
        )
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise ConfigurationError(
            f"slices_by({column!r}): borders cut numbers, and it has {values.type}; "
            "leave the borders out"
        )
    numbers = values.cast(pa.float64()).to_numpy()
    names = [
        f"under {borders[0]:g}",
        *(f"{low:g} to {high:g}" for low, high in pairwise(borders)),
        f"{borders[-1]:g} or more",
    ]
    places = np.searchsorted(np.asarray(borders, np.float64), numbers, side="right")
    known = ~np.isnan(numbers)
    masks = {f"{column}={name}": (places == n) & known for n, name in enumerate(names)}
    return masks | _missing(values, column)


def _missing(values: pa.ChunkedArray, column: str) -> dict[str, Mask]:
    gaps = pc.is_null(values, nan_is_null=True).to_numpy()
    return {f"{column}={MISSING}": gaps} if gaps.any() else {}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
