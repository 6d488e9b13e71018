"""Compares rows with the digests that they got when they were ingested.

The Parquet files have no checksums here, so a flipped bit in a picture goes unnoticed by readers.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from overnight.store.errors import CorruptTable

_BATCH_ROWS = 4_096


@dataclass(frozen=True)
class DigestCount:
    """How many rows match their digest, and how many do not."""

    same: int = 0
    other: int = 0

    def __add__(self, more: "DigestCount") -> "DigestCount":
        return DigestCount(self.same + more.same, self.other + more.other)

    @property
    def problem(self) -> str:
        """What is wrong; empty if nothing is.

        If no row matches, the source computes its digests from something else, which is allowed.
        """
        if not self.other or not self.same:
            return ""
        return f"{self.other:,} of {self.same + self.other:,} rows differ from what was ingested"


def count_batch(batch: pa.RecordBatch) -> DigestCount:
    """Compare the one column of bytes of some rows with their digests.

    Tables with no such column or several, and missing values, count neither way.
    """
    bulky = [field.name for field in batch.schema if pa.types.is_binary(field.type)]
    if len(bulky) != 1 or "digest" not in batch.schema.names:
        return DigestCount()
    sha256 = hashlib.sha256
    bodies = batch.column(bulky[0]).to_pylist()
    digests = [None if body is None else sha256(body).hexdigest() for body in bodies]
    same = pc.equal(batch.column("digest"), pa.array(digests, pa.string()))
    return DigestCount(pc.sum(same).as_py() or 0, pc.sum(pc.invert(same)).as_py() or 0)


def count_digests(batches: Iterable[pa.RecordBatch]) -> DigestCount:
    """The count over all batches, one in memory at a time."""
    return sum(map(count_batch, batches), DigestCount())


def check(rows: pa.Table, where: str) -> None:
    """Raise if rows differ from their digests.

    Raises:
        CorruptTable: names the table at `where` and the number of such rows.
    """
    if problem := count_digests(rows.to_batches(max_chunksize=_BATCH_ROWS)).problem:
        raise CorruptTable(where, problem)
