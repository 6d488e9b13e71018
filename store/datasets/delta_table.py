"""Datasets: append-only Delta Lake tables, with one atomic commit for each arrival.

Every version stays readable, here and by any other engine. An arrival is in a table exactly once:
its name is the commit's application transaction, so the table refuses a second commit of it.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Schema,
    Transaction,
    write_deltalake,
)
from deltalake.transaction import AddAction

from overnight.store.datasets.column_types import Fit, fit
from overnight.store.datasets.parquet_writer import write_files
from overnight.store.datasets.rewrite import scanned, widen
from overnight.store.datasets.storage_options import storage_options
from overnight.store.datasets.table_address import TableAddress
from overnight.store.datasets.table_errors import LostRaceError
from overnight.store.errors import AlreadyExists, StoreUnavailable
from overnight.store.objects import keys
from overnight.store.objects.proxies import Proxy
from overnight.store.objects.s3 import S3Address

# The log is needed to reproduce the data of every model version: it is never truncated.
_KEEP_ALL_LOGS = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
}
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
# Far more than concurrent runs cause; endless retries would hide a defect.
_TRIES = 10
# In the metadata of each commit.
_ARRIVAL, _WRITER = "arrival", "writer"
_Commit = Callable[[DeltaTable, Fit, dict[str, Any]], None]


class Dataset:
    """One table of a model. It holds no connection: every call reads the newest version."""

    def __init__(
        self,
        uri: str,
        storage_options: dict[str, str] | None = None,
        *,
        proxy: Proxy | None = None,
    ) -> None:
        self.uri = uri
        self._address = TableAddress(uri, storage_options, proxy)
        self._options, self._where = storage_options, self._address.where

    @classmethod
    def on_s3(cls, address: S3Address, model: str, table: str) -> Self:
        """A model's table in the bucket: `rows` for training, or `holdout`."""
        uri = f"s3://{address.bucket}/{keys.dataset(model, table)}"
        return cls(uri, storage_options(address), proxy=address.proxy)

    @classmethod
    def in_folder(cls, folder: Path, model: str, table: str) -> Self:
        """A model's table in a local folder."""
        return cls(str(folder / keys.dataset(model, table)))

    def version(self) -> int | None:
        """The newest version, or None while there is no table."""
        table = self._open()
        return None if table is None else int(table.version())

    def has_rows(self) -> bool:
        """Whether the newest version has any row; an arrival may come without."""
        table = self._open()
        if table is None:
            return False
        with self._translated_errors():
            added = pa.table(table.get_add_actions())
        # A file without that statistic may have some.
        return any(count != 0 for count in added.column("num_records").to_pylist())

    def append(self, rows: pa.Table, arrival: str, details: Mapping[str, str] | None = None) -> int:
        """Add the rows of an arrival, all or none, and return the version that contains them.

        An arrival may have no rows. The first append creates the table with the columns of its
        rows; later ones add columns to it and widen their types. The commit keeps the `details`.

        Raises:
            AlreadyExists: this arrival is in the table already.
            IncompatibleColumns: a column of the table cannot hold one of the rows.
        """

        def commit(table: DeltaTable, fitted: Fit, options: dict[str, Any]) -> None:
            batches = [fitted.cast(batch) for batch in rows.to_batches()]
            write_deltalake(table, pa.Table.from_batches(batches, fitted.schema), **options)

        return self._append(rows.schema, arrival, commit, details or {})

    def append_batches(
        self,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        arrival: str,
        details: Mapping[str, str] | None = None,
    ) -> int:
        """As `append`, with only some of the rows in memory at a time; batches should be small."""
        written: list[AddAction] = []

        def commit(table: DeltaTable, fitted: Fit, options: dict[str, Any]) -> None:
            # After a lost race the files exist already, and no commit names them yet. A type that
            # the winner widened is narrower in them, which readers of the table widen.
            if not written:
                cast = map(fitted.cast, batches)
                written.extend(write_files(self.uri, self._options, fitted.schema, cast))
            table.create_write_transaction(list(written), schema=table.schema(), **options)

        return self._append(schema, arrival, commit, details or {})

    def _append(
        self, schema: pa.Schema, arrival: str, commit: _Commit, details: Mapping[str, str]
    ) -> int:
        writer = uuid.uuid4().hex
        for _ in range(_TRIES):
            try:
                table = self._open() or self._create(schema)
                if not self._has(table, arrival):
                    table, fitted = self._evolved(table, schema)
                    return self._commit(
                        table, fitted, commit, {**details, _ARRIVAL: arrival, _WRITER: writer}
                    )
            except LostRaceError:
                # To another writer, or to our own commit whose response was lost.
                continue
            return self._own_commit(arrival, writer)
        raise StoreUnavailable(self._where, f"others won all {_TRIES} races to write {self.uri}")

    def fit(self, schema: pa.Schema) -> Fit | None:
        """How rows of a schema fit into the table as it is; None while there is no table.

        Raises:
            IncompatibleColumns: a column of the table cannot hold one of the rows.
        """
        table = self._open()
        return None if table is None else fit(pa.schema(table.schema().to_arrow()), schema)

    def evolve(self, schema: pa.Schema) -> None:
        """Make room for rows of other columns or wider types, before they are appended.

        Nothing happens while there is no table. Earlier versions stay as they are.

        Raises:
            IncompatibleColumns: a column of the table cannot hold one of the rows.
        """
        for _ in range(_TRIES):
            table = self._open()
            if table is None:
                return
            try:
                self._evolved(table, schema)
            except LostRaceError:
                continue
            return
        raise StoreUnavailable(self._where, f"others won all {_TRIES} races to write {self.uri}")

    def _evolved(self, table: DeltaTable, schema: pa.Schema) -> tuple[DeltaTable, Fit]:
        """The table with the columns that rows of a schema need, and how these fit into it."""
        own = pa.schema(table.schema().to_arrow())
        fitted = fit(own, schema)
        if not fitted.changes_table:
            return table, fitted
        with self._translated_errors():
            if fitted.widened:
                widen(table, fitted.widened, self._options, after_commit=_AFTER_COMMIT)
            if fitted.added:
                fields = Schema.from_arrow(pa.schema(fitted.added)).fields
                table.alter.add_columns(fields, post_commithook_properties=_AFTER_COMMIT)
        return self._evolved(self._open_existing(), schema)

    def columns_with_gaps(self, names: Collection[str], version: int | None = None) -> set[str]:
        """Which of some columns lack a value in any row of a version; none without a table."""
        table = self._open(version)
        if table is None:
            return set()
        own = {field.name for field in table.schema().fields}
        with self._translated_errors():
            return {
                name
                for name in own.intersection(names)
                if any(batch.column(0).null_count for batch in scanned(table, [name]))
            }

    def arrival_names(self, version: int | None = None) -> set[str]:
        """The names of all arrivals in a version, by default the newest."""
        arrivals = self.arrival_versions()
        return {name for name, at in arrivals.items() if version is None or at <= version}

    def arrival_versions(self) -> dict[str, int]:
        """The version that added each arrival, by the arrival's name."""
        return {name: int(commit["version"]) for name, commit in self.arrival_commits().items()}

    def arrival_commits(self) -> dict[str, dict[str, str]]:
        """What the commit of each arrival keeps, by the arrival's name."""
        return {commit[_ARRIVAL]: commit for commit in self._history() if _ARRIVAL in commit}

    def arrival_times(self) -> dict[str, datetime]:
        """When each arrival was ingested, in UTC, by the arrival's name; the first one first."""
        commits = sorted(self.arrival_commits().items(), key=lambda each: int(each[1]["version"]))
        return {
            name: datetime.fromtimestamp(int(commit["timestamp"]) / 1_000, UTC)
            for name, commit in commits
        }

    def rows_of(self, arrivals: Collection[str]) -> Iterator[pa.RecordBatch]:
        """All columns of the rows of some arrivals, in batches; none while there is no table.

        Each row needs its `arrival`. Files of other arrivals are not read.
        """
        table = self._open()
        if table is None or not arrivals:
            return
        names = [field.name for field in table.schema().fields]
        # Statistics of files answer comparisons; those of a set are not looked up in them.
        where = reduce(or_, (pc.field("arrival") == name for name in sorted(arrivals)))
        with self._translated_errors():
            yield from scanned(table, names, where=where, rows_at_once=4_096)

    def read(self, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a version, by default the newest, in no particular order.

        Raises:
            NotFound: there is no such version.
        """
        table = self._open_existing(version)
        with self._translated_errors():
            return table.to_pyarrow_table(columns=None if columns is None else list(columns))

    def schema(self, version: int | None = None) -> pa.Schema:
        """The columns of a version and their types.

        Raises:
            NotFound: there is no such version, or no table.
        """
        table = self._open_existing(version)
        with self._translated_errors():
            return pa.schema(table.schema().to_arrow())

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows, in batches; none while there is no table."""
        table = self._open()
        if table is None:
            return
        with self._translated_errors():
            yield from scanned(table, columns)

    def digests(self, version: int | None = None) -> set[str]:
        """The digests of all rows of a version; none while there is no table."""
        if version is None and self.version() is None:
            return set()
        return set(self.read(version, ["digest"]).column("digest").to_pylist())

    def files(self, version: int | None = None) -> dict[str, int]:
        """The Parquet files of a version: sizes in bytes by their paths below the table.

        Raises:
            NotFound: there is no such version, or no table.
        """
        table = self._open_existing(version)
        with self._translated_errors():
            added = pa.table(table.get_add_actions())
        return dict(
            zip(
                added.column("path").to_pylist(),
                added.column("size_bytes").to_pylist(),
                strict=True,
            )
        )

    def all_batches(self) -> Iterator[pa.RecordBatch]:
        """All columns of the newest version, in batches.

        Raises:
            NotFound: there is no table, or a file of it is missing.
        """
        table = self._open_existing()
        with self._translated_errors():
            yield from table.to_pyarrow_dataset().to_batches(batch_size=4_096)

    def vacuum(
        self, keep: Collection[int], *, there: Collection[str], hours: float, delete: bool
    ) -> tuple[str, ...]:
        """Find and optionally delete the files that no kept version needs, older than `hours`.

        The newest version is always kept; younger files may belong to a commit in progress.
        `there` are the existing names below the table: the log also names files that were deleted
        long ago.

        Raises:
            StoreUnavailable, StoreDenied
        """
        unneeded = self._unneeded(keep, hours=hours, delete=False) & {*there}
        if delete and unneeded:
            self._unneeded(keep, hours=hours, delete=True)
        return tuple(sorted(unneeded))

    def _unneeded(self, keep: Collection[int], *, hours: float, delete: bool) -> set[str]:
        table = self._open()
        if table is None:
            return set()
        known = sorted(version for version in keep if 0 <= version <= table.version())
        with self._translated_errors():
            paths = table.vacuum(
                retention_hours=round(hours),
                dry_run=not delete,
                # Delta would insist on a week; our own grace covers the longest run.
                enforce_retention_duration=False,
                full=True,
                keep_versions=known,
                post_commithook_properties=_AFTER_COMMIT,
            )
        # The library returns either absolute paths or paths below the table.
        return {path.rpartition("/")[2] for path in paths}

    def _open_existing(self, version: int | None = None) -> DeltaTable:
        return self._address.open_existing(version)

    def _open(self, version: int | None = None) -> DeltaTable | None:
        return self._address.open(version)

    def _create(self, schema: pa.Schema) -> DeltaTable:
        return self._address.create(schema, _KEEP_ALL_LOGS)

    def _commit(
        self, table: DeltaTable, fitted: Fit, commit: _Commit, details: dict[str, str]
    ) -> int:
        """Commit on top of this state of the table; the library checks later commits for conflicts.

        The details name arrival and writer, by which `_own_commit` recognises the commit.
        """
        arrival, writer = details[_ARRIVAL], details[_WRITER]
        options = {
            "mode": "append",
            "commit_properties": CommitProperties(
                custom_metadata=details,
                # Delta refuses a second commit with the same application transaction.
                app_transactions=[Transaction(arrival, 1)],
            ),
            "post_commithook_properties": _AFTER_COMMIT,
        }
        began_at = table.version()
        with self._translated_errors():
            commit(table, fitted, options)
        # `create_write_transaction` does not update the version of the table object.
        version = int(table.version())
        return version if version > began_at else self._own_commit(arrival, writer)

    def _own_commit(self, arrival: str, writer: str) -> int:
        """The version that added an arrival, provided that this writer committed it."""
        for commit in self._history():
            if commit.get(_ARRIVAL) == arrival and commit.get(_WRITER) == writer:
                return int(commit["version"])
        raise AlreadyExists(f"{self.uri} arrival {arrival}")

    def _has(self, table: DeltaTable, arrival: str) -> bool:
        with self._translated_errors():
            return table.transaction_version(arrival) is not None

    def _history(self) -> list[dict[str, str]]:
        """Every commit, newest first."""
        table = self._open()
        if table is None:
            return []
        with self._translated_errors():
            return table.history()

    def _translated_errors(self) -> AbstractContextManager[None]:
        return self._address.translated_errors()
