"""Contents: whether rows still are what they were when they were taken in.

A bit that turned over in a picture breaks no Parquet file, which has no checksums here; the digest
that each row carries tells.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from overnight.store.errors import CorruptTable

_AT_ONCE = 4_096


@dataclass(frozen=True)
class DigestCount:
    """How many rows have the bytes that their digest is of, and how many have others."""

    same: int = 0
    other: int = 0

    def __add__(self, more: "DigestCount") -> "DigestCount":
        return DigestCount(self.same + more.same, self.other + more.other)

    @property
    def told(self) -> str:
        """What is wrong, or nothing.

        Where no row at all has them, the source means something else by its digests.
        """
        if not self.other or not self.same:
            return ""
        return f"{self.other:,} of {self.same + self.other:,} rows are not those that came in"


def tally(batch: pa.RecordBatch) -> DigestCount:
    """Hold the bulk of rows, their one column of bytes, against their digests.

    Rows without such a column, and bytes that are missing, tell nothing.
    """
    bulky = [field.name for field in batch.schema if pa.types.is_binary(field.type)]
    if len(bulky) != 1 or "digest" not in batch.schema.names:
        return DigestCount()
    sha256 = hashlib.sha256
    bodies = batch.column(bulky[0]).to_pylist()
    found = [None if body is None else sha256(body).hexdigest() for body in bodies]
    same = pc.equal(batch.column("digest"), pa.array(found, pa.string()))
    return DigestCount(pc.sum(same).as_py() or 0, pc.sum(pc.invert(same)).as_py() or 0)


def summed(batches: Iterable[pa.RecordBatch]) -> DigestCount:
    """The tally of all, a batch at a time."""
    return sum(map(tally, batches), DigestCount())


def check(rows: pa.Table, where: str) -> None:
    """Make sure that rows which were read have the bytes that their digests are of.

    Raises:
        CorruptTable: how many of the table at `where` have others.
    """
    if told := summed(rows.to_batches(max_chunksize=_AT_ONCE)).told:
        raise CorruptTable(where, told)
