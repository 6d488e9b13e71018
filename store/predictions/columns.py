"""The columns of the tables of predictions and labels, and how records become rows of them.

Delta has no unsigned types, so bytes (UINT8) are stored as whole numbers of 16 bits. A tensor of
which a row has one value is a column of that type, any other a column of lists, flat in C order.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import Literal

import numpy as np
import orjson
import pyarrow as pa

from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.predictions.records import AnsweredRequest, Array, SentLabel

Side = Literal["input", "output"]
DAY = "day"
_TIME = pa.timestamp("us", "UTC")
PREDICTIONS = pa.schema(
    [
        ("request", pa.string()),
        ("row", pa.int32()),
        ("caller", pa.string()),
        ("at", _TIME),
        ("version", pa.string()),
        ("route", pa.string()),
        ("client", pa.string()),
        ("share", pa.float64()),
        ("latency_us", pa.int32()),
        ("digest", pa.string()),
        ("collected", _TIME),
    ]
)
LABELS = pa.schema(
    [
        ("request", pa.string()),
        ("row", pa.int32()),
        ("caller", pa.string()),
        ("at", _TIME),
        ("truth", pa.string()),
        ("client", pa.string()),
        ("origin", pa.string()),
        ("authenticated", pa.bool_()),
        ("collected", _TIME),
    ]
)
_STORED = {
    "bool": pa.bool_(),
    "uint8": pa.int16(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "uint16": pa.int32(),
    "int32": pa.int32(),
    "uint32": pa.int64(),
    "int64": pa.int64(),
    "float16": pa.float32(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "object": pa.string(),
}
_LISTS, _NOTHING = "lists of ", "nothing"
_LONGEST_US = 2**31 - 1
_LAST_ROW = 2**31 - 1
_MICROSECONDS = 1_000_000
# 9999-12-31; a later time has no day.
_LAST_SECOND = 253_402_214_400


def day_of(at_us: int) -> date:
    """The day (UTC) of a moment in microseconds since 1970."""
    return datetime.fromtimestamp(at_us // _MICROSECONDS, UTC).date()


def problem(record: AnsweredRequest | SentLabel) -> str:
    """Why a record cannot be rows of a table; empty where it can.

    A process that can write segments decides what is in them, so nothing of a record is assumed.
    """
    if not 0 <= record.at_us < _LAST_SECOND * _MICROSECONDS:
        return f"its time is {record.at_us} µs since 1970"
    if isinstance(record, SentLabel):
        return "" if 0 <= record.row <= _LAST_ROW else f"it is of row {record.row}"
    return _problem_of_tensors(record)


def _problem_of_tensors(record: AnsweredRequest) -> str:
    if not 0 <= record.n <= _LAST_ROW:
        return f"it has {record.n} rows"
    if record.n and not any(values.size for values in record.outputs.values()):
        # Rows of nothing take no bytes in a segment, and some hundred each in a table.
        return f"it answers {record.n} rows with nothing"
    for name, values in chain(record.inputs.items(), record.outputs.items()):
        kind = _kind(values).removeprefix(_LISTS)
        if kind not in _STORED and kind != _NOTHING:
            return f"{name} has values of {kind}"
        if values.shape[:1] != (record.n,):
            return f"{name} has the shape {list(values.shape)}, and it has {record.n} rows"
    return ""


def answer_rows(
    records: Sequence[AnsweredRequest], collected: datetime
) -> Iterator[tuple[date, pa.RecordBatch]]:
    """The rows of sound records, in batches of one day and of the same tensors each.

    The batches have the columns `PREDICTIONS`, one for each recorded input and output, and
    `unlike_training` where a row of a request is unlike what its version learned from.
    `collected` is when they came into the table.
    """
    alike: dict[tuple[object, ...], list[AnsweredRequest]] = defaultdict(list)
    for record in records:
        alike[day_of(record.at_us), _form(record.inputs), _form(record.outputs)].append(record)
    for group in alike.values():
        yield day_of(group[0].at_us), _answers(group, collected)


def label_rows(
    records: Sequence[SentLabel], collected: datetime
) -> Iterator[tuple[date, pa.RecordBatch]]:
    """The rows of sound labels, a batch a day, with the columns `LABELS`; see `answer_rows`."""
    days: dict[date, list[SentLabel]] = defaultdict(list)
    for record in records:
        days[day_of(record.at_us)].append(record)
    for day, group in days.items():
        columns = [
            _texts([each.request for each in group]),
            pa.array([each.row for each in group], pa.int32()),
            _texts([each.caller for each in group]),
            pa.array([each.at_us for each in group], _TIME),
            _texts([_json(each.truth) for each in group]),
            _texts([each.client for each in group]),
            _texts([each.origin for each in group]),
            pa.array([each.authenticated for each in group], pa.bool_()),
            pa.array([collected] * len(group), _TIME),
        ]
        yield day, pa.RecordBatch.from_arrays(columns, schema=LABELS)


def _answers(group: Sequence[AnsweredRequest], collected: datetime) -> pa.RecordBatch:
    """The rows of records that have the same tensors."""
    counts = [each.n for each in group]
    of_record = pa.array(np.repeat(np.arange(len(group)), counts))
    per_record = {
        "request": _texts([each.request for each in group]),
        "caller": _texts([each.caller for each in group]),
        "at": pa.array([each.at_us for each in group], _TIME),
        "version": _texts([each.version for each in group]),
        "route": _texts([each.route for each in group]),
        "client": _texts([each.client for each in group]),
        "share": pa.array([each.share for each in group], pa.float64()),
        "latency_us": pa.array(
            [min(max(each.latency_us, 0), _LONGEST_US) for each in group], pa.int32()
        ),
        "digest": _texts([each.digest for each in group]),
        "collected": pa.array([collected] * len(group), _TIME),
    }
    columns = {name: values.take(of_record) for name, values in per_record.items()}
    columns["row"] = pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in counts]))
    ordered = {name: columns[name] for name in PREDICTIONS.names}
    for name in group[0].inputs:
        ordered[f"input.{name}"] = _column([each.inputs[name] for each in group])
    for name in group[0].outputs:
        # What serving adds is no output of the network, and nobody's tensor.
        named = name if name == UNLIKE_TRAINING else f"output.{name}"
        ordered[named] = _column([each.outputs[name] for each in group])
    return pa.RecordBatch.from_pydict(ordered)


def _form(tensors: Mapping[str, Array]) -> tuple[object, ...]:
    return tuple((name, _kind(each), each.shape[1:]) for name, each in tensors.items())


def _column(arrays: Sequence[Array]) -> pa.Array:
    """One column of tensors [n, …] of the same form."""
    rows = sum(len(each) for each in arrays)
    each_row = int(np.prod(arrays[0].shape[1:], dtype=np.int64))
    flat = np.concatenate([each.reshape(-1) for each in arrays])
    kind = _kind(flat)
    if kind == _NOTHING:
        return pa.nulls(rows)
    if kind.startswith(_LISTS):
        return _lists(flat.tolist(), _STORED[kind.removeprefix(_LISTS)])
    values = _texts(flat.tolist()) if kind == "object" else _numbers(flat, _STORED[kind])
    if arrays[0].ndim == 1:
        return values
    offsets = np.arange(rows + 1, dtype=np.int64) * each_row
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)


def _kind(values: Array) -> str:
    """The type of values; of objects, that of the first that is not missing is that of all."""
    if values.dtype.kind != "O":
        return values.dtype.name
    first = next((each for each in values.reshape(-1).tolist() if each is not None), None)
    if isinstance(first, np.ndarray):
        return f"{_LISTS}{first.dtype.name}"
    return _NOTHING if first is None else "object"


def _lists(rows: Sequence[Array | None], stored: pa.DataType) -> pa.Array:
    """Rows of varying length, each an array that is stored flat, or null."""
    counts = [0 if each is None else each.size for each in rows]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    flat = np.concatenate([each.reshape(-1) for each in rows if each is not None])
    missing = pa.array([each is None for each in rows])
    values = _numbers(flat, stored)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=missing)


def _numbers(flat: Array, stored: pa.DataType) -> pa.Array:
    return pa.array(flat.astype(stored.to_pandas_dtype(), copy=False), stored)


def _texts(values: Sequence[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (UnicodeEncodeError, pa.ArrowException, TypeError):
        # Half of a surrogate pair, which JSON can express and UTF-8 cannot; or no text at all.
        clean = [None if each is None else _clean(each) for each in values]
        return pa.array(clean, pa.string())


def _clean(value: object) -> str:
    return str(value).encode(errors="replace").decode()


def _json(truth: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(dict(truth), option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return orjson.dumps({str(name): _clean(each) for name, each in truth.items()}).decode()
