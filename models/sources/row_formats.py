"""`JsonLines` and `Parquet`, the formats of files beside `Csv`, and what reads each of them."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.json

from overnight.models.sources import csv_stream, line_blocks
from overnight.models.sources.borrowed_file import borrowed
from overnight.models.sources.csv_dialect import Csv, Packing
from overnight.models.sources.declared_rows import DeclaredRows
from overnight.models.sources.line_blocks import BLOCK_BYTES
from overnight.models.sources.packing import SUFFIXES, unpacked, unpacking_errors
from overnight.models.sources.parquet_file import ParquetReader
from overnight.models.sources.streaming import BadLine, Rejected
from overnight.store.errors import BadFile, BadLines

# More than any arrival has: what a few bytes of Parquet can claim must still end.
_MOST_ROWS = 1_000_000_000
_MOST_BYTES = 200_000_000_000
_VALUE_BYTES = 1_000_000
_MOST_VALUES = 100_000
_BATCH_ROWS = 32_768


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line, in UTF-8; keys that are not declared are ignored."""

    packed: Sequence[Packing] = ("gzip", "bzip2", "zstd")


@dataclass(frozen=True)
class Parquet:
    """Parquet files, with whatever compression they have inside.

    A text or other value of variable length may have `value_bytes`, a list `most_values`.
    """

    value_bytes: int = _VALUE_BYTES
    most_values: int = _MOST_VALUES


Format = Csv | JsonLines | Parquet
# The endings of names by which a format is known, without those of compressions.
ENDINGS: dict[type, tuple[str, ...]] = {
    Csv: (".csv", ".tsv", ".txt"),
    JsonLines: (".jsonl", ".ndjson", ".json"),
    Parquet: (".parquet", ".pq"),
}
_BY_ENDING = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}


def known_format(name: str) -> Format | None:
    """The format that the ending of a name says, or None."""
    path = PurePosixPath(name.lower())
    if path.suffix in SUFFIXES:
        path = path.with_suffix("")
    kind = _BY_ENDING.get(path.suffix)
    return None if kind is None else kind()


@dataclass(frozen=True)
class FileRows:
    """Reads the declared rows of files of one format, or of the format that their names say."""

    declared: DeclaredRows
    format: Format | None = None

    def batches(self, name: str, file: BinaryIO, rejected: Rejected) -> Iterator[pa.RecordBatch]:
        """The rows of a seekable file with their digests; invalid lines and rows are rejected.

        Raises:
            BadFile: another format than expected, a column is missing, or too much is invalid.
        """
        chosen, file = self.format or known_format(name), borrowed(file)
        if isinstance(chosen, Csv):
            dialect = replace(chosen, rename={**self.declared.rename, **chosen.rename})
            lines = csv_stream.read_lines(
                name, file, self.declared.columns, rejected, dialect=dialect
            )
            return map(self.declared.with_digests, lines)
        if isinstance(chosen, JsonLines):
            return self._json_lines(name, file, rejected, chosen)
        if isinstance(chosen, Parquet):
            return self._parquet(name, file, rejected, chosen)
        known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
        raise BadFile(name, expected=f"a name that ends in one of {known}", found="another")

    def read(self, name: str, body: bytes) -> tuple[pa.Table, tuple[BadLines, ...]]:
        """All rows of a file that is in memory, and its invalid lines; raises as `batches`."""
        bad: list[BadLine] = []
        rows = pa.Table.from_batches(
            self.batches(name, io.BytesIO(body), bad.append), self.declared.schema
        )
        return rows, csv_stream.as_rejection(name, bad)

    def _json_lines(
        self, name: str, file: BinaryIO, rejected: Rejected, chosen: JsonLines
    ) -> Iterator[pa.RecordBatch]:
        n, limited = 0, line_blocks.Limited(name, rejected)
        read = partial(_parse_json, self.declared)
        with unpacking_errors(name):
            lines = unpacked(name, file, chosen.packed)
            blocks = line_blocks.blocks(name, lines, BLOCK_BYTES, None)
            for number, block, parsed in line_blocks.parse_ahead(blocks, read, number=1):
                try:
                    tables: Iterator[pa.Table] = iter([parsed.result()])
                except pa.ArrowInvalid:
                    tables = line_blocks.salvage(block, number, read, limited, _middle_line)
                for table in tables:
                    n += table.num_rows
                    for batch in table.combine_chunks().to_batches():
                        yield self.declared.with_digests(batch)
        if not n and limited.first is not None:
            raise BadFile(name, expected="at least one line as declared", found=f"{limited.first}")

    def _parquet(
        self, name: str, file: BinaryIO, rejected: Rejected, chosen: Parquet
    ) -> Iterator[pa.RecordBatch]:
        reader = ParquetReader(
            name,
            pa.PythonFile(file, mode="r"),
            most_rows=_MOST_ROWS,
            most_bytes=_MOST_BYTES,
            value_bytes=chosen.value_bytes,
        )
        self.declared.require(name, reader.schema.names)
        self.declared.require_types(name, reader.schema)
        lists = any(pa.types.is_list(each.type) for each in self.declared.columns)
        batches = reader.batches(
            self.declared.source_names,
            values_per_row=chosen.most_values if lists else 1,
            rows=_BATCH_ROWS,
        )
        yield from self.declared.rows(name, batches, rejected)


def _parse_json(declared: DeclaredRows, block: bytes) -> pa.Table:
    """The rows of some lines; raises ArrowInvalid, for people, when one will not do."""
    if not block.strip():
        return declared.columns.empty_table()
    names = declared.source_names
    fields = [
        # Arrow parses dates from numbers alone.
        pa.field(name, pa.string() if pa.types.is_date(column.type) else column.type)
        for name, column in zip(names, declared.columns, strict=True)
    ]
    options = pyarrow.json.ParseOptions(
        explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"
    )
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    try:
        table = pyarrow.json.read_json(pa.BufferReader(block), reading, options)
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(_json_reason(error)) from None
    lines = sum(1 for line in block.split(b"\n") if line.strip())
    if table.num_rows != lines:
        raise pa.ArrowInvalid(f"{table.num_rows:,} objects in {lines:,} lines")
    return declared.cast(table.select(names))


def _json_reason(error: Exception) -> str:
    text = " ".join(str(error).split()).removeprefix("JSON parse error: ")
    return text.removesuffix(" in row 0")[:160]


def _middle_line(block: bytes) -> int | None:
    """Where the line in the middle of some ends; None for a single line."""
    middle = block.find(b"\n", len(block) // 2)
    if middle in {-1, len(block) - 1}:
        middle = block.rfind(b"\n", 0, len(block) // 2)
    return None if middle == -1 else middle + 1
