"""Rows of the table of predictions as arrays again, with the published schema of a version."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.store.encoding.arrays import objects
from overnight.store.errors import Unrecorded
from overnight.store.input_encodings import day_number
from overnight.store.predictions.columns import Side
from overnight.store.predictions.records import Array
from overnight.store.predictions.tensor_columns import columns_of, family
from overnight.store.schema import NUMPY_TYPES, TensorSpec


def recorded(table: pa.Table, specs: Sequence[TensorSpec], prefix: Side) -> NDArray[np.bool_]:
    """Which of n rows have the values of all these tensors, bool [n].

    A row lacks them where the model's log records a digest or nothing, where a request asked for
    other outputs, and where the tensor came later than the row; a declared default counts as
    recorded in rows that have any other of the tensors.
    """
    own = {spec.name: _has_value(table, spec, prefix) for spec in specs}
    any_of_them = np.logical_or.reduce([*own.values()]) if own else np.ones(len(table), bool)
    has = np.ones(len(table), bool)
    for spec in specs:
        optional = spec.default is not None or spec.accepts_missing
        has &= own[spec.name] | (any_of_them if optional else False)
    return has


def arrays_of(table: pa.Table, specs: Sequence[TensorSpec], prefix: Side) -> dict[str, Array]:
    """The tensors of n rows by name, [n, *shape] in the type that the specification declares.

    Texts are object arrays of `str`, with None where a value was missing. Rows of varying length
    are objects, of which each is an array. Rows without a tensor have its default.

    Raises:
        Unrecorded: rows lack a tensor, or have other shapes; keep those of `recorded` alone, and
            only rows of versions with this schema.
    """
    return {spec.name: _array(table, spec, prefix) for spec in specs}


def _has_value(table: pa.Table, spec: TensorSpec, prefix: Side) -> NDArray[np.bool_]:
    has = np.zeros(len(table), bool)
    for values in _fitting(table, spec, prefix):
        has |= np.asarray(values.is_valid())
    return has


def _fitting(table: pa.Table, spec: TensorSpec, prefix: Side) -> list[pa.ChunkedArray]:
    """The columns with values of this tensor that its declaration can take."""
    return [
        table.column(name)
        for name in columns_of(table.schema, f"{prefix}.{spec.name}")
        if _fits(table.schema.field(name).type, spec)
    ]


def _fits(kind: pa.DataType, spec: TensorSpec) -> bool:
    wanted = {"BOOL": {"flag"}, "BYTES": {"text"}}.get(spec.datatype, {"number", "whole"})
    is_list = bool(pa.types.is_list(kind))
    return is_list == bool(spec.shape) and family(kind).removesuffix("-list") in wanted


def _array(table: pa.Table, spec: TensorSpec, prefix: Side) -> Array:
    shape = () if spec.lengths else spec.shape
    result = _blank(spec, (len(table), *shape))
    filled = np.zeros(len(table), bool)
    for column in _fitting(table, spec, prefix):
        has = np.asarray(column.is_valid()) & ~filled
        result[has] = _values(column.filter(pa.array(has)).combine_chunks(), spec, prefix)
        filled |= has
    _check_gaps(spec, prefix, int((~filled).sum()), len(table))
    return result


def _blank(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """What rows without a value have: the default, or what stands for a missing value."""
    target = np.dtype(object if spec.lengths else NUMPY_TYPES[spec.datatype])
    default = spec.default
    if isinstance(default, str) and spec.vocabulary:
        default = spec.vocabulary.index(default)
    if isinstance(default, str) and spec.date:
        default = day_number(default)
    if isinstance(default, tuple):
        whole = np.array(default, NUMPY_TYPES[spec.datatype])
        return (
            objects([whole] * shape[0], shape[0]) if spec.lengths else np.tile(whole, (shape[0], 1))
        )
    if default is not None:
        return np.full(shape, default, target)
    return np.full(shape, {"O": None, "f": np.nan}.get(target.kind, 0), target)


def _values(column: pa.Array, spec: TensorSpec, prefix: Side) -> Array:
    """The values of rows that all have one, [n, …] in the declared type."""
    target = np.dtype(NUMPY_TYPES[spec.datatype])
    if not spec.shape:
        return _numbers(column).astype(target)
    counts = np.asarray(pc.list_value_length(column))
    flat = _numbers(column.flatten()).astype(target)
    inner = spec.shape[1:] if spec.lengths else spec.shape
    of_inner = int(np.prod(inner, dtype=np.int64))
    other = counts % of_inner != 0 if spec.lengths else counts != of_inner
    if other.any():
        raise Unrecorded(
            f"{prefix}.{spec.name}: {other.sum()} of {len(counts)} rows have other shapes than "
            f"{list(spec.shape)}; take only rows of versions with this schema"
        )
    if not spec.lengths:
        return flat.reshape(len(column), *inner)
    rows = np.split(flat, np.cumsum(counts)[:-1]) if len(counts) else []
    return objects((each.reshape(-1, *inner) for each in rows), len(column))


def _numbers(values: pa.Array) -> Array:
    numbers: Array = np.asarray(values.to_numpy(zero_copy_only=False))
    return numbers


def _check_gaps(spec: TensorSpec, prefix: Side, gaps: int, rows: int) -> None:
    if gaps and spec.default is None and not spec.accepts_missing:
        raise Unrecorded(
            f"{prefix}.{spec.name}: {gaps} of {rows} rows have no value: the log recorded a "
            "digest or nothing, or the version had no such tensor; take only rows that have it "
            "(`recorded`)"
        )
