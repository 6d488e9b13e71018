"""Delta tables of rows that are partitioned by day, come in segments, and are really deleted.

Unlike a dataset, whose every version stays readable, such a table has no past: rows that were
deleted are removed from the store at once, and so is the log of how they came. The log names
files, days, numbers of rows and segments, and nothing that a row says.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema
from deltalake.transaction import AddAction, RemoveAction

from overnight.store.datasets.column_types import Fit, cast_columns, fit
from overnight.store.datasets.parquet_writer import write_files
from overnight.store.datasets.table_address import TableAddress
from overnight.store.datasets.table_errors import LostRaceError
from overnight.store.errors import CorruptTable, StoreUnavailable
from overnight.store.predictions import closed_periods, committed_segments, tensor_columns
from overnight.store.predictions.columns import DAY
from overnight.store.predictions.committed_segments import SegmentId

_CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "true",
    # A commit in progress needs the log since it began.
    "delta.logRetentionDuration": "interval 1 days",
    **committed_segments.CONFIGURATION,
}
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=True)
# Far more than concurrent runs cause; endless retries would hide a defect.
_TRIES = 10
_ROWS_AT_ONCE = 8_192
# A file that no commit names, and that is younger, may belong to a commit in progress.
_GRACE_HOURS = 24
_WRITER = "writer"
_NEVER = datetime.min.replace(tzinfo=UTC)
Batches = Sequence[tuple[date, pa.RecordBatch]]
T = TypeVar("T")


@dataclass(frozen=True)
class DayTable:
    """One table of a model. It holds no connection: every call reads the newest version.

    `first_columns` are those with which a table begins, without the day.
    """

    address: TableAddress
    model: str
    first_columns: ClassVar[pa.Schema]

    def read(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
        *,
        where: pads.Expression | None = None,
    ) -> pa.Table:
        """The rows of a period, in no particular order: from `since` on, before `until`.

        `where`: a condition that they meet besides. A table that nothing was written to yet reads
        as an empty one.

        Raises:
            StoreUnavailable, StoreDenied, CorruptTable
        """
        chosen = None if columns is None else list(columns)

        def whole(table: DeltaTable) -> pa.Table:
            period = _period(since, until)
            both = where if period is None else period if where is None else period & where
            return table.to_pyarrow_dataset().to_table(chosen, filter=both)

        rows = self._reading(whole)
        if rows is not None:
            return rows
        empty = self.first_columns.append(pa.field(DAY, pa.date32())).empty_table()
        return empty if chosen is None else empty.select(chosen)

    def batches(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """As `read`, with only some of the rows in memory at a time; none without a table."""
        table = self.address.open()
        if table is None:
            return
        with self.address.translated_errors():
            yield from _scanned(table, columns, _period(since, until))

    def newest(self, rows: int, since: datetime | None = None) -> pa.Table:
        """The newest rows, at most so many, the newest first."""
        parts: list[pa.Table] = []
        for day in reversed(self.days()):
            start = datetime.combine(day, time(), UTC)
            end = start + timedelta(days=1)
            wanted = rows - sum(map(len, parts))
            if wanted <= 0 or (since is not None and end <= since):
                break
            times = self.read(max(start, since or start), end, ["at"]).sort_by(
                [("at", "descending")]
            )
            if len(times):
                oldest = times.column("at")[min(wanted, len(times)) - 1].as_py()
                parts.append(_newest_first(self.read(oldest, end)))
        every = (
            pa.concat_tables(parts, promote_options="permissive")
            if parts
            else self.read(until=_NEVER)
        )
        return every[:rows]

    def days(self) -> dict[date, int]:
        """The number of rows of each day that has any, the oldest first."""
        table = self.address.open()
        return {} if table is None else self._days(table)

    def has(self, segments: Sequence[SegmentId]) -> frozenset[SegmentId]:
        """Those of some segments whose rows came into the table, whether or not they still are."""
        table = self.address.open()
        if table is None:
            return frozenset()
        with self.address.translated_errors():
            return committed_segments.committed(table, segments)

    def expire(self, keep_days: int, *, now: datetime | None = None) -> int:
        """Delete all days but today and the `keep_days` before it; return how many rows they had.

        Raises:
            StoreUnavailable, StoreDenied, CorruptTable
        """
        first = (now or datetime.now(UTC)).date() - timedelta(days=keep_days)

        def delete(table: DeltaTable) -> int:
            old = {day: rows for day, rows in self._days(table).items() if day < first}
            if old:
                # Of a partition's column alone, this only edits the log.
                table.delete(f"{DAY} < '{first}'", post_commithook_properties=_AFTER_COMMIT)
            return sum(old.values())

        deleted = self._retried(delete)
        self.vacuum()
        return deleted

    def close(self, until: datetime) -> None:
        """Close the period that ends with `until`: no row that comes later is `collected` in it.

        What was committed before is read by every reading that begins after this. A table that
        nothing was written to yet is created, because its first writer may be under way.

        Raises:
            StoreUnavailable, StoreDenied, CorruptTable
        """
        if self.address.open() is None:
            self._create()

        def closed(table: DeltaTable) -> int:
            closed_periods.close(table, until)
            return 0

        self._retried(closed)

    def vacuum(self) -> None:
        """Remove the files of rows that were deleted or rewritten, and the log of how they came.

        What a writer left that died before its commit is removed after a day. A reader of an
        earlier version of the table has to begin again.
        """
        # Another one that vacuums at the same time may win, and leave what came since.
        self._retried(self._vacuumed)

    def _vacuumed(self, table: DeltaTable) -> int:
        with self.address.translated_errors():
            for hours, unnamed in ((0, False), (_GRACE_HOURS, True)):
                table.vacuum(
                    retention_hours=hours,
                    dry_run=False,
                    enforce_retention_duration=False,
                    full=unnamed,
                    post_commithook_properties=_AFTER_COMMIT,
                )
        table = self.address.open_existing()
        with self.address.translated_errors():
            table.create_checkpoint()
            table.cleanup_metadata()
        return 0

    def count_where(
        self, columns: Sequence[str], chosen: Callable[[pa.RecordBatch], pa.Array]
    ) -> int:
        """How many rows a mask over some columns chooses; bool [n], null for false."""
        return sum(pc.sum(chosen(each)).as_py() or 0 for each in self.batches(columns=columns))

    def delete_where(
        self, columns: Sequence[str], chosen: Callable[[pa.RecordBatch], pa.Array]
    ) -> int:
        """Delete the rows that a mask over some columns chooses, all or none; return their number.

        The days that have such rows are written again without them, and the old files removed. The
        table's log says no more of it than which files went.

        Raises:
            StoreUnavailable, StoreDenied, CorruptTable
        """

        def delete(table: DeltaTable) -> int:
            counts = {day: _count(table, day, columns, chosen) for day in self._days(table)}
            days = [day for day, count in counts.items() if count]
            if days:
                self._rewrite(table, days, lambda rows: rows.filter(_others(chosen(rows))))
            return sum(counts.values())

        deleted = self._retried(delete)
        self.vacuum()
        return deleted

    def _append_segments(
        self,
        segments: Sequence[SegmentId],
        collected: datetime | None,
        rows_of: Callable[[frozenset[SegmentId], datetime], Batches],
    ) -> frozenset[SegmentId]:
        """Add the rows of those segments that the table has not had yet, in one commit.

        `rows_of` gives the rows of segments, collected at a time: `collected`, by default now, or
        right after the last closed period.

        Returns those that this call added; the others are in the table by the hand of others.
        """
        writer = uuid.uuid4().hex
        attempted: frozenset[SegmentId] = frozenset()
        for _ in range(_TRIES):
            try:
                table = self.address.open() or self._create()
                with self.address.translated_errors():
                    # The answer to our own commit may have been lost.
                    if attempted and _is_committed(table, writer):
                        return attempted
                    missing = frozenset(segments) - committed_segments.committed(table, segments)
                if missing:
                    attempted = missing
                    at = closed_periods.stamp(table, collected or datetime.now(UTC))
                    self._add(rows_of(missing, at), missing, writer, at)
            except LostRaceError:
                continue
            return missing
        raise self._lost_all()

    def _add(
        self, batches: Batches, segments: frozenset[SegmentId], writer: str, at: datetime
    ) -> None:
        table, rows = self._fitted([batch for _, batch in batches])
        by_day: dict[date, list[pa.RecordBatch]] = {}
        for (day, _), batch in zip(batches, rows, strict=True):
            by_day.setdefault(day, []).append(batch)
        with self.address.translated_errors():
            if committed_segments.committed(table, segments):
                raise LostRaceError(self.address.where, "others added a segment meanwhile")
            if closed_periods.stamp(table, at) != at:
                raise LostRaceError(self.address.where, "the period was closed meanwhile")
            actions: list[AddAction | RemoveAction] = []
            for day, each in by_day.items():
                actions += self._write(each, day, _columns(table))
            table.create_write_transaction(
                actions,
                mode="append",
                schema=table.schema(),
                partition_by=[DAY],
                commit_properties=CommitProperties(
                    custom_metadata={_WRITER: writer},
                    app_transactions=committed_segments.transactions(table, segments),
                ),
                post_commithook_properties=_AFTER_COMMIT,
            )

    def _fitted(self, batches: Sequence[pa.RecordBatch]) -> tuple[DeltaTable, list[pa.RecordBatch]]:
        """The table, with room for all of these rows, and them in its columns and types."""
        while True:
            table = self.address.open_existing()
            own = _columns(table)
            placed = [tensor_columns.placed(own, each) for each in batches]
            for each in placed:
                fitted = fit(own, each.schema)
                if fitted.changes_table:
                    self._evolve(table, fitted)
                    break
            else:
                return table, [_cast(each, own) for each in placed]

    def _evolve(self, table: DeltaTable, fitted: Fit) -> None:
        """Make the change of columns that rows need, in a commit of its own."""
        with self.address.translated_errors():
            if fitted.widened:
                self._rewrite(
                    table, None, lambda rows: cast_columns(rows, fitted.widened), fitted.widened
                )
            elif fitted.added:
                fields = Schema.from_arrow(pa.schema(fitted.added)).fields
                table.alter.add_columns(fields, post_commithook_properties=_AFTER_COMMIT)

    def _rewrite(
        self,
        table: DeltaTable,
        days: Sequence[date] | None,
        change: Callable[[pa.RecordBatch], pa.RecordBatch],
        kinds: Mapping[str, pa.DataType] | None = None,
    ) -> None:
        """Write days again, by default all, in one commit that removes only what was read.

        `kinds`: the types of columns that change. Rows that others add meanwhile stay.
        """
        own = pa.schema(table.schema().to_arrow())
        schema = pa.schema(
            [each.with_type((kinds or {}).get(each.name, each.type)) for each in own]
        )
        names = [name for name in own.names if name != DAY]
        actions: list[AddAction | RemoveAction] = []
        for day in self._days(table) if days is None else days:
            rows = (change(each) for each in _scanned(table, names, pads.field(DAY) == day))
            actions += self._write(rows, day, pa.schema([schema.field(name) for name in names]))
        table.create_write_transaction(
            actions,
            mode="overwrite",
            schema=Schema.from_arrow(schema),
            partition_by=[DAY],
            partition_filters=None if days is None else [(DAY, "in", [f"{day}" for day in days])],
            post_commithook_properties=_AFTER_COMMIT,
        )

    def _write(
        self, batches: Iterable[pa.RecordBatch], day: date, schema: pa.Schema
    ) -> list[AddAction]:
        where = self.address
        filled = (each for each in batches if each.num_rows)
        return write_files(where.uri, where.options, schema, filled, partition={DAY: f"{day}"})

    def _days(self, table: DeltaTable) -> dict[date, int]:
        with self.address.translated_errors():
            added = pa.table(table.get_add_actions(flatten=True))
        counts: dict[date, int] = {}
        of_files = (added.column(f"partition.{DAY}"), added.column("num_records"))
        for day, rows in zip(*(each.to_pylist() for each in of_files), strict=True):
            counts[day] = counts.get(day, 0) + (rows or 0)
        return dict(sorted(counts.items()))

    def _create(self) -> DeltaTable:
        columns = self.first_columns.append(pa.field(DAY, pa.date32()))
        return self.address.create(columns, _CONFIGURATION, partition_by=DAY)

    def _reading(self, read: Callable[[DeltaTable], T]) -> T | None:
        """What a function reads of the table; again where a vacuum took files away meanwhile."""
        table = self.address.open()
        for _ in range(_TRIES):
            if table is None:
                return None
            try:
                with self.address.translated_errors():
                    return read(table)
            except CorruptTable:
                newer = self.address.open()
                if newer is not None and newer.version() == table.version():
                    raise
                table = newer
        raise self._lost_all()

    def _retried(self, change: Callable[[DeltaTable], int]) -> int:
        """The answer of a change of the table, made again as often as others win; 0 without one."""
        for _ in range(_TRIES):
            table = self.address.open()
            if table is None:
                return 0
            try:
                with self.address.translated_errors():
                    return change(table)
            except LostRaceError:
                continue
            except CorruptTable:
                # The vacuum of another one took the files away that were being read.
                newer = self.address.open()
                if newer is None or newer.version() == table.version():
                    raise
        raise self._lost_all()

    def _lost_all(self) -> StoreUnavailable:
        where = self.address
        return StoreUnavailable(where.where, f"others won all {_TRIES} races to write {where.uri}")


def _columns(table: DeltaTable) -> pa.Schema:
    """The columns of the files: all but the one by which they are partitioned."""
    return pa.schema([each for each in pa.schema(table.schema().to_arrow()) if each.name != DAY])


def _cast(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows in exactly these columns and types; columns that they lack are null."""
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _scanned(
    table: DeltaTable, columns: Sequence[str] | None, chosen: pads.Expression | None
) -> Iterator[pa.RecordBatch]:
    scanner = table.to_pyarrow_dataset().scanner(
        columns=None if columns is None else list(columns),
        filter=chosen,
        batch_size=_ROWS_AT_ONCE,
        # Arrow's defaults would read ahead a large part of the table into memory.
        batch_readahead=1,
        fragment_readahead=1,
        use_threads=False,
    )
    yield from scanner.to_batches()


def _period(since: datetime | None, until: datetime | None) -> pads.Expression | None:
    """The rows of a period; the days let files of others be passed over."""
    terms = []
    if since is not None:
        terms += [pads.field(DAY) >= since.astimezone(UTC).date(), pads.field("at") >= since]
    if until is not None:
        terms += [pads.field(DAY) <= until.astimezone(UTC).date(), pads.field("at") < until]
    chosen = None
    for term in terms:
        chosen = term if chosen is None else chosen & term
    return chosen


def _newest_first(rows: pa.Table) -> pa.Table:
    return rows.sort_by([("at", "descending"), ("request", "ascending"), ("row", "ascending")])


def _count(
    table: DeltaTable,
    day: date,
    columns: Sequence[str],
    chosen: Callable[[pa.RecordBatch], pa.Array],
) -> int:
    batches = _scanned(table, columns, pads.field(DAY) == day)
    return sum(pc.sum(chosen(each)).as_py() or 0 for each in batches)


def _others(chosen: pa.Array) -> pa.Array:
    return pc.invert(pc.fill_null(chosen, fill_value=False))


def _is_committed(table: DeltaTable, writer: str) -> bool:
    return any(commit.get(_WRITER) == writer for commit in table.history(limit=100))
