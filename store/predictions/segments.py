"""Writes segments of the prediction log, frame by frame, and names them (`segment_format`)."""

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overnight.store.errors import BadKey, OvernightError
from overnight.store.predictions.records import (
    AnsweredRequest,
    Array,
    SentLabel,
)
from overnight.store.predictions.segment_format import (
    CHECKED,
    INT64,
    LENGTH,
    LISTS,
    MAGIC,
    MAXIMUM_FRAME_BYTES,
    MAXIMUM_HEADER_BYTES,
    NUMBER_TYPES,
    TEXT,
    AnswerColumns,
)

_SEGMENT = re.compile(r"([0-9a-f]{32})-([0-9]{8})\.log")
# The byte order of numpy's types that are not little-endian, on a machine that is.
_FOREIGN = ">"

Dumps = Callable[[object], bytes]
# What has bytes in memory, one after the other: `bytes`, a view of some, or an array.
Buffer = Any


class BadRecord(OvernightError):
    """A record that cannot be in a segment."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {actual:.200}; it is not recorded")


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
    times = [np.asarray(column, INT64).tobytes() for column in (columns.at_us, columns.latency_us)]
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


def _frame(header: bytes, values: Sequence[Buffer]) -> list[Buffer]:
    """A frame in parts, of which the last are the values; only arrays are copied.

    Raises:
        BadRecord: more than a frame may hold.
    """
    size, crc = 0, 0
    parts: list[Buffer] = [b"", LENGTH.pack(len(header)) + header, *values]
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
    checked = CHECKED.pack(MAGIC, size, crc)
    parts[0] = checked + LENGTH.pack(zlib.crc32(checked))
    return parts


def _plain(name: str, rows: Array) -> dict[str, Any]:
    """The description of an array of numbers, whose raw values follow the header."""
    kind = rows.dtype
    if kind.name not in NUMBER_TYPES or kind.byteorder == _FOREIGN:
        expected = f"values of {', '.join(NUMBER_TYPES)}"
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
        return {"name": name, "type": TEXT, "shape": rows.shape[1:], "texts": flat}
    present = [value for value in flat if value is not None]
    is_array = all(isinstance(value, np.ndarray) for value in present)
    types = {value.dtype.name for value in present} if is_array else {"objects"}
    if not is_array or len(types) > 1 or not types <= NUMBER_TYPES.keys() or rows.ndim != 1:
        expected = "texts, or rows of one numeric type"
        raise BadRecord(f"tensor {name!r}", expected=expected, actual=f"{sorted(types)}")
    values.extend(present)
    shapes = [None if value is None else value.shape for value in flat]
    return {"name": name, "type": LISTS, "of": types.pop(), "shapes": shapes}
