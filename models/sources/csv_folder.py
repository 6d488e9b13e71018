"""A source for any model: a folder of CSV files, one arrival each.

`holdout.csv` has the rows that evaluate every version and never train one; every other `*.csv` is
an arrival, in the order of their names. Either may be a `*.csv.gz`, in letters of any case. Files
ingested by hand are read the same way. What `local_folder` does not read, such as a file that is
still being written, is left for a later run.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from overnight.models.definition import Delivery, Places, Reading
from overnight.models.errors import SourceUnavailable
from overnight.models.sources import csv_stream
from overnight.models.sources.local_folder import (
    FolderFile,
    LeftAlone,
    inspect,
    list_folder,
    still_written,
)
from overnight.store.errors import BadFile, BadKey, BadLines
from overnight.store.objects import keys

HOLDOUT = "holdout.csv"
_SUFFIXES = (".csv", ".csv.gz")


class CsvFolder:
    """CSV files with a header, in the folder of the setting `source_folders`."""

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        columns: pa.Schema,
        same_by: Sequence[str],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`columns` are those of every file, in any order; `same_by` identifies duplicates.

        `wait` passes the time in which a young file has to stay the same.
        """
        self._places, self._model = places, model
        self._columns, self._same_by = columns, tuple(same_by)
        self._wait = wait
        self._left_alone: list[LeftAlone] = []

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The first file by name that is at rest and was not delivered yet; None after the last."""
        listing = list_folder(self._folder())
        others = [file.name for file in listing.files if not _is_csv(file.name)]
        self._left_alone = [
            *listing.left_alone,
            *(
                LeftAlone(name, f"no file whose name ends in {' or '.join(_SUFFIXES)}")
                for name in others
            ),
        ]
        for name, file in self.arrival_files().items():
            if name in delivered:
                continue
            try:
                return Delivery(name, {file.name: self._read_at_rest(file)})
            except BadFile as error:
                self._left_alone.append(LeftAlone(file.name, f"not at rest: {error.found}"))
        return None

    def arrival_files(self) -> Mapping[str, FolderFile]:
        """The file of each arrival, by the arrival's name and in the order of the files' names."""
        return {
            _arrival(file.name.removesuffix(".csv")): file
            for file in list_folder(self._folder()).files
            if _is_csv(file.name) and not _is_holdout(file.name)
        }

    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What the last `deliver` did not read, and why."""
        return tuple(self._left_alone)

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The rows of all files in order of their names, and the files and lines rejected."""
        tables = [self._columns_with_digest().empty_table()]
        rejected: list[BadFile] = []
        for file, body in sorted(files.items()):
            try:
                rows, bad_lines = self._read(file, body)
            except BadFile as error:
                rejected.append(error)
                continue
            tables.append(rows)
            rejected += bad_lines
        return Reading(pa.concat_tables(tables), tuple(rejected))

    def holdout(self) -> pa.Table:
        """The rows of `holdout.csv`.

        Raises:
            SourceUnavailable: there is no such file, or more than one.
            BadFile: it cannot be read, or a line of it cannot.
        """
        paths = [path for path in self._folder().iterdir() if _is_holdout(path.name)]
        path = paths[0] if paths else self._folder() / HOLDOUT
        remedy = "put the rows there that are to evaluate every version"
        what = f"{self._model}'s holdout"
        if len(paths) > 1:
            names = " and ".join(sorted(path.name for path in paths))
            raise SourceUnavailable(what, [f"{names}, which are two"], "leave one of them there")
        try:
            file = inspect(path, path.name)
            if isinstance(file, LeftAlone):
                raise SourceUnavailable(what, [str(file)], remedy)
            rows, bad_lines = self._read(path.name, self._read_at_rest(file))
        except FileNotFoundError:
            raise SourceUnavailable(what, [f"{path}: no such file"], remedy) from None
        # Frozen as it is for ever, so that nothing may be left out of it.
        for bad in bad_lines:
            raise bad
        return rows

    def holdout_file(self) -> str:
        """The name of the file of the holdout."""
        names = (path.name for path in self._folder().iterdir() if _is_holdout(path.name))
        return next(names, HOLDOUT)

    def _read_at_rest(self, file: FolderFile) -> bytes:
        if still_written([file], wait=self._wait):
            raise file.changed()
        return file.read()

    def _folder(self) -> Path:
        setting = f"OVERNIGHT_SOURCE_FOLDERS__{self._model.upper().replace('-', '_')}"
        folder = self._places.folder
        if folder is None or not folder.is_dir():
            problem = f"{folder} is no folder" if folder else "it is not set"
            remedy = f"name a folder of CSV files by {setting}"
            raise SourceUnavailable(f"{self._model}'s rows", [f"{setting}: {problem}"], remedy)
        return folder

    def _read(self, file: str, body: bytes) -> tuple[pa.Table, tuple[BadLines, ...]]:
        """The declared columns of one file with a digest, and the lines that will not do.

        The digest is of each row's `same_by` columns.

        Raises:
            BadFile: naming the column that is wrong, or the format that the file has instead.
        """
        rows, bad = csv_stream.read_whole(file, body, self._columns)
        rows = rows.append_column("digest", pa.array(self._digests(rows), pa.string()))
        return rows, csv_stream.as_rejection(file, bad)

    def _digests(self, rows: pa.Table) -> list[str]:
        values = zip(*(rows.column(name).to_pylist() for name in self._same_by), strict=True)
        return [hashlib.sha256(repr(row).encode()).hexdigest() for row in values]

    def _columns_with_digest(self) -> pa.Schema:
        return self._columns.append(pa.field("digest", pa.string()))


def _is_csv(file: str) -> bool:
    return file.lower().endswith(_SUFFIXES)


def _is_holdout(file: str) -> bool:
    return file.lower() in {HOLDOUT, f"{HOLDOUT}.gz"}


def _arrival(stem: str) -> str:
    """The name of a file's arrival: the file's own, or a valid name derived from it.

    It depends on the file's name alone, so that a file is ingested once.
    """
    try:
        return keys.check(stem)
    except BadKey:
        return keys.segment_for(stem, "")
