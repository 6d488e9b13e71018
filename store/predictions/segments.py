"""Segments of the prediction log: frames of records, one after the other, in one file or object.

A frame is 16 bytes (magic, length of the body, crc32 of the body, crc32 of the 12 bytes before it;
little-endian) and its body: the length of a header in 4 bytes, the header as JSON, and the raw
values of its arrays. A frame of labels has labels. One of answers has those of any number of
requests to one version, by columns, because those are written for all requests at once: texts and
numbers of rows in the header, where a column that is the same for all requests is that one value;
then the times as two arrays of int64; then each tensor, concatenated along the rows.

A process that writes may die at any byte, so the end of a segment may be torn: it is counted, and
not decoded.
"""

import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from overnight.store.errors import BadKey, OvernightError
from overnight.store.predictions.records import (
    AnsweredRequest,
    Array,
    LabelOrigin,
    Route,
    SentLabel,
)
from overnight.store.schema import NUMPY_TYPES

# Longer bodies are neither written nor read. A segment is closed once it is longer than it should
# be by at most one frame.
MAXIMUM_FRAME_BYTES = 32_000_000
# JSON takes up to twenty times its length once it is parsed.
MAXIMUM_HEADER_BYTES = 8_000_000
SEGMENT_BYTES = 8_000_000
MAXIMUM_SEGMENT_BYTES = SEGMENT_BYTES + MAXIMUM_FRAME_BYTES
MAXIMUM_ROWS = 1_048_576
_MAGIC = b"ovn1"
_PREAMBLE = struct.Struct("<4sIII")
_CHECKED = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")
_SEGMENT = re.compile(r"([0-9a-f]{32})-([0-9]{8})\.log")
_TYPES = {name: np.dtype(name) for name in NUMPY_TYPES.values() if name != "object"}
_ROUTES, _ORIGINS = frozenset(get_args(Route)), frozenset(get_args(LabelOrigin))
_MAXIMUM_AXES = 32
# The byte order of numpy's types that are not little-endian, on a machine that is.
_FOREIGN = ">"
_TEXT, _LISTS = "text", "lists"

_INT64 = np.dtype("<i8")

Dumps = Callable[[object], bytes]
# What has bytes in memory, one after the other: `bytes`, a view of some, or an array.
Buffer = Any


class BadRecord(OvernightError):
    """A record that cannot be in a segment."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {actual:.200}; it is not recorded")


class _Damaged(Exception):
    """A frame that is not what `encode_answers` or `encode_labels` write."""


@dataclass(frozen=True)
class AnswerColumns:
    """What a frame has of its requests besides their tensors: a value of each for each request.

    `at_us` and `latency_us` are arrays of int64, or what such an array can be made of.
    """

    requests: Sequence[str]
    callers: Sequence[str]
    at_us: Any
    routes: Sequence[str]
    clients: Sequence[str]
    latency_us: Any
    counts: Sequence[int]
    digests: Sequence[str]


@dataclass(frozen=True)
class AnsweredBatch:
    """Requests that one version answered, with arrays of the same names, types and row shapes.

    `inputs` and `outputs` have by name the arrays [n, …] of each request, in the order of the
    columns.
    """

    model: str
    version: str
    share: float
    columns: AnswerColumns
    inputs: Mapping[str, Sequence[Array]]
    outputs: Mapping[str, Sequence[Array]]


def segment_name(incarnation: str, number: int) -> str:
    """The name of segment `number` of one incarnation of a worker, which is 32 hexadecimal digits.

    Raises:
        BadKey: neither of them can be in a name.
    """
    name = f"{incarnation}-{number:08d}.log"
    parse_segment_name(name)
    return name


def parse_segment_name(name: str) -> tuple[str, int]:
    """Incarnation and number of a segment.

    Raises:
        BadKey: no name of a segment.
    """
    match = _SEGMENT.fullmatch(name)
    if match is None:
        raise BadKey(name, "a segment is named <32 hexadecimal digits>-<8 digits>.log")
    return match[1], int(match[2])


def encode_answer(record: AnsweredRequest) -> bytes:
    """One record as a frame of its own.

    Raises:
        BadRecord: an array of a type that no tensor has, or more than a frame may hold.
    """
    columns = AnswerColumns(
        requests=(record.request,),
        callers=(record.caller,),
        at_us=(record.at_us,),
        routes=(record.route,),
        clients=(record.client,),
        latency_us=(record.latency_us,),
        counts=(record.n,),
        digests=(record.digest,),
    )
    inputs = {name: (rows,) for name, rows in record.inputs.items()}
    outputs = {name: (rows,) for name, rows in record.outputs.items()}
    return encode_answers(
        AnsweredBatch(record.model, record.version, record.share, columns, inputs, outputs)
    )


def _dumps(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # JSON may escape half a surrogate pair, so a text of a client may have one.
    return text.encode(errors="surrogatepass")


def encode_answers(batch: AnsweredBatch, *, dumps: Dumps = _dumps) -> bytes:
    """A batch as one frame; `dumps` encodes its header as JSON in UTF-8.

    Raises:
        BadRecord: as `encode_answer`.
    """
    values: list[Buffer] = []
    inputs = [_described(name, arrays, values) for name, arrays in batch.inputs.items()]
    outputs = [_described(name, arrays, values) for name, arrays in batch.outputs.items()]
    fixed = _fixed(batch.model, batch.version, batch.share, inputs, outputs)
    return b"".join(_answer_frame(fixed, batch.columns, values, dumps))


class AnswerLayout:
    """Frames of answers of one version whose tensors are numbers of the same types and row shapes.

    They are those of `encode_answers`, made of values that are together already.
    """

    def __init__(
        self,
        manifest: tuple[str, str, float],
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        """`manifest` is model, version and share; the arrays [n, …] are those of one answer.

        Raises:
            BadRecord: an array whose raw values do not describe it: objects, or another byte order.
        """
        described = [
            [_plain(name, rows) for name, rows in tensors.items()] for tensors in (inputs, outputs)
        ]
        self._fixed = _fixed(*manifest, *described)

    def frame(
        self, columns: AnswerColumns, values: Sequence[Buffer], *, dumps: Dumps = _dumps
    ) -> list[Buffer]:
        """A frame in parts, of which the last are `values`: by tensor, those of all requests.

        Raises:
            BadRecord: more than a frame may hold.
        """
        return _answer_frame(self._fixed, columns, values, dumps)


def _fixed(
    model: str,
    version: str,
    share: float,
    inputs: Sequence[dict[str, Any]],
    outputs: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The part of a header that does not depend on the requests, but for texts in its tensors."""
    return {
        "kind": "answers",
        "model": model,
        "version": version,
        "share": share,
        "inputs": inputs,
        "outputs": outputs,
    }


