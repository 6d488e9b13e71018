"""`Files`: the files of a folder or of an S3 prefix, one arrival each.

The holdout's file has the rows that evaluate every version and never train one; every other file of
the format is an arrival, in the order of their names. Files ingested by hand are read the same way.
What `local_folder` does not read, such as a file that is still being written, is left for a later
run.
"""

import io
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa

from overnight.models.definition import Delivery, Places, Reading, StreamedDelivery
from overnight.models.errors import SourceUnavailable
from overnight.models.sources.access import setting
from overnight.models.sources.declared_rows import DeclaredRows
from overnight.models.sources.holdout_share import HoldoutShare
from overnight.models.sources.local_folder import (
    FolderFile,
    FolderListing,
    LeftAlone,
    NotAtRest,
    SourceFile,
    list_folder,
    sha256_of,
    still_written,
)
from overnight.models.sources.packing import SUFFIXES
from overnight.models.sources.row_formats import ENDINGS, FileRows, Format, Parquet, known_format
from overnight.models.sources.s3_prefix import S3Listing, S3Prefix
from overnight.models.sources.streaming import Rejected, ignore_rejected
from overnight.models.sources.uploaded_files import read_uploaded
from overnight.store.errors import BadFile, BadKey
from overnight.store.objects import keys

HOLDOUT = "holdout.csv"
# A smaller file lands as it is, so that all of it is in quarantine if it is refused.
WHOLE_BYTES = 4_000_000


