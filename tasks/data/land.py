"""Converts rows of any number to Parquet pieces while they are read, and lands those."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from overnight.models.definition import Source, StreamedDelivery
from overnight.models.sources.local_folder import FolderFile, inspect
from overnight.models.sources.streaming import BadLine, Streaming
from overnight.store.datasets.landing import Arrival, Converted, Landing
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest

PIECE_ROWS = 131_072
# The record of an arrival names this many rejected lines; a file beside it keeps all of them.
_NAMED_LINES = 20

Report = Callable[[int], None]


@dataclass
class _Conversion:
    """The state of a conversion."""

    file: str
    sha256: str
    size_bytes: int = 0
    rows: int = 0
    pieces: list[str] = field(default_factory=list)
    bad_lines: list[BadLine] = field(default_factory=list)

    @property
    def rejected_file(self) -> str:
        return f"{self.file}/rejected" if self.bad_lines else ""

    def converted(self) -> Converted:
        return Converted(
            file=self.file,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            rows=self.rows,
            pieces=tuple(self.pieces),
            rejected_lines=len(self.bad_lines),
            rejected=tuple(str(line) for line in self.bad_lines[:_NAMED_LINES]),
            rejected_file=self.rejected_file,
        )


def land_file(
    source: Source,
    bucket: Bucket,
    source_file: FolderFile,
    *,
    model: str,
    by: str,
    at: datetime,
    report: Report,
    piece_rows: int = PIECE_ROWS,
) -> Arrival | None:
    """Land a file as one arrival; None if the source can only read such a file as a whole.

    `report` gets the number of bytes read so far. The arrival's name is derived from the file's
    name and contents, as for every file that is landed by hand.

    Raises:
        BadFile: a column is missing, too many lines are invalid, or the file changed meanwhile;
            nothing was landed.
    """
    if not isinstance(source, Streaming):
        return None
    name = source_file.name
    with source_file.open() as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # Read twice, because the digest names the arrival.
        file.seek(0)
        conversion = _Conversion(name, sha256, source_file.size_bytes)
        batches = source.batches(name, file, conversion.bad_lines.append)
        if batches is None:
            return None
        return Landing(bucket, model).land_pieces(
            arrival_name({name: sha256}),
            _while_unchanged(
                _pieces(batches, conversion, piece_rows, lambda: report(file.tell())), source_file
            ),
            conversion.converted,
            by=by,
            at=at,
        )


def write_pieces(
    delivery: StreamedDelivery, folder: Path, *, piece_rows: int = PIECE_ROWS
) -> Converted:
    """Write the pieces of a streamed arrival into a folder, numbered in order.

    Raises:
        BadFile: a file cannot be read, or its rows have the wrong columns.
    """
    conversion = _Conversion(delivery.what, "", delivery.size_bytes)
    batches = delivery.batches(conversion.bad_lines.append)
    pieces = _pieces(batches, conversion, piece_rows, lambda: None)
    for number, (_, body) in enumerate(pieces):
        piece_path(folder, number).write_bytes(body)
    conversion.sha256 = delivery.sha256()
    return conversion.converted()


def piece_path(folder: Path, number: int) -> Path:
    """Where `write_pieces` writes a piece."""
    return folder / f"{number:06d}"


def land_written(
    landing: Landing, name: str, converted: Converted, folder: Path, *, by: str, at: datetime
) -> Arrival:
    """Land the pieces that `write_pieces` wrote, or the reason why there are none."""

    def pieces() -> Iterator[tuple[str, bytes]]:
        if converted.refused:
            yield f"{converted.file}/refused", converted.refused.encode()
            return
        rejected = (converted.rejected_file,) if converted.rejected_file else ()
        for number, piece in enumerate((*converted.pieces, *rejected)):
            yield piece, piece_path(folder, number).read_bytes()

    return landing.land_pieces(name, pieces(), lambda: converted, by=by, at=at)


def _while_unchanged(
    pieces: Iterator[tuple[str, bytes]], source_file: FolderFile
) -> Iterator[tuple[str, bytes]]:
    """All pieces; raises after the last one if the file changed, before the arrival is visible."""
    yield from pieces
    if inspect(source_file.path, source_file.name) != source_file:
        raise source_file.changed()


def arrival_name(digests: dict[str, str]) -> str:
    """A name derived from names and digests of files, so that landing them twice has no effect."""
    contents = "".join(f"{name}\0{sha256}\0" for name, sha256 in sorted(digests.items()))
    return f"by-hand-{digest(contents.encode())[:16]}"


def _pieces(
    batches: Iterator[pa.RecordBatch],
    conversion: _Conversion,
    piece_rows: int,
    report: Callable[[], None],
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each piece, and of the file of rejected lines last."""
    batches_waiting: list[pa.RecordBatch] = []
    for batch in batches:
        batches_waiting.append(batch)
        if sum(batch_waiting.num_rows for batch_waiting in batches_waiting) >= piece_rows:
            yield _piece(batches_waiting, conversion)
            batches_waiting = []
            report()
    if batches_waiting:
        yield _piece(batches_waiting, conversion)
    if conversion.bad_lines:
        yield conversion.rejected_file, b"".join(_with_newline(bad) for bad in conversion.bad_lines)
    report()


def _piece(batches: list[pa.RecordBatch], conversion: _Conversion) -> tuple[str, bytes]:
    rows = pa.Table.from_batches(batches)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, **write_options(rows.schema))
    name = f"{conversion.file}/{len(conversion.pieces):06d}.parquet"
    conversion.pieces.append(name)
    conversion.rows += rows.num_rows
    return name, bytes(sink.getvalue())


def write_options(schema: pa.Schema) -> dict[str, Any]:
    """Options of the Parquet writer: a dictionary pays off for texts only, not for digests."""
    dictionary_columns = [
        column.name
        for column in schema
        if pa.types.is_string(column.type) and column.name != "digest"
    ]
    return {"use_dictionary": dictionary_columns or False, "write_statistics": False}


def _with_newline(bad: BadLine) -> bytes:
    return bad.text if bad.text.endswith(b"\n") else bad.text + b"\n"
