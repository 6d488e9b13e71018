"""Answers as columns beside the columns of the rows that they are answers to."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.novelty_check import Reason
from overnight.store.schema import NUMPY_TYPES, Schema

Array = NDArray[Any]
# Delta has no unsigned types, and other files have the same ones.
_STORED = {
    "bool": pa.bool_(),
    "uint8": pa.int16(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}
_NARROWED = {
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.null(): pa.string(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
}
OWN = pa.schema(
    [
        ("request", pa.string()),
        ("row", pa.int32()),
        ("version", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
# Why a row is unlike what its version learned from; null where it is not.
UNLIKE_COLUMN = pa.field(UNLIKE_TRAINING, pa.string())
REJECTED = pa.schema([("row", pa.int64()), ("reason", pa.string())])


def answer_schema(
    schema: Schema, kept: pa.Schema, outputs: Sequence[str], *, flags: bool = False
) -> pa.Schema:
    """The columns of scored rows: those that are kept, our own, and the outputs.

    An output with classes is also `answer`, the likeliest one, and its `probability`, if it is the
    first. A tensor is a list, flat in C order. A version that `flags` rows has `unlike_training`.
    """
    fields = [pa.field(each.name, stored_type(each.type)) for each in kept]
    fields += [field.with_nullable(True) for field in OWN]
    if _has_classes(schema, outputs):
        fields += [pa.field("answer", pa.string()), pa.field("probability", pa.float32())]
    if flags:
        fields.append(UNLIKE_COLUMN)
    for spec in schema.outputs:
        if spec.name in outputs:
            kind = _STORED[NUMPY_TYPES[spec.datatype]]
            fields.append(pa.field(f"output.{spec.name}", pa.list_(kind) if spec.shape else kind))
    return pa.schema(fields)


def answer_rows(
    columns: pa.Schema,
    schema: Schema,
    kept: pa.RecordBatch,
    answers: Mapping[str, Array],
    *,
    request: str,
    version: str,
    at_us: int,
    unlike: Sequence[Reason] = (),
) -> pa.RecordBatch:
    """The scored rows of one request, in these columns; `unlike` are the reasons of some."""
    n = kept.num_rows
    at = pa.scalar(datetime.fromtimestamp(at_us / 1e6, UTC), OWN.field("at").type)
    own: dict[str, pa.Array] = {
        "request": pa.repeat(request, n),
        "row": pa.array(np.arange(n, dtype=np.int32)),
        "version": pa.repeat(version, n),
        "at": pa.repeat(at, n),
    }
    # Without a rule, a column of this name is one that is carried over.
    if UNLIKE_TRAINING not in kept.schema.names:
        own[UNLIKE_TRAINING] = _reasons(unlike, n)
    if _has_classes(schema, list(answers)):
        first = schema.outputs[0].name
        classes = pa.array(schema.classes(first))
        own["answer"] = classes.take(pa.array(answers[first].argmax(axis=1)))
        own["probability"] = pa.array(answers[first].max(axis=1).astype(np.float32))
    for name, values in answers.items():
        own[f"output.{name}"] = _column(values, columns.field(f"output.{name}").type)
    arrays = [
        own[field.name] if field.name in own else _cast(kept.column(field.name), field.type)
        for field in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a column that is carried over is stored."""
    if isinstance(kind, pa.BaseExtensionType):
        return stored_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if any(check(kind) for check in lists):
        return pa.list_(stored_type(kind.value_type))
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return _NARROWED.get(kind, kind)


def csv_schema(columns: pa.Schema) -> pa.Schema:
    """The same columns where every list and other nested value is a text."""
    return pa.schema(
        [
            pa.field(each.name, pa.string() if pa.types.is_nested(each.type) else each.type)
            for each in columns
        ]
    )


def csv_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with their lists as JSON such as `[1, 2]`, which `score` and `predict` read."""
    columns = [
        _json(column) if pa.types.is_nested(column.type) else column for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=csv_schema(rows.schema))


def _reasons(unlike: Sequence[Reason], n: int) -> pa.Array:
    """The reasons of each of n rows as one text, null where it has none."""
    texts: list[str | None] = [None] * n
    for reason in unlike:
        row, why = int(reason["row"]), str(reason["why"])
        own = f"{reason['input']}: {why}" if "input" in reason else why
        texts[row] = own if texts[row] is None else f"{texts[row]}; {own}"
    return pa.array(texts, pa.string())


def _has_classes(schema: Schema, outputs: Sequence[str]) -> bool:
    first = schema.outputs[0]
    classes = schema.classes(first.name)
    return first.name in outputs and first.shape == (len(classes),) and len(classes) > 1


def _column(values: Array, kind: pa.DataType) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values).cast(kind)
    each_row = int(np.prod(values.shape[1:], dtype=np.int64))
    offsets = np.arange(len(values) + 1, dtype=np.int64) * each_row
    flat = pa.array(values.reshape(-1)).cast(kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    # A time in nanoseconds loses them: Delta has microseconds.
    return (
        column if column.type == kind else column.cast(kind, safe=not pa.types.is_timestamp(kind))
    )


def _json(column: pa.Array) -> pa.Array:
    kind = column.type
    simple = pa.types.is_list(kind) and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    )
    if not simple or column.flatten().null_count:
        values = column.to_pylist()
        texts = [None if each is None else json.dumps(each, default=str) for each in values]
        return pa.array(texts, pa.string())
    joined = pc.binary_join(column.cast(pa.list_(pa.string())), ", ")
    return pc.binary_join_element_wise("[", joined, "]", "")
