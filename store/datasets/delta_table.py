"""Datasets: Delta Lake tables that only grow, by one atomic commit for each arrival.

Every version stays readable, here and by any other engine. An arrival is in a table exactly once:
its name is the commit's application transaction, so of two commits of one arrival, however they
race, the table refuses the second.
"""

import itertools
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Schema,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    SchemaMismatchError,
    TableNotFoundError,
)
from deltalake.transaction import AddAction

from overnight.store.datasets.parquet_writer import write_files
from overnight.store.errors import (
    AlreadyExists,
    ConfigurationError,
    CorruptTable,
    NotFound,
    StoreDenied,
    StoreUnavailable,
)
from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address

# The log is the history of what every version was trained on: it is never cut off.
_FOR_EVER = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
}
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_DENIED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "ExpiredToken",
    "InvalidToken",
    "NoSuchBucket",
    "403 Forbidden",
    "401 Unauthorized",
    # What the client says of 401 and 403 in words of its own.
    "lacked the necessary privileges",
    "lacked valid authentication credentials",
)
# What a library says of bytes that came, and are not what they have to be. It words an outage
# otherwise, and that is looked for first.
_DAMAGE = re.compile(
    r"json|parquet|checkpoint|protocol|thrift|corrupt|deserialize|decompress|checksum|magic"
    r"|end of stream|not found|no such file",
    re.IGNORECASE,
)
_AWAY = re.compile(r"HTTP error|error sending request|timed out|non-2xx|connection", re.IGNORECASE)
_FRAME = re.compile(r"stack backtrace|\d+: ", re.IGNORECASE)
_TRIES = 10
_ROWS_AT_ONCE = 65_536
_Commit = Callable[[DeltaTable, dict[str, Any]], None]
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Dataset:
    """One table of a model. Holds no connection: every call sees the newest version."""

    def __init__(self, uri: str, storage_options: dict[str, str] | None = None) -> None:
        self.uri = uri
        self._options = storage_options
        self._where = (storage_options or {}).get("AWS_ENDPOINT_URL", uri)

    @classmethod
    def on_s3(cls, address: S3Address, model: str, table: str) -> Self:
        """A model's table in the bucket: `rows` to learn from, `holdout` never to."""
        token = {"AWS_SESSION_TOKEN": address.session_token} if address.session_token else {}
        return cls(
            f"s3://{address.bucket}/{keys.dataset(model, table)}",
            {
                "AWS_ENDPOINT_URL": address.endpoint,
                "AWS_ACCESS_KEY_ID": address.access_key,
                "AWS_SECRET_ACCESS_KEY": address.secret_key,
                "AWS_REGION": address.region,
                "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
                "AWS_ALLOW_HTTP": str(address.endpoint.startswith("http://")).lower(),
                "aws_conditional_put": "etag",
                # What is flipped on its way is refused, not committed.
                "aws_checksum_algorithm": "SHA256",
                # As patient as our own client; the default would wait for three minutes.
                "connect_timeout": "3s",
                "timeout": "60s",
                "max_retries": "3",
                "retry_timeout": "20s",
                **token,
            },
        )

    @classmethod
    def in_folder(cls, folder: Path, model: str, table: str) -> Self:
        """A model's table in a local folder."""
        return cls(str(folder / keys.dataset(model, table)))

    def version(self) -> int | None:
        """The newest version, or None while there is no table."""
        table = self._open()
        return None if table is None else int(table.version())

    def append(self, rows: pa.Table, arrival: str) -> int:
        """Add the rows of an arrival, all or none, and answer the version that has them.

        No rows are an arrival too. The first append makes the table, in the columns of its rows.

        Raises:
            AlreadyExists: this arrival is in the table, also when it came in just now.
        """
        return self._append(
            rows.schema, arrival, lambda table, marks: write_deltalake(table, rows, **marks)
        )

    def append_batches(
        self, schema: pa.Schema, batches: Iterator[pa.RecordBatch], arrival: str
    ) -> int:
        """As `append`, with memory for some of the rows at a time; `batches` are small."""
        written: list[AddAction] = []

        def commit(table: DeltaTable, marks: dict[str, Any]) -> None:
            self._fits(table, schema)
            # After a race that was lost the files are there already, and still nobody's.
            if not written:
                written.extend(write_files(self.uri, self._options, schema, batches))
            table.create_write_transaction(list(written), schema=Schema.from_arrow(schema), **marks)

        return self._append(schema, arrival, commit)

    def _append(self, schema: pa.Schema, arrival: str, commit: _Commit) -> int:
        writer = uuid.uuid4().hex
        for _ in range(_TRIES):
            try:
                table = self._open() or self._made(schema)
                if not self._has(table, arrival):
                    return self._committed(table, commit, arrival, writer)
            except _LostRaceError:
                # To others, or to the echo of our own write whose answer was lost: look again.
                continue
            return self._own(arrival, writer)
        raise StoreUnavailable(self._where, f"others won all {_TRIES} races to write {self.uri}")

    def arrival_names(self, version: int | None = None) -> set[str]:
        """The names of all arrivals in a version, the newest unless told."""
        came = self.arrival_versions()
        return {name for name, at in came.items() if version is None or at <= version}

    def arrival_versions(self) -> dict[str, int]:
        """The version in which each arrival came in, by its name."""
        return {
            commit["arrival"]: int(commit["version"])
            for commit in self._history()
            if "arrival" in commit
        }

    def read(self, version: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a version, the newest unless told, in no particular order.

        Raises:
            NotFound: there is no such version.
        """
        table = self._there(version)
        with self._worded():
            return table.to_pyarrow_table(columns=None if columns is None else list(columns))

    def schema(self, version: int | None = None) -> pa.Schema:
        """The columns and their types as the table keeps them.

        Raises:
            NotFound: there is no such version, or no table.
        """
        table = self._there(version)
        with self._worded():
            return pa.schema(table.schema().to_arrow())

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows, some rows at a time; none while there is no table."""
        table = self._open()
        if table is None:
            return
        with self._worded():
            found = table.to_pyarrow_dataset().scanner(
                columns=list(columns),
                batch_size=_ROWS_AT_ONCE,
                batch_readahead=1,
                fragment_readahead=1,
                use_threads=False,
            )
            yield from found.to_batches()

    def digests(self, version: int | None = None) -> set[str]:
        """The digests of all rows of a version; none while there is no table."""
        if version is None and self.version() is None:
            return set()
        return set(self.read(version, ["digest"]).column("digest").to_pylist())

    def files(self, version: int | None = None) -> dict[str, int]:
        """The Parquet files of a version by their names below the table, with sizes in bytes.

        Raises:
            NotFound: there is no such version, or no table.
        """
        table = self._there(version)
        with self._worded():
            added = pa.table(table.get_add_actions())
        return dict(
            zip(
                added.column("path").to_pylist(),
                added.column("size_bytes").to_pylist(),
                strict=True,
            )
        )

    def all_batches(self) -> Iterator[pa.RecordBatch]:
        """All columns of the newest version, a part at a time.

        Raises:
            NotFound: there is no table, or a file of it is gone.
        """
        table = self._there()
        with self._worded():
            yield from table.to_pyarrow_dataset().to_batches(batch_size=4_096)

    def vacuum(
        self, keep: Collection[int], *, there: Collection[str], hours: float, delete: bool
    ) -> tuple[str, ...]:
        """The files that neither the newest version nor one of `keep` needs, and that are older
        than `hours`; what was just written may belong to a commit that is under way.

        `there` are the names below the table: its log names files for ever, also those that went
        long ago.

        Raises:
            StoreUnavailable, StoreDenied
        """
        found = self._unneeded(keep, hours=hours, delete=False) & {*there}
        if delete and found:
            self._unneeded(keep, hours=hours, delete=True)
        return tuple(sorted(found))

    def _unneeded(self, keep: Collection[int], *, hours: float, delete: bool) -> set[str]:
        table = self._open()
        if table is None:
            return set()
        known = sorted(version for version in keep if 0 <= version <= table.version())
        with self._worded():
            found = table.vacuum(
                retention_hours=round(hours),
                dry_run=not delete,
                enforce_retention_duration=False,
                full=True,
                keep_versions=known,
                post_commithook_properties=_AFTER_COMMIT,
            )
        # Told below the table or from the root of the file system, as the library likes.
        return {path.rpartition("/")[2] for path in found}

    def _there(self, version: int | None = None) -> DeltaTable:
        table = self._open(version)
        if table is None:
            raise NotFound(self.uri)
        return table

    def _open(self, version: int | None = None) -> DeltaTable | None:
        try:
            with self._worded():
                return DeltaTable(self.uri, version=version, storage_options=self._options)
        except _NoTableError:
            return None

    def _made(self, schema: pa.Schema) -> DeltaTable:
        """The empty table, whoever makes it."""
        try:
            with self._worded():
                return DeltaTable.create(
                    self.uri,
                    schema,
                    mode="error",
                    configuration=_FOR_EVER,
                    storage_options=self._options,
                )
        except _LostRaceError:
            table = self._open()
            if table is None:
                raise
            return table

    def _committed(self, table: DeltaTable, commit: _Commit, arrival: str, writer: str) -> int:
        """Commit on this very state of the table; whatever came after it is held against ours."""
        marks = {
            "mode": "append",
            "commit_properties": CommitProperties(
                custom_metadata={"arrival": arrival, "writer": writer},
                app_transactions=[Transaction(arrival, 1)],
            ),
            "post_commithook_properties": _AFTER_COMMIT,
        }
        began_at = table.version()
        with self._worded():
            commit(table, marks)
        # Not every way to commit moves the table on to the version that was made.
        made = int(table.version())
        return made if made > began_at else self._own(arrival, writer)

    def _fits(self, table: DeltaTable, schema: pa.Schema) -> None:
        """Delta's writer compares columns; who writes files must."""
        theirs = {one.name: str(one.type) for one in table.schema().fields}
        ours = {one.name: str(one.type) for one in Schema.from_arrow(schema).fields}
        if theirs != ours:
            differ = sorted(name for name, _ in theirs.items() ^ ours.items())
            raise SchemaMismatchError(f"other columns or types: {', '.join(dict.fromkeys(differ))}")

    def _own(self, arrival: str, writer: str) -> int:
        """The version in which an arrival is, when it was we who brought it."""
        for commit in self._history():
            if commit.get("arrival") == arrival and commit.get("writer") == writer:
                return int(commit["version"])
        raise AlreadyExists(f"{self.uri} arrival {arrival}")

    def _has(self, table: DeltaTable, arrival: str) -> bool:
        with self._worded():
            return table.transaction_version(arrival) is not None

    def _history(self) -> list[dict[str, str]]:
        """Every commit, newest first."""
        table = self._open()
        if table is None:
            return []
        with self._worded():
            return table.history()

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Turn Delta Lake's errors into ours."""
        try:
            yield
        except TableNotFoundError:
            raise _NoTableError(self.uri) from None
        except CommitFailedError as error:
            raise _LostRaceError(self._where, _gist(error)) from None
        except SchemaMismatchError as error:
            raise ConfigurationError(
                f"{self.uri}: the rows do not fit the table ({_gist(error)}); "
                "a source keeps its columns and types for ever: give changed rows a new model"
            ) from None
        except DeltaError as error:
            if "already exists" in str(error):
                raise _LostRaceError(self._where, _gist(error)) from None
            if "LogSegment end version" in str(error):
                raise NotFound(f"{self.uri} at the version asked for") from None
            raise self._unread(error) from None
        except OSError as error:
            raise self._unread(error) from None

    def _unread(self, error: Exception) -> CorruptTable | StoreDenied | StoreUnavailable:
        """Whether the store refuses us, does not answer, or its answer makes no sense."""
        for sign in _DENIED:
            if sign in str(error):
                return StoreDenied(self._where, sign)
        if _DAMAGE.search(str(error)) and not _AWAY.search(str(error)):
            return CorruptTable(self.uri, _gist(error))
        return StoreUnavailable(self._where, _gist(error))


class _NoTableError(NotFound):
    """There is no table here (yet)."""


class _LostRaceError(StoreUnavailable):
    """Somebody else wrote this version first."""


def _gist(error: Exception) -> str:
    """The last line of a report that tells the innermost cause last, and maybe a stack below."""
    told = (line.strip(" ↳") for line in _ANSI.sub("", str(error)).splitlines())
    lines = list(itertools.takewhile(lambda line: not _FRAME.match(line), told))
    return next((line for line in reversed(lines) if line), type(error).__name__)[:160]
