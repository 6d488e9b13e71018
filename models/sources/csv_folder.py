"""A source for any model: a folder of CSV files, one arrival each.

`holdout.csv` has the rows that evaluate every version and never train one; every other `*.csv` is
an arrival, in the order of their names. Files ingested by hand are read the same way.
"""

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from overnight.models.definition import Delivery, Places, Reading
from overnight.models.errors import SourceUnavailable
from overnight.store.errors import BadFile, BadKey
from overnight.store.objects import keys

HOLDOUT = "holdout.csv"


class CsvFolder:
    """CSV files with a header, in the folder of the setting `source_folders`."""

    def __init__(
        self, places: Places, *, model: str, columns: pa.Schema, same_by: Sequence[str]
    ) -> None:
        """`columns` are those of every file, in any order; `same_by` identifies duplicates."""
        self._places, self._model = places, model
        self._columns, self._same_by = columns, tuple(same_by)

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The first file by name that was not delivered yet; None after the last."""
        for path in sorted(self._folder().glob("*.csv")):
            if path.name != HOLDOUT and (name := _arrival(path.stem)) not in delivered:
                return Delivery(name, {path.name: path.read_bytes()})
        return None

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
        if not path.exists():
            raise SourceUnavailable(
                f"{self._model}'s holdout",
                [f"{path}: no such file"],
                "put the rows there that are to evaluate every version",
            )
        return self._read(path.name, path.read_bytes())

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
