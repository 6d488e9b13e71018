"""The prediction log of one worker: a bounded queue, and the thread that writes it to segments.

Requests only add to what is queued. Nothing here blocks a request or fails it: what cannot be
recorded is dropped and counted. When the spool of the host is full, the newest is dropped, because
labels in it were accepted.
"""

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overnight.serving.inference.runtime import Array
from overnight.serving.prediction_log import segment_files
from overnight.serving.prediction_log.batches import Frame, frames, size_of
from overnight.serving.prediction_log.open_batches import (
    BATCH,
    DETAIL_BYTES,
    FilledBatch,
    OpenBatch,
    can_be_open,
)
from overnight.serving.prediction_log.recording import Details, QueuedAnswer
from overnight.serving.prediction_log.segment_files import SegmentFile, SpoolUsage
from overnight.serving.telemetry.metrics import DroppedRecords, PredictionCounters, RecordedCount
from overnight.store.objects import keys
from overnight.store.predictions.records import Route, SentLabel, is_recorded
from overnight.store.predictions.segment_format import SEGMENT_BYTES
from overnight.store.predictions.segments import BadRecord, Buffer, encode_labels
from overnight.store.registry.manifest import LogPolicy, Manifest

logger = logging.getLogger(__name__)

QUEUED = 16_384
QUEUED_BYTES = 32_000_000
# A caller's id that is longer identifies nothing that a person would look for.
CALLER_CHARACTERS = 256
# Of the declared seconds, so that writing fits into them as well.
_TICKS = 2
# Kinds of answers of one version, by names, types and shapes of their tensors, that are collected
# in open batches; each has buffers of its own.
_OPEN_PER_VERSION = 4
# A frame of labels; each waits for the disk only once.
_LABELS = 1_000


@dataclass(frozen=True)
class SpoolConfig:
    """Where a host keeps its prediction log, and how much of it.

    Attributes:
        folder: of this host's spool.
        spool_bytes: which all models and workers together may take on the disk; exceeded at most by
            what the workers write at the same moment.
        lost_seconds: of answers, which a worker that is killed loses at most.
        segment_seconds: after which a segment is closed, unless the one before still waits.
    """

    folder: Path
    spool_bytes: int = 512_000_000
    lost_seconds: float = 1.0
    segment_seconds: float = 60.0


@dataclass
class _WaitingLabels:
    """Labels of one request, which waits until they are written."""

    labels: Sequence[SentLabel]
    written: threading.Event = field(default_factory=threading.Event)
    recorded: bool = False


