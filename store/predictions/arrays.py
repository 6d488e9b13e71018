"""Rows of the table of predictions as arrays again, with the published schema of a version."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.store.errors import Unrecorded
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
    are padded up to the longest of them. Rows without a tensor have its default.

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
    target = np.dtype(NUMPY_TYPES[spec.datatype])
    result: Array | None = None
    filled = np.zeros(len(table), bool)
    for column in _fitting(table, spec, prefix):
        has = np.asarray(column.is_valid()) & ~filled
        if not has.any():
            continue
        values = _values(column.filter(pa.array(has)).combine_chunks(), spec, prefix)
        result = _wide_enough(result, values, spec, len(table), target)
        if spec.lengths:
            result[has, : values.shape[1]] = values
        else:
            result[has] = values
        filled |= has
    if result is None:
        result = _blank(spec, (len(table), *spec.shape), target)
    _check_gaps(spec, prefix, int((~filled).sum()), len(table))
    return result


def _wide_enough(
    result: Array | None, values: Array, spec: TensorSpec, rows: int, target: np.dtype[np.generic]
) -> Array:
    """The result so far, with room for rows of this length."""
    if result is None:
        return _blank(spec, (rows, *values.shape[1:]), target)
    if not spec.lengths or result.shape[1] >= values.shape[1]:
        return result
    wider = _blank(spec, (rows, *values.shape[1:]), target)
    wider[:, : result.shape[1]] = result
    return wider


def _blank(spec: TensorSpec, shape: tuple[int, ...], target: np.dtype[np.generic]) -> Array:
    """What rows without a value have: the default, or what stands for a missing value."""
    if isinstance(spec.default, (int, float)) and not spec.vocabulary:
        return np.full(shape, spec.default, target)
    if isinstance(spec.default, str) and spec.datatype == "BYTES":
        return np.full(shape, spec.default, target)
    if isinstance(spec.default, str) and spec.default in spec.vocabulary:
        return np.full(shape, spec.vocabulary.index(spec.default), target)
    if target.kind == "O":
        return np.full(shape, None, target)
    missing = np.nan if target.kind == "f" and spec.accepts_missing else spec.padding
    return np.full(shape, missing, target)


def _values(column: pa.Array, spec: TensorSpec, prefix: Side) -> Array:
    """The values of rows that all have one, [n, …] in the declared type."""
    target = np.dtype(NUMPY_TYPES[spec.datatype])
    if not spec.shape:
        return _numbers(column).astype(target)
    lengths = np.asarray(pc.list_value_length(column))
    flat = _numbers(column.flatten()).astype(target)
    inner = int(np.prod(spec.shape[1:], dtype=np.int64))
    fixed = inner * spec.shape[0]
    if not spec.lengths:
        if not np.all(lengths == fixed):
            _refuse_lengths(spec, prefix, int((lengths != fixed).sum()), len(lengths))
        return flat.reshape(len(column), *spec.shape)
    if np.any(lengths % inner):
        _refuse_lengths(spec, prefix, int((lengths % inner != 0).sum()), len(lengths))
    longest = int(lengths.max(initial=0))
    padded = np.full((len(column), longest), spec.padding, target)
    padded[np.arange(longest) < lengths[:, None]] = flat
    return padded.reshape(len(column), -1, *spec.shape[1:])


def _numbers(values: pa.Array) -> Array:
    numbers: Array = np.asarray(values.to_numpy(zero_copy_only=False))
    return numbers


def _refuse_lengths(spec: TensorSpec, prefix: Side, other: int, rows: int) -> None:
    raise Unrecorded(
        f"{prefix}.{spec.name}: {other} of {rows} rows have other shapes than {list(spec.shape)}; "
        "take only rows of versions with this schema"
    )


def _check_gaps(spec: TensorSpec, prefix: Side, gaps: int, rows: int) -> None:
    if gaps and spec.default is None and not spec.accepts_missing:
        raise Unrecorded(
            f"{prefix}.{spec.name}: {gaps} of {rows} rows have no value: the log recorded a "
            "digest or nothing, or the version had no such tensor; take only rows that have it "
            "(`recorded`)"
        )