def _answer_frame(
    fixed: dict[str, Any], columns: AnswerColumns, values: Sequence[Buffer], dumps: Dumps
) -> list[Buffer]:
    header = fixed | {
        "requests": columns.requests,
        "callers": _short(columns.callers),
        "routes": _short(columns.routes),
        "clients": _short(columns.clients),
        "counts": _short(columns.counts),
        "digests": _short(columns.digests),
    }
    times = [np.asarray(column, _INT64).tobytes() for column in (columns.at_us, columns.latency_us)]
    return _frame(dumps(header), [*times, *values])


def _short(column: Sequence[Any]) -> Any:
    """A column, or its one value where all are the same."""
    return column[0] if column and column.count(column[0]) == len(column) else column


def encode_label(record: SentLabel) -> bytes:
    """One label as a frame of its own.

    Raises:
        BadRecord: more than a frame may hold.
    """
    return encode_labels((record,))


def encode_labels(records: Sequence[SentLabel]) -> bytes:
    """Labels as one frame.

    Raises:
        BadRecord: as `encode_label`.
    """
    labels = [
        [
            record.request,
            record.caller,
            record.row,
            record.at_us,
            record.model,
            dict(record.truth),
            record.client,
            record.origin,
            record.authenticated,
        ]
        for record in records
    ]
    return b"".join(_frame(_dumps({"kind": "labels", "labels": labels}), []))


def inputs_digest(inputs: Mapping[str, Array]) -> str:
    """The sha256 of the published inputs of a request, in hexadecimal: equal for equal values."""
    hashed = hashlib.sha256()
    for name in sorted(inputs):
        values: list[Any] = []
        hashed.update(_dumps(_described(name, (inputs[name],), values)))
        for rows in values:
            hashed.update(rows.tobytes())
    return hashed.hexdigest()


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
            begin = position + _PREAMBLE.size
            body, position = view[begin : begin + length], begin + length
            try:
                if zlib.crc32(body) != crc:
                    raise _Damaged("its checksum differs")
                records = _records(body)
            except _Damaged as error:
                self.damaged_frames += 1
                self._report(begin - _PREAMBLE.size, error)
                continue
            yield from records

    def _report(self, position: int, error: _Damaged) -> None:
        self.problem = self.problem or f"the frame at byte {position}: {error}"


def _frame(header: bytes, values: Sequence[Buffer]) -> list[Buffer]:
    """A frame in parts, of which the last are the values; only arrays are copied.

    Raises:
        BadRecord: more than a frame may hold.
    """
    size, crc = 0, 0
    parts: list[Buffer] = [b"", _LENGTH.pack(len(header)) + header, *values]
    for place, part in enumerate(parts):
        if isinstance(part, np.ndarray):
            # Also an array whose values do not lie in memory in the order of its axes.
            parts[place] = part.tobytes()
        size += len(parts[place])
        crc = zlib.crc32(parts[place], crc)
    if size > MAXIMUM_FRAME_BYTES or len(header) > MAXIMUM_HEADER_BYTES:
        expected = (
            f"at most {MAXIMUM_FRAME_BYTES:,} bytes in a frame, "
            f"{MAXIMUM_HEADER_BYTES:,} of them texts"
        )
        raise BadRecord("records", expected=expected, actual=f"{size:,}, {len(header):,}")
    checked = _CHECKED.pack(_MAGIC, size, crc)
    parts[0] = checked + _LENGTH.pack(zlib.crc32(checked))
    return parts


