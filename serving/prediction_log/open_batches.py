"""Answers of one row with tensors of fixed types and shapes, collected by columns.

Most requests are such. Their values are copied at once into buffers that are used again and again:
arrays that wait would have every request touch memory that is in no cache, which costs more than
copying them, and objects that wait would be counted and followed by the garbage collector.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from overnight.serving.inference.runtime import Array
from overnight.serving.prediction_log.batches import (
    Frame,
    dumps,
    microseconds,
    recorded_clients,
)
from overnight.serving.prediction_log.recording import Details
from overnight.store.predictions.segment_format import AnswerColumns
from overnight.store.predictions.segments import AnswerLayout, BadRecord
from overnight.store.registry.manifest import LogPolicy, Manifest

# Answers in a frame. Its buffers should stay in the processor's cache, and its texts are encoded
# while the interpreter lock is held, which requests wait for: 0.1 ms.
BATCH = 256
BATCH_BYTES = 512_000
# Copying a large row costs more than having it wait, and its request needs far longer anyway.
ROW_BYTES = 16_384
# Of one answer, beside its tensors: its id, the caller's, and the key of the client.
DETAIL_BYTES = 1_000
_DETAILS = 6
# Full batches of a version that may wait with buffers of their own, which are used again.
_SPARE = 2


def can_be_open(
    policy: LogPolicy, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> bool:
    """Whether an answer is one small row of numbers, whose values are recorded as they are."""
    if policy.inputs == "digest":
        return False
    size = 0
    for rows in (*inputs.values(), *outputs.values()):
        if len(rows) != 1 or rows.dtype.kind == "O" or not rows.dtype.isnative:
            return False
        if not rows.flags.c_contiguous:
            return False
        size += rows.nbytes
    return bool(outputs) and size <= ROW_BYTES


class _Column:
    """A tensor of a batch: its name, its type, and how many bytes a row has."""

    __slots__ = ("kind", "name", "row_bytes")

    def __init__(self, name: str, rows: Array) -> None:
        self.name, self.kind, self.row_bytes = name, rows.dtype, rows.nbytes


@dataclass(frozen=True)
class FilledBatch:
    """Answers that were taken from an open batch, and the batch, which gets its buffers back."""

    batch: "OpenBatch"
    details: list[Any]
    buffers: list[io.BytesIO]

    def __len__(self) -> int:
        return len(self.details) // _DETAILS

    def frames(self) -> Iterator[Frame]:
        """The answers as a frame; in more, where some of them cannot be encoded."""
        yield from self.batch.encoded(self, 0, len(self))

    def release(self) -> None:
        """Give the buffers back, of which no frame may be in use."""
        self.batch.keep(self.buffers)


class OpenBatch:
    """Answers of one version to requests of one row, with the same tensors. Not thread-safe.

    Attributes:
        left: how many it takes yet, which its owner sets to `capacity` once there is room.
    """

    __slots__ = (
        "_buffers",
        "_count_inputs",
        "_count_outputs",
        "_details",
        "_inputs",
        "_layout",
        "_outputs",
        "_policy",
        "_spare",
        "_tensors",
        "capacity",
        "left",
        "manifest",
        "reserved_bytes",
    )

    def __init__(
        self,
        manifest: Manifest,
        policy: LogPolicy,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        """`inputs` and `outputs`: the arrays [1, …] of an answer that `can_be_open`."""
        described = manifest.model, manifest.version, policy.share
        recorded = inputs if policy.inputs == "values" else {}
        self.manifest, self._policy = manifest, policy
        self._layout = AnswerLayout(described, recorded, outputs)
        self._tensors = [
            _Column(name, rows) for name, rows in (*recorded.items(), *outputs.items())
        ]
        row_bytes = sum(column.row_bytes for column in self._tensors)
        self.capacity = min(BATCH, BATCH_BYTES // max(1, row_bytes))
        self.reserved_bytes = self.capacity * (row_bytes + DETAIL_BYTES)
        self.left = 0
        self._spare: list[list[io.BytesIO]] = []
        self._count_inputs, self._count_outputs = len(inputs), len(outputs)
        self._begin()

    def add(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], details: Details
    ) -> bool:
        """Whether an answer is such as the others, and then is added; there must be room `left`.

        Of a tensor only the number of rows and the length of a row vary, so its bytes tell whether
        the shape is the same; comparing shapes costs as much as copying the row.
        """
        if len(inputs) != self._count_inputs or len(outputs) != self._count_outputs:
            return False
        try:
            for name, kind, size, write in self._inputs:
                rows = inputs[name]
                if (rows.dtype is not kind and rows.dtype != kind) or write(rows) != size:
                    return self._undo()
            for name, kind, size, write in self._outputs:
                rows = outputs[name]
                if (rows.dtype is not kind and rows.dtype != kind) or write(rows) != size:
                    return self._undo()
        # Other names; or values that do not lie in memory in the order of their axes.
        except (KeyError, ValueError, BufferError):
            return self._undo()
        if len(rows) != 1:
            return self._undo()
        self._details += details
        self.left -= 1
        return True

    def take(self) -> FilledBatch:
        """The answers until now; the next ones are collected in other buffers."""
        filled = FilledBatch(self, self._details, self._buffers)
        self._begin()
        return filled

    @property
    def is_empty(self) -> bool:
        """Whether there are no answers to take."""
        return not self._details

    def keep(self, buffers: list[io.BytesIO]) -> None:
        """Use buffers again."""
        if len(self._spare) < _SPARE:
            for buffer in buffers:
                buffer.seek(0)
            self._spare.append(buffers)

    def encoded(self, filled: FilledBatch, start: int, stop: int) -> Iterator[Frame]:
        """Some answers of a batch as a frame; halved until what cannot be encoded stands alone."""
        manifest, policy = self.manifest, self._policy
        details = filled.details[start * _DETAILS : stop * _DETAILS]
        columns = AnswerColumns(
            requests=details[0::_DETAILS],
            callers=details[1::_DETAILS],
            clients=recorded_clients(manifest.model, details[2::_DETAILS], policy),
            routes=details[3::_DETAILS],
            at_us=microseconds(details[4::_DETAILS]),
            latency_us=microseconds(details[5::_DETAILS]),
            counts=(1,),
            digests=("",),
        )
        values = [
            buffer.getbuffer()[start * column.row_bytes : stop * column.row_bytes]
            for buffer, column in zip(filled.buffers, self._tensors, strict=True)
        ]
        try:
            parts = self._layout.frame(columns, values, dumps=dumps)
        except BadRecord:
            parts = None
        if parts is None and stop - start > 1:
            middle = (start + stop) // 2
            yield from self.encoded(filled, start, middle)
            yield from self.encoded(filled, middle, stop)
            return
        yield Frame(manifest.model, stop - start, parts)

    def _begin(self) -> None:
        self._details: list[Any] = []
        self.left = 0
        self._buffers = self._spare.pop() if self._spare else [io.BytesIO() for _ in self._tensors]
        # `write` takes arrays as well, which mypy does not know to have a buffer.
        columns: list[tuple[str, Any, int, Callable[[Any], int]]] = [
            (column.name, column.kind, column.row_bytes, buffer.write)
            for column, buffer in zip(self._tensors, self._buffers, strict=True)
        ]
        split = len(columns) - self._count_outputs
        self._inputs, self._outputs = columns[:split], columns[split:]

    def _undo(self) -> bool:
        """Forget what was written of an answer that is not added."""
        count = len(self._details) // _DETAILS
        for buffer, column in zip(self._buffers, self._tensors, strict=True):
            buffer.seek(count * column.row_bytes)
        return False
