"""Reads segments of the prediction log (`segment_format`), which may be torn or altered."""

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from overnight.store.predictions.records import (
    AnsweredRequest,
    Array,
    LabelOrigin,
    Route,
    SentLabel,
)
from overnight.store.predictions.segment_format import (
    CHECKED,
    INT64,
    LENGTH,
    LISTS,
    MAGIC,
    MAXIMUM_AXES,
    MAXIMUM_FRAME_BYTES,
    MAXIMUM_HEADER_BYTES,
    MAXIMUM_ROWS,
    NUMBER_TYPES,
    PREAMBLE,
    TEXT,
    AnswerColumns,
)

_ROUTES, _ORIGINS = frozenset(get_args(Route)), frozenset(get_args(LabelOrigin))


class _Damaged(Exception):
    """A frame that is not what `encode_answers` or `encode_labels` write."""


def decode(segment: bytes) -> "SegmentReader":
    """The records of a segment, in the order in which they were written.

    Once it has ended, `torn_bytes`, `damaged_frames` and `problem` of the iterator say what could
    not be read. A frame is decoded whole: that takes at most twice its length, and twenty times
    that of its header.
    """
    return SegmentReader(segment)


class SegmentReader(Iterator[AnsweredRequest | SentLabel]):
    """Iterates over the records of a segment.

    Attributes:
        torn_bytes: at the end, which begin with no whole frame.
        damaged_frames: whose body was altered, or is no such record; those after it are read.
        problem: the first of these, in words; empty where everything was read.
    """

    def __init__(self, segment: bytes) -> None:
        self.torn_bytes = self.damaged_frames = 0
        self.problem = ""
        self._records = self._read(segment)

    def __next__(self) -> AnsweredRequest | SentLabel:
        return next(self._records)

    def _read(self, segment: bytes) -> Iterator[AnsweredRequest | SentLabel]:
        view, position = memoryview(segment), 0
        while position < len(view):
            try:
                length, crc = _preamble(view, position)
            except _Damaged as error:
                # Without a length there is no next frame; and none is looked for, because values
                # that a client sent could look like one.
                self.torn_bytes = len(view) - position
                self._report(position, error)
                return
            begin = position + PREAMBLE.size
            body, position = view[begin : begin + length], begin + length
            try:
                if zlib.crc32(body) != crc:
                    raise _Damaged("its checksum differs")
                records = _records(body)
            except _Damaged as error:
                self.damaged_frames += 1
                self._report(begin - PREAMBLE.size, error)
                continue
            yield from records

    def _report(self, position: int, error: _Damaged) -> None:
        self.problem = self.problem or f"the frame at byte {position}: {error}"


def _preamble(view: memoryview, position: int) -> tuple[int, int]:
    """The length and the checksum of the body of the frame at a position."""
    if len(view) - position < PREAMBLE.size:
        raise _Damaged("the segment ends within it")
    magic, length, crc, own = PREAMBLE.unpack_from(view, position)
    if magic != MAGIC or zlib.crc32(view[position : position + CHECKED.size]) != own:
        raise _Damaged("no frame begins there")
    if length > MAXIMUM_FRAME_BYTES:
        raise _Damaged(f"{length:,} bytes are more than a frame has")
    if length > len(view) - position - PREAMBLE.size:
        raise _Damaged("the segment ends within it")
    return length, crc


def _records(body: memoryview) -> Iterator[AnsweredRequest | SentLabel]:
    """The records of a frame, all of which are checked before the first is returned."""
    try:
        (length,) = LENGTH.unpack_from(body)
        if length > MAXIMUM_HEADER_BYTES:
            raise ValueError(f"a header of {length:,} bytes")
        header = json.loads(bytes(body[LENGTH.size : LENGTH.size + length]))
        if header["kind"] == "labels":
            return iter([_label(*each) for each in _list(header["labels"])])
        if header["kind"] == "answers":
            return _answers(header, body[LENGTH.size + length :])
    # JSON of anything but what is expected fails in one of these ways.
    except (ValueError, KeyError, TypeError, struct.error, RecursionError, OverflowError) as error:
        raise _Damaged(f"no record ({type(error).__name__}: {error})"[:200]) from None
    raise _Damaged("neither answers nor labels")


def _answers(header: dict[str, Any], values: memoryview) -> Iterator[AnsweredRequest]:
    columns, position = _columns(header, values)
    model, version = _text(header["model"]), _text(header["version"])
    share, n = float(header["share"]), sum(columns.counts)
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share}")
    inputs, position = _tensors(header["inputs"], values, position, n)
    outputs, position = _tensors(header["outputs"], values, position, n)
    if position != len(values):
        raise ValueError(f"{len(values) - position} more bytes than its arrays have")
    return _each(model, version, share, columns, inputs, outputs)