def _plain(name: str, rows: Array) -> dict[str, Any]:
    """The description of an array of numbers, whose raw values follow the header."""
    kind = rows.dtype
    if kind.name not in _TYPES or kind.byteorder == _FOREIGN:
        expected = f"values of {', '.join(_TYPES)}"
        raise BadRecord(f"tensor {name!r}", expected=expected, actual=f"{kind}")
    return {"name": name, "type": kind.name, "shape": rows.shape[1:]}


def _described(name: str, arrays: Sequence[Array], values: list[Any]) -> dict[str, Any]:
    """The description of arrays [n, …] of one tensor; their raw values are added to `values`."""
    kind = arrays[0].dtype
    if kind.kind == "O":
        return _described_objects(name, np.concatenate(arrays), values)
    if any(rows.dtype != kind for rows in arrays):
        raise BadRecord(f"tensor {name!r}", expected="values of one type", actual="several")
    if kind.byteorder == _FOREIGN:
        arrays = [rows.astype(kind.newbyteorder("<")) for rows in arrays]
    values.extend(arrays)
    return _plain(name, arrays[0])


def _described_objects(name: str, rows: Array, values: list[Any]) -> dict[str, Any]:
    """Texts, or rows of varying length, of which each is an array; None is missing in both."""
    flat = rows.reshape(-1).tolist()
    if all(value is None or isinstance(value, str) for value in flat):
        return {"name": name, "type": _TEXT, "shape": rows.shape[1:], "texts": flat}
    present = [value for value in flat if value is not None]
    is_array = all(isinstance(value, np.ndarray) for value in present)
    types = {value.dtype.name for value in present} if is_array else {"objects"}
    if not is_array or len(types) > 1 or not types <= _TYPES.keys() or rows.ndim != 1:
        expected = "texts, or rows of one numeric type"
        raise BadRecord(f"tensor {name!r}", expected=expected, actual=f"{sorted(types)}")
    values.extend(present)
    shapes = [None if value is None else value.shape for value in flat]
    return {"name": name, "type": _LISTS, "of": types.pop(), "shapes": shapes}


def _preamble(view: memoryview, position: int) -> tuple[int, int]:
    """The length and the checksum of the body of the frame at a position."""
    if len(view) - position < _PREAMBLE.size:
        raise _Damaged("the segment ends within it")
    magic, length, crc, own = _PREAMBLE.unpack_from(view, position)
    if magic != _MAGIC or zlib.crc32(view[position : position + _CHECKED.size]) != own:
        raise _Damaged("no frame begins there")
    if length > MAXIMUM_FRAME_BYTES:
        raise _Damaged(f"{length:,} bytes are more than a frame has")
    if length > len(view) - position - _PREAMBLE.size:
        raise _Damaged("the segment ends within it")
    return length, crc


def _records(body: memoryview) -> Iterator[AnsweredRequest | SentLabel]:
    """The records of a frame, all of which are checked before the first is returned."""
    try:
        (length,) = _LENGTH.unpack_from(body)
        if length > MAXIMUM_HEADER_BYTES:
            raise ValueError(f"a header of {length:,} bytes")
        header = json.loads(bytes(body[_LENGTH.size : _LENGTH.size + length]))
        if header["kind"] == "labels":
            return iter([_label(*each) for each in _list(header["labels"])])
        if header["kind"] == "answers":
            return _answers(header, body[_LENGTH.size + length :])
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
    at_us, position = _numbers(_INT64, (records,), values, 0)
    latency_us, position = _numbers(_INT64, (records,), values, position)
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
        if kind == _TEXT:
            arrays[name] = _texts(tensor, n)
        elif kind == _LISTS:
            arrays[name], position = _lists(tensor, values, position, n)
        else:
            shape = (n, *_shape(tensor["shape"]))
            arrays[name], position = _numbers(_TYPES[kind], shape, values, position)
    return arrays, position


def _texts(tensor: dict[str, Any], n: int) -> Array:
    texts, shape = tensor["texts"], (n, *_shape(tensor["shape"]))
    if not isinstance(texts, list) or len(texts) != math.prod(shape):
        raise ValueError(f"not the texts of the shape {shape}")
    flat = np.empty(len(texts), object)
    flat[:] = [text if text is None else _text(text) for text in texts]
    return flat.reshape(shape)


def _lists(tensor: dict[str, Any], values: memoryview, position: int, n: int) -> tuple[Array, int]:
    kind, shapes = _TYPES[tensor["of"]], tensor["shapes"]
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
    if not isinstance(shape, list) or len(shape) >= _MAXIMUM_AXES:
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
