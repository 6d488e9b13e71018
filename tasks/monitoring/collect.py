"""Collect what serving recorded: from segments in the spool to tables, exactly once.

The rows of a batch of segments are committed to both tables, and then the segments are removed. A
commit names its segments (`committed_segments`), so a segment that is read again (because a
collector died before its removal, another collector works at the same time, the answer to a commit
was lost, or a host shipped it twice) adds nothing. Nothing in a segment is trusted: what cannot be
read of one is counted, and the rest of it and all others are collected.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from overnight.store.errors import BadKey, NotFound, TooLarge
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.predictions.columns import problem
from overnight.store.predictions.committed_segments import REMEMBERED_DAYS
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.segment_format import MAXIMUM_SEGMENT_BYTES
from overnight.store.predictions.segment_reader import SegmentReader, decode
from overnight.store.predictions.segments import parse_segment_name
from overnight.store.predictions.tables import LabelTable, PredictionTable, SegmentId

# What is in memory at once, and in one commit; the first segment beyond either still belongs to it.
BATCH_BYTES = 12_000_000
BATCH_ROWS = 250_000
# Of one segment: the memory for more rows has no relation to its bytes.
SEGMENT_ROWS = 2_000_000
# How far the clock of a host may be ahead.
_AHEAD = timedelta(days=1)
_TOLD = 20


@dataclass(frozen=True)
class Collected:
    """What one collection did.

    Attributes:
        answers: rows of answers that this collection added.
        labels: that it added.
        segments: that are in the tables now and were removed from the spool.
        torn: segments whose end was cut off, as when a process dies; what was whole is collected.
        damaged: frames whose bytes were altered.
        dropped: records by why they are in no table: `unsound`, `of another model`, `ahead of
            time`, `expired`.
        left: keys in the spool that are no segments, or longer than any; they stay there.
        problems: the first of these in words.
    """

    answers: int = 0
    labels: int = 0
    segments: int = 0
    torn: int = 0
    damaged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    problems: tuple[str, ...] = ()


@dataclass
class _Tally:
    """The counts of a collection so far."""

    counts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def report(self, what: str) -> None:
        if len(self.problems) < _TOLD:
            self.problems.append(what[:300])

    def drop(self, why: str, key: str, detail: str = "") -> None:
        self.dropped[why] += 1
        self.report(f"{key}: a record is {why}{f': {detail}' if detail else ''}")


@dataclass
class _Batch:
    """Segments whose records are in memory, by the key of each in the spool."""

    keys: dict[SegmentId, str] = field(default_factory=dict)
    answers: dict[SegmentId, list[AnsweredRequest]] = field(default_factory=dict)
    labels: dict[SegmentId, list[SentLabel]] = field(default_factory=dict)
    size_bytes: int = 0
    rows: int = 0

    @property
    def is_full(self) -> bool:
        return self.size_bytes >= BATCH_BYTES or self.rows >= BATCH_ROWS


def collect(
    bucket: Bucket,
    model: str,
    predictions: PredictionTable,
    labels: LabelTable,
    *,
    keep_days: int = REMEMBERED_DAYS - 1,
    now: datetime | None = None,
) -> Collected:
    """Move the segments of a model that are in the spool into its tables.

    Records older than `keep_days` are dropped: they would be deleted at once, and a host may bring
    a segment again after so long that the tables have forgotten it. Segments that come meanwhile
    are for the next collection. The memory that it takes depends on neither their number nor that
    of rows.

    Args:
        now: the time of the collection, where it is simulated; rows have it as `collected`.

    Raises:
        StoreUnavailable, StoreDenied, CorruptTable: what is not collected stays in the spool.
    """
    tally = _Tally()
    # Without a given time that of each commit: what is committed later belongs to a later period.
    stamp, now = now, now or datetime.now(UTC)
    oldest = now - timedelta(days=min(keep_days, REMEMBERED_DAYS - 1))
    since = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)
    period = (_microseconds(since), _microseconds(now + _AHEAD))
    for batch in _batches(bucket, model, period, tally):
        # Both before the removal: either of them knows a segment that it has.
        added = predictions.append(batch.answers, collected=stamp) if batch.answers else frozenset()
        labelled = labels.append(batch.labels, collected=stamp) if batch.labels else frozenset()
        tally.counts["answers"] += sum(each.n for name in added for each in batch.answers[name])
        tally.counts["labels"] += sum(len(batch.labels[name]) for name in labelled)
        for key in batch.keys.values():
            bucket.remove(key)
            tally.counts["segments"] += 1
    return Collected(**tally.counts, dropped=dict(tally.dropped), problems=tuple(tally.problems))


def _batches(
    bucket: Bucket, model: str, period: tuple[int, int], tally: _Tally
) -> Iterator[_Batch]:
    batch = _Batch()
    for key, segment in _segments(bucket, model, tally):
        if segment in batch.keys:
            # The same segment under two names: the second is known to the tables by then.
            yield batch
            batch = _Batch()
        try:
            body = bucket.read(key, MAXIMUM_SEGMENT_BYTES)
        except NotFound:
            # Another collector was faster.
            continue
        except TooLarge as error:
            _leave(tally, str(error))
            continue
        batch.keys[segment] = key
        batch.size_bytes += len(body)
        _take(batch, segment, model, decode(body), period, tally)
        del body
        if batch.is_full:
            yield batch
            batch = _Batch()
    if batch.keys:
        yield batch


def _segments(bucket: Bucket, model: str, tally: _Tally) -> Iterator[tuple[str, SegmentId]]:
    """The keys of the spool that are segments, those of a host in the order of their names."""
    prefix = keys.spool(model)
    for key in bucket.sizes_below(prefix):
        host, _, name = key.removeprefix(f"{prefix}/").partition("/")
        try:
            segment = SegmentId(*parse_segment_name(name))
            keys.spool_segment(model, host, name)
        except BadKey as error:
            _leave(tally, str(error))
            continue
        yield key, segment


def _leave(tally: _Tally, why: str) -> None:
    tally.counts["left"] += 1
    tally.report(why)


def _take(
    batch: _Batch,
    segment: SegmentId,
    model: str,
    reader: SegmentReader,
    period: tuple[int, int],
    tally: _Tally,
) -> None:
    """Add the records of a segment to a batch, and count what it has beside them."""
    key, rows = batch.keys[segment], 0
    for record in reader:
        why = _reason(record, model, period, rows)
        if why:
            tally.drop(why, key, problem(record))
        elif isinstance(record, SentLabel):
            batch.labels.setdefault(segment, []).append(record)
            rows += 1
        else:
            batch.answers.setdefault(segment, []).append(record)
            rows += record.n
    batch.rows += rows
    tally.counts["torn"] += bool(reader.torn_bytes)
    tally.counts["damaged"] += reader.damaged_frames
    if reader.problem:
        tally.report(f"{key}: {reader.problem}")


def _reason(
    record: AnsweredRequest | SentLabel, model: str, period: tuple[int, int], rows: int
) -> str:
    """Why a record comes into no table; empty where it does."""
    size = 1 if isinstance(record, SentLabel) else record.n
    if problem(record) or rows + size > SEGMENT_ROWS:
        return "unsound"
    if record.model != model:
        return "of another model"
    if record.at_us < period[0]:
        return "expired"
    return "ahead of time" if record.at_us >= period[1] else ""


def _microseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000
