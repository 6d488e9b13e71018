"""`DeltaTable`: the rows that new versions of another Delta table added."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from overnight.models.definition import Delivery, Places, Reading, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import setting, without_credentials
from overnight.models.sources.declared_rows import DeclaredRows, as_declared
from overnight.models.sources.holdout_share import HoldoutShare
from overnight.models.sources.row_formats import FileRows, Format
from overnight.models.sources.streaming import BadLine, Rejected, ignore_rejected
from overnight.models.sources.uploaded_files import read_uploaded
from overnight.store.errors import BadFile, ConfigurationError

if TYPE_CHECKING:
    import deltalake

_ARRIVAL = re.compile(r"version-(\d{20})")
# The library writes its errors for a terminal.
_COLOURS = re.compile(r"\x1b\[\d+m(↳\x1b\[0m)?")
_BATCH_ROWS = 32_768
_LONGEST_REASON = 400
_UNUSABLE = ("403", "forbidden", "access denied", "invalid", "signature", "nosuchbucket", "404")


@dataclass(frozen=True)
class TableVersion:
    """The rows of one version of the table, frozen as the holdout."""

    version: int


class DeltaTable:
    """The Delta table of the setting `sources`, or `at`: a folder, or s3://bucket/path.

    An arrival has the rows of the files that were added since the version of the last one, and is
    named by its own version. Rows that were rewritten come again, and are dropped by their digests;
    rows that were deleted there stay here.
    """

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        columns: pa.Schema,
        same_by: Sequence[str],
        holdout: TableVersion | HoldoutShare | None,
        rename: Mapping[str, str] | None = None,
        format: Format | None = None,
        at: str = "",
    ) -> None:
        """Declare a table; `format` is that of files which are ingested by hand.

        Raises:
            ConfigurationError: `same_by` or `rename` name a column that is not declared.
        """
        self._access, self._model, self._holdout = places.access, model, holdout
        self._at = places.access.url or (str(places.folder) if places.folder else "") or at
        self._declared = DeclaredRows(columns, tuple(same_by), rename or {})
        self._files = FileRows(self._declared, format)

    def deliver(self, delivered: Collection[str]) -> Delivery | StreamedDelivery | None:
        """The rows since the last version that was delivered; None when there is no later one.

        Raises:
            SourceUnavailable: there is no table, or its store does not answer.
            UnusableSource: it cannot be read, or has other columns than declared.
        """
        with self._errors():
            table = self._open()
            version = table.version()
        matches = (_ARRIVAL.fullmatch(name) for name in delivered)
        last = max((int(match[1]) for match in matches if match), default=None)
        if last is not None and version <= last:
            return None
        return StreamedDelivery(
            f"version-{version:020}",
            what=f"version {version:,} of the table",
            batches=lambda rejected: self._rows(table, rejected, since=last),
        )

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The rows of files that were ingested by hand."""
        return read_uploaded(self._files, files)

    def holdout(self) -> pa.Table:
        """The rows of the declared version, or the share of the first arrival.

        Raises:
            SourceUnavailable, UnusableSource: as `deliver`; or a row is not as declared.
        """
        schema = self._declared.schema
        if self._holdout is None:
            return schema.empty_table()
        if isinstance(self._holdout, TableVersion):
            with self._errors():
                table = self._open(self._holdout.version)
            return pa.Table.from_batches(self._rows(table, _refuse, since=None), schema)
        with self._errors():
            table = self._open()
        return self._holdout.of(self._rows(table, ignore_rejected, since=None), schema)

    def _rows(
        self, table: "deltalake.DeltaTable", rejected: Rejected, *, since: int | None
    ) -> Iterator[pa.RecordBatch]:
        # As deltalake below, late: it imports pandas, and most models have other sources.
        import pyarrow.dataset as ds

        what = f"the table of {self._model}"
        with self._errors(), as_declared():
            dataset = table.to_pyarrow_dataset()
            self._declared.require(what, dataset.schema.names)
            known = self._paths(since)
            paths = dict(zip(table.file_uris(), dataset.files, strict=True))
            new = {path for uri, path in paths.items() if uri not in known}
            fragments = [each for each in dataset.get_fragments() if each.path in new]
            added = ds.FileSystemDataset(
                fragments, dataset.schema, dataset.format, dataset.filesystem
            )
            scanner = added.scanner(
                columns=self._declared.source_names,
                batch_size=_BATCH_ROWS,
                # Each file that is read ahead is in memory beside the others.
                batch_readahead=1,
                fragment_readahead=1,
                use_threads=False,
            )
            yield from self._declared.rows(what, scanner.to_batches(), rejected)

    def _paths(self, version: int | None) -> set[str]:
        """The files of an earlier version; none where its log is gone: then all rows come again."""
        from deltalake.exceptions import DeltaError

        if version is None:
            return set()
        try:
            return set(self._open(version).file_uris())
        except DeltaError:
            return set()

    def _open(self, version: int | None = None) -> "deltalake.DeltaTable":
        import deltalake

        if not self._at:
            raise ConfigurationError(
                f"{self._model}'s rows: {setting(self._model, 'url')} is not set; expected a "
                "folder or an address such as s3://bucket/path"
            )
        return deltalake.DeltaTable(self._at, version=version, storage_options=self._options())

    def _options(self) -> dict[str, str] | None:
        access = self._access
        if not self._at.startswith("s3://"):
            return None
        endpoint = access.s3_endpoint
        options = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": access.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": access.s3_secret_key,
            "AWS_SESSION_TOKEN": access.s3_session_token,
            "AWS_REGION": access.s3_region or ("us-east-1" if endpoint else ""),
            "AWS_ALLOW_HTTP": "true" if endpoint.startswith("http://") else "",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false" if endpoint else "",
            # By default it would try for three minutes.
            "connect_timeout": "5s",
            "timeout": "60s",
            "max_retries": "3",
            "retry_timeout": "20s",
        }
        return {name: value for name, value in options.items() if value}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from deltalake.exceptions import DeltaError, TableNotFoundError

        what = f"{self._model}'s rows at {without_credentials(self._at)}"
        try:
            yield
        except TableNotFoundError:
            remedy = f"check {setting(self._model, 'url')}, or create the table there"
            raise SourceUnavailable(what, ["no Delta table is there"], remedy) from None
        except (DeltaError, pa.ArrowException, OSError) as error:
            text = " ".join(_COLOURS.sub("", str(error)).split())
            reason = self._access.hide(text)[:_LONGEST_REASON]
            broken = isinstance(error, DeltaError | FileNotFoundError | pa.ArrowInvalid)
            if broken or any(each in reason.lower() for each in _UNUSABLE):
                raise UnusableSource(
                    what,
                    expected="a Delta table whose files can be read",
                    found=reason,
                    remedy=f"restore the files, or check {setting(self._model, 's3_access_key')} "
                    "and …__S3_SECRET_KEY",
                ) from None
            remedy = f"check that its store runs, and {setting(self._model, 'url')}"
            raise SourceUnavailable(what, [reason], remedy) from None


def _refuse(line: BadLine) -> None:
    # Frozen as it is for ever, so that nothing may be left out of it.
    raise BadFile("the holdout's version", expected="every row as declared", found=str(line))