class PredictionSpool:
    """All logic of the writing thread is in `write`; `tick` only waits in between."""

    def __init__(self, config: SpoolConfig) -> None:
        self._config = config
        self._segment_bytes = min(SEGMENT_BYTES, config.spool_bytes // 8)
        self._incarnation, self._number = uuid.uuid4().hex, 0
        self._lock = threading.Lock()
        # Bound methods: `with` costs twice as much.
        self._acquire, self._release = self._lock.acquire, self._lock.release
        # All of what is queued is under the lock, which is held for no more than copying a row.
        self._open: dict[int, list[OpenBatch]] = {}
        self._filled: list[FilledBatch] = []
        self._queue: list[QueuedAnswer] = []
        self._queued = self._queued_bytes = 0
        self._labels: list[_WaitingLabels] = []
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._files: dict[str, SegmentFile] = {}
        self._is_closed = False
        self._allowance = 0
        self._due: float | None = None
        self._recorded: Counter[tuple[str, str]] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._reported = ""

    def offer_answer(
        self,
        manifest: Manifest,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        request: str,
        caller: str,
        client: str,
        route: Route,
        seconds: float,
        body_bytes: int = 0,
        at: float | None = None,
    ) -> None:
        """Record an answer of a version later, if its policy and its share say so.

        The arrays may be kept until then, and must not be changed. `body_bytes`: of the request's
        body, of which the arrays may be views. `at`: when it was answered, now if not given.
        """
        try:
            policy = manifest.logged
            if policy is None or (policy.share < 1 and not is_recorded(request, policy.share)):
                return
            if len(caller) > CALLER_CHARACTERS:
                caller = ""
            at = time.time() if at is None else at
            details = request, caller, client, route, at, seconds
            self._acquire()
            try:
                for batch in self._open.get(id(manifest), ()):
                    if (batch.left or self._reserve(batch)) and batch.add(inputs, outputs, details):
                        if not batch.left:
                            self._filled.append(batch.take())
                            self._wake.set()
                        return
            finally:
                self._release()
            self._queue_other(manifest, policy, inputs, outputs, details, body_bytes)
        except Exception:
            # A fault here must cost no answer.
            logger.exception("an answer cannot be recorded")

    def _reserve(self, batch: OpenBatch) -> bool:
        """Whether there is room for a batch, which then may be filled."""
        fits = self._fits(batch.capacity, batch.reserved_bytes)
        if fits:
            batch.left = batch.capacity
        return fits

    def _fits(self, answers: int, size: int) -> bool:
        """Whether so much may be queued yet, and then is counted."""
        if self._queued + answers > QUEUED or self._queued_bytes + size > QUEUED_BYTES:
            return False
        self._queued += answers
        self._queued_bytes += size
        return True

    def _queue_other(
        self,
        manifest: Manifest,
        policy: LogPolicy,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        details: Details,
        body_bytes: int,
    ) -> None:
        """Queue an answer that no open batch took: in a new one, or by itself."""
        size = body_bytes + DETAIL_BYTES + size_of(inputs.values()) + size_of(outputs.values())
        is_plain = can_be_open(policy, inputs, outputs)
        with self._lock:
            if self._is_closed:
                self._dropped[manifest.model, "queue"] += 1
                return
            batches = self._open.get(id(manifest), [])
            if is_plain and len(batches) < _OPEN_PER_VERSION and self._queued + BATCH <= QUEUED:
                batch = OpenBatch(manifest, policy, inputs, outputs)
                if self._reserve(batch) and batch.add(inputs, outputs, details):
                    self._open[id(manifest)] = [*batches, batch]
                    return
            if self._fits(1, size):
                self._queue.append((manifest, *details, inputs, outputs, size))
            else:
                self._dropped[manifest.model, "queue"] += 1

    def skip_answer(self, manifest: Manifest, request: str) -> None:
        """Count an answer that its client wants not to be recorded, and that would be."""
        policy = manifest.logged
        if policy is not None and is_recorded(request, policy.share):
            with self._lock:
                self._dropped[manifest.model, "skipped"] += 1

    def offer_label(self, label: SentLabel) -> bool:
        """As `offer_labels`, for a single one."""
        return self.offer_labels((label,))

    def offer_labels(self, labels: Sequence[SentLabel]) -> bool:
        """Whether all labels are written to the disk by now; otherwise they may be sent again.

        Waits for the writing thread, for a few milliseconds mostly.
        """
        waiting = _WaitingLabels(labels)
        with self._lock:
            if self._is_closed or sum(len(each.labels) for each in self._labels) > QUEUED:
                self._dropped.update((label.model, "queue") for label in labels)
                return False
            self._labels.append(waiting)
        self._wake.set()
        waiting.written.wait(2 * self._config.lost_seconds + 1)
        return waiting.recorded

    def tick(self) -> float:
        """Write what was offered, at least twice in the declared seconds. Returns no rest."""
        if self._due is None:
            self._measure()
            self._due = time.monotonic() + self._config.lost_seconds / _TICKS
        self._wake.wait(max(0.0, self._due - time.monotonic()))
        self._wake.clear()
        if self._labels or time.monotonic() >= self._due:
            self.write()
        else:
            self._write_filled()
        return 0.0

    def write(self) -> None:
        """Write everything that was offered until now, and close segments that are due."""
        with self._writing:
            self._due = time.monotonic() + self._config.lost_seconds / _TICKS
            with self._lock:
                filled, answers = self._take_all(), self._queue
                labels, self._labels, self._queue = self._labels, [], []
            if not (filled or answers or labels or self._files):
                return
            spooled = self._measure()
            for waiting in labels:
                waiting.recorded = self._write_labels(waiting.labels)
                waiting.written.set()
            self._write_batches(filled)
            for frame in frames(answers):
                self._write_answers(frame)
            self._close_due(spooled)

    def _measure(self) -> SpoolUsage:
        spooled = segment_files.usage(self._config.folder)
        self._allowance = self._config.spool_bytes - spooled.size_bytes
        return spooled

    def _write_filled(self) -> None:
        """Write the batches that are full, so that their buffers are soon used again.

        The spool was measured half a second ago at most, which is as exact as its limit.
        """
        with self._writing:
            with self._lock:
                filled, self._filled = self._filled, []
                self._queued -= sum(each.batch.capacity for each in filled)
                self._queued_bytes -= sum(each.batch.reserved_bytes for each in filled)
            self._write_batches(filled)

    def _take_all(self) -> list[FilledBatch]:
        """All that is in batches; those to which nothing was added are given up."""
        filled, self._filled = self._filled, []
        for version, batches in list(self._open.items()):
            used = [batch for batch in batches if not batch.is_empty]
            filled += [batch.take() for batch in used]
            self._open[version] = used
            if not used:
                del self._open[version]
        self._queued = self._queued_bytes = 0
        return filled

    def _write_batches(self, filled: Sequence[FilledBatch]) -> None:
        for batch in filled:
            for frame in batch.frames():
                self._write_answers(frame)
            batch.release()

    def _write_answers(self, frame: Frame) -> None:
        if frame.parts is None:
            self._dropped[frame.model, "unencodable"] += frame.answers
        elif self._append(frame.model, frame.parts, frame.answers):
            self._recorded[frame.model, "answer"] += frame.answers

    def close(self) -> None:
        """Write and close everything; whatever is offered later is dropped."""
        with self._lock:
            self._is_closed = True
            self._filled = self._take_all()
            self._open.clear()
        self.write()
        with self._writing:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def counters(self) -> PredictionCounters:
        """What this worker counted since it started."""
        with self._lock:
            recorded, dropped = dict(self._recorded), dict(self._dropped)
        return PredictionCounters(
            recorded=tuple(
                RecordedCount(model=model, kind=kind, records=records)
                for (model, kind), records in recorded.items()
            ),
            dropped=tuple(
                DroppedRecords(model=model, reason=reason, records=records)
                for (model, reason), records in dropped.items()
            ),
        )

    def usage(self) -> SpoolUsage:
        """What is in the spool of this host, of all workers."""
        return segment_files.usage(self._config.folder)

    def _write_labels(self, labels: Sequence[SentLabel]) -> bool:
        by_model: dict[str, list[SentLabel]] = {}
        for label in labels:
            by_model.setdefault(label.model, []).append(label)
        for model, own in by_model.items():
            for start in range(0, len(own), _LABELS):
                part = own[start : start + _LABELS]
                try:
                    body = encode_labels(part)
                except (BadRecord, TypeError, ValueError):
                    self._dropped[model, "unencodable"] += len(part)
                    return False
                if not self._append(model, (body,), len(part)):
                    return False
                self._recorded[model, "label"] += len(part)
        return True

    def _append(self, model: str, parts: Sequence[Buffer], records: int) -> bool:
        """Write a frame to the model's segment; False, and counted, where that cannot be."""
        size = sum(map(len, parts))
        if size > self._allowance:
            config = self._config
            why = (
                f"the spool {config.folder} is full: {config.spool_bytes:,} bytes; "
                "see that the store can be reached, or raise OVERNIGHT_PREDICTION_LOG_SPOOL_MB"
            )
            self._drop(model, "spool", records, why)
            return False
        try:
            self._file(model).write(*parts)
        except OSError as error:
            self._drop(model, "disk", records, f"{error}")
            # What was cut off may not be cut clean, and nothing is to follow it.
            if (file := self._files.pop(model, None)) is not None:
                file.close()
            return False
        self._allowance -= size
        return True

    def _file(self, model: str) -> SegmentFile:
        file = self._files.get(model)
        if file is not None and file.size >= self._segment_bytes:
            self._files.pop(model).close()
            file = None
        if file is None:
            self._number += 1
            folder = self._config.folder / keys.check_model(model)
            file = self._files[model] = SegmentFile(folder, self._incarnation, self._number)
        return file

    def _close_due(self, spooled: SpoolUsage) -> None:
        """Close segments that are old enough, so that they are shipped.

        Not while an earlier one of this worker still waits: a store that is away for weeks would
        fill the folder with tiny files.
        """
        is_waiting = any(name.startswith(self._incarnation) for name in spooled.closed)
        for model, file in list(self._files.items()):
            age = time.monotonic() - file.begun
            if file.size >= self._segment_bytes or (
                age >= self._config.segment_seconds and not is_waiting
            ):
                self._files.pop(model).close()

    def _drop(self, model: str, reason: str, records: int, why: str) -> None:
        self._dropped[model, reason] += records
        # Once until it is another one: a full disk would be filled by what is logged about it.
        if reason != self._reported:
            self._reported = reason
            logger.warning("%s: records of its prediction log are dropped (%s)", model, why)