class Files:
    """Files of rows, in the folder of `source_folders`, at the address of `sources`, or `at`."""

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        columns: pa.Schema,
        same_by: Sequence[str],
        at: str = "",
        format: Format | None = None,
        rename: Mapping[str, str] | None = None,
        pattern: str = "",
        nested: bool = False,
        holdout: str | HoldoutShare | None = HOLDOUT,
        whole_bytes: int = WHOLE_BYTES,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Declare the files of a model.

        `columns` are those of every file, in any order and among others; `same_by` identifies
        duplicates. Without a `format` the ending of each name says it; with one, `pattern` may
        choose the names. `rename` has the declared column for a name in the files. `nested`: the
        files of inner folders, too. `holdout` names a file, or None where it moves with the
        snapshot. `wait` passes the time in which a young file has to stay the same.

        Raises:
            ConfigurationError: `same_by` or `rename` name a column that is not declared.
        """
        self._places, self._model, self._at = places, model, at
        self._rows = FileRows(DeclaredRows(columns, tuple(same_by), rename or {}), format)
        self._pattern, self._nested, self._holdout = pattern, nested, holdout
        self._whole_bytes, self._wait = whole_bytes, wait
        self._left_alone: list[LeftAlone] = []

    def deliver(self, delivered: Collection[str]) -> Delivery | StreamedDelivery | None:
        """The first file by name that is at rest and was not delivered yet; None after the last.

        Raises:
            SourceUnavailable, UnusableSource: the folder or prefix cannot be listed.
        """
        listing = self._listing()
        others = [file.name for file in listing.files if not self._is_data(file.name)]
        self._left_alone = [
            *listing.left_alone,
            *(LeftAlone(name, f"no file whose name {self._expected_names()}") for name in others),
        ]
        for name, file in self._arrivals(listing).items():
            if name in delivered:
                continue
            try:
                return self._delivery(name, file)
            except BadFile as error:
                self._left_alone.append(LeftAlone(file.name, f"not at rest: {error.found}"))
        return None

    def arrival_files(self) -> Mapping[str, SourceFile]:
        """The file of each arrival, by the arrival's name and in the order of the files' names."""
        return self._arrivals(self._listing())

    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What the last `deliver` did not read, and why."""
        return tuple(self._left_alone)

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The rows of all files in order of their names, and the files and lines rejected."""
        return read_uploaded(self._rows, files)

    def batches(
        self, name: str, file: BinaryIO, rejected: Rejected
    ) -> Iterator[pa.RecordBatch] | None:
        """Batches of a long file of lines; None for others, which a process with limits reads."""
        size_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        chosen = self._rows.format or known_format(name)
        if size_bytes <= self._whole_bytes or chosen is None or isinstance(chosen, Parquet):
            return None
        return self._rows.batches(name, file, rejected)

    def holdout(self) -> pa.Table:
        """The rows of the holdout's file, or the share of the first arrival.

        Raises:
            SourceUnavailable: there is no such file, or more than one; or no arrival yet.
            BadFile: it cannot be read, or a line of it cannot.
        """
        if self._holdout is None:
            return self._rows.declared.schema.empty_table()
        if isinstance(self._holdout, HoldoutShare):
            return self._holdout.of(self._first_rows(), self._rows.declared.schema)
        file = self._holdout_file(self._holdout)
        rows, bad_lines = self._rows.read(file.name, self._read_at_rest(file))
        # Frozen as it is for ever, so that nothing may be left out of it.
        for bad in bad_lines:
            raise bad
        return rows

    def holdout_file(self) -> str:
        """The name of the file of the holdout."""
        if not isinstance(self._holdout, str):
            return "the holdout"
        names = (file.name for file in self._listing().files if self._is_holdout(file.name))
        return next(names, self._holdout)

    def _holdout_file(self, expected: str) -> SourceFile:
        listing = self._listing()
        files = [file for file in listing.files if self._is_holdout(file.name)]
        what, remedy = (
            f"{self._model}'s holdout",
            "put the rows there that are to evaluate every version",
        )
        if len(files) > 1:
            names = " and ".join(file.name for file in files)
            raise SourceUnavailable(what, [f"{names}, which are two"], "leave one of them there")
        if not files:
            tried = [str(each) for each in listing.left_alone if self._is_holdout(each.name)]
            tried = tried or [f"{self._place().rstrip('/')}/{expected}: no such file"]
            raise SourceUnavailable(what, tried, remedy)
        return files[0]

    def _first_rows(self) -> Iterator[pa.RecordBatch]:
        for file in self.arrival_files().values():
            self._check_rest(file)
            with closing(file.open()) as opened:
                yield from self._rows.batches(file.name, opened, ignore_rejected)
                file.check(opened)
            return
        where = f"{self._place()} has no arrival yet"
        remedy = "put the first file there: a share of it is the holdout"
        raise SourceUnavailable(f"{self._model}'s holdout", [where], remedy)

    def _delivery(self, name: str, file: SourceFile) -> Delivery | StreamedDelivery:
        if file.size_bytes <= self._whole_bytes:
            return Delivery(name, {file.name: self._read_at_rest(file)})
        self._check_rest(file)
        digests: list[str] = []

        def batches(rejected: Rejected) -> Iterator[pa.RecordBatch]:
            with closing(file.open()) as opened:
                digests.append(sha256_of(opened))
                opened.seek(0)
                yield from self._rows.batches(file.name, opened, rejected)
                file.check(opened)

        return StreamedDelivery(
            name,
            what=file.name,
            batches=batches,
            is_file=True,
            size_bytes=file.size_bytes,
            sha256=lambda: digests[-1],
        )

    def _read_at_rest(self, file: SourceFile) -> bytes:
        self._check_rest(file)
        return file.read()

    def _check_rest(self, file: SourceFile) -> None:
        # An object of S3 is whole once it is there.
        if isinstance(file, FolderFile) and still_written([file], wait=self._wait):
            raise NotAtRest(file.name)

    def _arrivals(self, listing: FolderListing | S3Listing) -> dict[str, SourceFile]:
        return {
            _arrival(file.name.removesuffix(".csv")): file
            for file in listing.files
            if self._is_data(file.name) and not self._is_holdout(file.name)
        }

    def _place(self) -> str:
        """The address of the files: of the setting, the folder, or the declaration."""
        folder = self._places.folder
        return self._places.access.url or (str(folder) if folder else "") or self._at

    def _listing(self) -> FolderListing | S3Listing:
        place = self._place()
        if place.startswith("s3://"):
            prefix = S3Prefix(place, self._places.access, self._model)
            return prefix.listing(deep=self._nested)
        local = url2pathname(urlsplit(place).path) if place.startswith("file:") else place
        folder = Path(local)
        if not place or not folder.is_dir():
            name = f"OVERNIGHT_SOURCE_FOLDERS__{self._model.upper().replace('-', '_')}"
            problem = f"{folder} is no folder" if place else "it is not set"
            remedy = f"name a folder of files by {name}, or s3://… by {setting(self._model, 'url')}"
            raise SourceUnavailable(f"{self._model}'s rows", [f"{name}: {problem}"], remedy)
        return list_folder(folder, deep=self._nested)

    def _is_data(self, name: str) -> bool:
        if self._pattern:
            return fnmatch(name.rpartition("/")[2], self._pattern)
        by_name = known_format(name)
        return by_name is not None and isinstance(by_name, type(self._rows.format or by_name))

    def _expected_names(self) -> str:
        if self._pattern:
            return f"is like {self._pattern}"
        kinds = [type(self._rows.format)] if self._rows.format else list(ENDINGS)
        endings = [ending for kind in kinds for ending in ENDINGS[kind]]
        return f"ends in {' or '.join(endings)}, packed or not"

    def _is_holdout(self, name: str) -> bool:
        if not isinstance(self._holdout, str):
            return False
        packed = {self._holdout.lower() + suffix for suffix in ("", *SUFFIXES)}
        return name.lower() in packed


def _arrival(stem: str) -> str:
    """The name of a file's arrival: the file's own, or a valid name derived from it.

    It depends on the file's name alone, so that a file is ingested once.
    """
    try:
        if "/" not in stem:
            return keys.check(stem)
    except BadKey:
        pass
    return keys.segment_for(stem, "")
