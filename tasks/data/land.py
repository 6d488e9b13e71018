"""Land: deliver a file of any length, converted to pieces as it is read."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from overnight.models.definition import Source
from overnight.models.sources.streaming import BadLine, Streaming
from overnight.store.datasets.landing import Arrival, Converted, Landing
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest

PIECE_ROWS = 131_072
# Of the lines that will not do, so many are told of; all of them are kept.
_TOLD = 20

Report = Callable[[int], None]


@dataclass
class _Conversion:
    """What is seen while a file is converted."""

    file: str
    sha256: str
    rows: int = 0
    pieces: list[str] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)

    @property
    def rejected_file(self) -> str:
        return f"{self.file}/rejected" if self.bad else ""

    def converted(self) -> Converted:
        return Converted(
            file=self.file,
            sha256=self.sha256,
            rows=self.rows,
            pieces=tuple(self.pieces),
            rejected_lines=len(self.bad),
            rejected=tuple(str(line) for line in self.bad[:_TOLD]),
            rejected_file=self.rejected_file,
        )


def land_file(
    source: Source,
    bucket: Bucket,
    path: Path,
    *,
    model: str,
    by: str,
    at: datetime,
    report: Report,
    piece_rows: int = PIECE_ROWS,
) -> Arrival | None:
    """Deliver a file as one arrival, or None when this source reads such a file only whole.

    `report` is told how many bytes of the file have been read. The arrival's name follows from the
    file's own name and contents, as for every file that is landed by hand.

    Raises:
        BadFile: a column is missing, or too many lines will not do; nothing was delivered.
    """
    if not isinstance(source, Streaming):
        return None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        seen = _Conversion(path.name, sha256)
        batches = source.batches(path.name, file, seen.bad.append)
        if batches is None:
            return None
        return Landing(bucket, model).land_pieces(
            name_of({path.name: sha256}),
            _pieces(batches, seen, file, report, piece_rows),
            seen.converted,
            by=by,
            at=at,
        )


def name_of(digests: dict[str, str]) -> str:
    """The name of what is landed by hand: delivered twice, it is there once."""
    contents = "".join(f"{name}\0{sha256}\0" for name, sha256 in sorted(digests.items()))
    return f"by-hand-{digest(contents.encode())[:16]}"


def _pieces(
    batches: Iterator[pa.RecordBatch],
    seen: _Conversion,
    file: BinaryIO,
    report: Report,
    piece_rows: int,
) -> Iterator[tuple[str, bytes]]:
    """Each piece as it is made, and the rejected lines last."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) >= piece_rows:
            yield _piece(waiting, seen)
            waiting = []
            report(file.tell())
    if waiting:
        yield _piece(waiting, seen)
    if seen.bad:
        yield seen.rejected_file, b"".join(_line(bad) for bad in seen.bad)
    report(file.tell())


def _piece(batches: list[pa.RecordBatch], seen: _Conversion) -> tuple[str, bytes]:
    rows = pa.Table.from_batches(batches)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, **writing(rows.schema))
    name = f"{seen.file}/{len(seen.pieces):06d}.parquet"
    seen.pieces.append(name)
    seen.rows += rows.num_rows
    return name, bytes(sink.getvalue())


def writing(schema: pa.Schema) -> dict[str, Any]:
    """How pieces are written: texts that repeat are worth a dictionary, digests and numbers not."""
    texts = [one.name for one in schema if pa.types.is_string(one.type) and one.name != "digest"]
    return {"use_dictionary": texts or False, "write_statistics": False}


def _line(bad: BadLine) -> bytes:
    return bad.text if bad.text.endswith(b"\n") else bad.text + b"\n"
