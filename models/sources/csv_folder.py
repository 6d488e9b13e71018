"""A source for any model: a folder of CSV files, one arrival each.

`holdout.csv` has the rows that evaluate every version and never train one; every other `*.csv` is
an arrival, in the order of their names. Files ingested by hand are read the same way. What
`local_folder` does not read, such as a file that is still being written, is left for a later run.
"""

import hashlib
import io
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from overnight.models.definition import Delivery, Places, Reading
from overnight.models.errors import SourceUnavailable
from overnight.models.sources.local_folder import (
    FolderFile,
    LeftAlone,
    inspect,
    list_folder,
    still_written,
)
from overnight.store.errors import BadFile, BadKey
from overnight.store.objects import keys

HOLDOUT = "holdout.csv"
_SUFFIX = ".csv"


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
        others = [file.name for file in listing.files if not file.name.endswith(_SUFFIX)]
        self._left_alone = [
            *listing.left_alone,
            *(LeftAlone(name, f"no file whose name ends in {_SUFFIX}") for name in others),
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
            _arrival(file.name.removesuffix(_SUFFIX)): file
            for file in list_folder(self._folder()).files
            if file.name.endswith(_SUFFIX) and file.name != HOLDOUT
        }

    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What the last `deliver` did not read, and why."""
        return tuple(self._left_alone)

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The rows of all files in order of their names, and the files that were rejected."""
        tables, rejected = [self._columns_with_digest().empty_table()], []
        for file, body in sorted(files.items()):
            try:
                tables.append(self._read(file, body))
            except BadFile as error:
                rejected.append(error)
        return Reading(pa.concat_tables(tables), tuple(rejected))

    def holdout(self) -> pa.Table:
        """The rows of `holdout.csv`.

        Raises:
            SourceUnavailable: there is no such file.
            BadFile: it cannot be read.
        """
        path = self._folder() / HOLDOUT
        remedy = "put the rows there that are to evaluate every version"
        what = f"{self._model}'s holdout"
        try:
            file = inspect(path, HOLDOUT)
            if isinstance(file, LeftAlone):
                raise SourceUnavailable(what, [str(file)], remedy)
            return self._read(HOLDOUT, self._read_at_rest(file))
        except FileNotFoundError:
            raise SourceUnavailable(what, [f"{path}: no such file"], remedy) from None

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

    def _read(self, file: str, body: bytes) -> pa.Table:
        """The declared columns of one file, with the digest of each row's `same_by` columns.

        Raises:
            BadFile: naming the column or the line that is wrong.
        """
        names = self._columns.names
        try:
            rows = csv.read_csv(
                io.BytesIO(body),
                convert_options=csv.ConvertOptions(
                    column_types=self._columns, include_columns=names, strings_can_be_null=True
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            expected = f"a CSV with the columns {', '.join(names)}"
            raise BadFile(file, expected=expected, found=" ".join(str(error).split())) from None
        rows = rows.cast(self._columns)
        return rows.append_column("digest", pa.array(self._digests(rows), pa.string()))

    def _digests(self, rows: pa.Table) -> list[str]:
        values = zip(*(rows.column(name).to_pylist() for name in self._same_by), strict=True)
        return [hashlib.sha256(repr(row).encode()).hexdigest() for row in values]

    def _columns_with_digest(self) -> pa.Schema:
        return self._columns.append(pa.field("digest", pa.string()))


def _arrival(stem: str) -> str:
    """The name of a file's arrival: the file's own, or a valid name derived from it.

    It depends on the file's name alone, so that a file is ingested once.
    """
    try:
        return keys.check(stem)
    except BadKey:
        return keys.segment_for(stem, "")