def _each(
    model: str,
    version: str,
    share: float,
    columns: AnswerColumns,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
) -> Iterator[AnsweredRequest]:
    start = 0
    for place, n in enumerate(columns.counts):
        own = slice(start, start + n)
        start += n
        yield AnsweredRequest(
            request=columns.requests[place],
            caller=columns.callers[place],
            at_us=int(columns.at_us[place]),
            model=model,
            version=version,
            route=columns.routes[place],  # type: ignore[arg-type]  # `_columns` checked it
            client=columns.clients[place],
            share=share,
            latency_us=int(columns.latency_us[place]),
            n=n,
            inputs={name: array[own] for name, array in inputs.items()},
            digest=columns.digests[place],
            outputs={name: array[own] for name, array in outputs.items()},
        )


def _columns(header: dict[str, Any], values: memoryview) -> tuple[AnswerColumns, int]:
    """The columns of a frame, each as long as it has requests, and where their values end."""
    requests = [_text(each) for each in _list(header["requests"])]
    records = len(requests)
    at_us, position = _numbers(INT64, (records,), values, 0)
    latency_us, position = _numbers(INT64, (records,), values, position)
    routes, counts = _long(header["routes"], records), _long(header["counts"], records)
    if not _ROUTES.issuperset(routes):
        raise ValueError("no route")
    if not all(0 <= _whole(n) <= MAXIMUM_ROWS for n in counts):
        raise ValueError("no number of rows")
    callers, clients, digests = (
        [_text(each) for each in _long(header[name], records)]
        for name in ("callers", "clients", "digests")
    )
    columns = AnswerColumns(requests, callers, at_us, routes, clients, latency_us, counts, digests)
    return columns, position


def _long(column: Any, records: int) -> list[Any]:
    """A column of so many requests, of which the frame may have the one value of all."""
    if not isinstance(column, list):
        return [column] * records
    if len(column) != records:
        raise ValueError(f"{len(column)} values for {records} requests")
    return column


def _tensors(
    described: Sequence[dict[str, Any]], values: memoryview, position: int, n: int
) -> tuple[dict[str, Array], int]:
    """Arrays [n, …] by name, and where their values end."""
    arrays: dict[str, Array] = {}
    for tensor in _list(described):
        name, kind = _text(tensor["name"]), tensor["type"]
        if name in arrays:
            raise ValueError(f"two tensors {name!r}")
        if kind == TEXT:
            arrays[name] = _texts(tensor, n)
        elif kind == LISTS:
            arrays[name], position = _lists(tensor, values, position, n)
        else:
            shape = (n, *_shape(tensor["shape"]))
            arrays[name], position = _numbers(NUMBER_TYPES[kind], shape, values, position)
    return arrays, position


def _texts(tensor: dict[str, Any], n: int) -> Array:
    texts, shape = tensor["texts"], (n, *_shape(tensor["shape"]))
    if not isinstance(texts, list) or len(texts) != math.prod(shape):
        raise ValueError(f"not the texts of the shape {shape}")
    flat = np.empty(len(texts), object)
    flat[:] = [text if text is None else _text(text) for text in texts]
    return flat.reshape(shape)


def _lists(tensor: dict[str, Any], values: memoryview, position: int, n: int) -> tuple[Array, int]:
    kind, shapes = NUMBER_TYPES[tensor["of"]], tensor["shapes"]
    if not isinstance(shapes, list) or len(shapes) != n:
        raise ValueError(f"not the shapes of {n} rows")
    rows = np.empty(n, object)
    for place, shape in enumerate(shapes):
        if shape is not None:
            rows[place], position = _numbers(kind, _shape(shape), values, position)
    return rows, position


def _numbers(
    kind: "np.dtype[Any]", shape: tuple[int, ...], values: memoryview, position: int
) -> tuple[Array, int]:
    """A copy of the values of a shape, so that an array is aligned and holds no whole segment."""
    end = position + math.prod(shape) * kind.itemsize
    if end > len(values):
        raise ValueError(f"fewer bytes than {kind.name} {list(shape)} has")
    # Of a boolean, bytes other than 0 and 1 are undefined.
    wire = np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("<")
    return np.frombuffer(values[position:end], wire).reshape(shape).astype(kind), end


def _label(*label: Any) -> SentLabel:
    request, caller, row, at_us, model, truth, client, origin, authenticated = label
    if origin not in _ORIGINS or not isinstance(truth, dict) or type(authenticated) is not bool:
        raise ValueError(f"no label: {origin!r}")
    for value in truth.values():
        if not isinstance(value, str | int | float | list):
            raise TypeError(f"the truth is {value!r}")
    return SentLabel(
        request=_text(request),
        caller=_text(caller),
        row=_whole(row),
        at_us=_whole(at_us),
        model=_text(model),
        truth=truth,
        client=_text(client),
        origin=origin,
        authenticated=authenticated,
    )


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) >= MAXIMUM_AXES:
        raise ValueError(f"no shape: {shape!r}"[:80])
    # numpy refuses an axis, or a product of the others, beyond 63 bits even where one of them is 0.
    if not all(0 <= _whole(side) <= MAXIMUM_FRAME_BYTES for side in shape):
        raise ValueError(f"no shape: {shape}"[:80])
    return tuple(shape)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"no list: {value!r}"[:80])
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"no text: {value!r}"[:80])
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise TypeError(f"no whole number of 64 bits: {value!r}"[:80])
    return value
