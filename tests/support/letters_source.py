"""A tiny dataset to ingest: letters as rows, a bucket in memory, two tables in a folder."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Delivery, Reading
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.errors import BadFile
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.categories import Categories
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.ingest import UNDECLARED, ingest
from tests.support.crashing_stores import Fuse, KillingBucket, KillingDataset

AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


class Letters:
    """A small source: every letter of a text file is a row, `!` makes a file unreadable.

    `?` is a defect of its reader, which raises.
    """

    def __init__(self, *nights: Mapping[str, bytes], held_out: str = "xyz") -> None:
        self._nights = nights
        self._held_out = held_out

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        for number, files in enumerate(self._nights):
            if f"night-{number:04d}" not in delivered:
                return Delivery(f"night-{number:04d}", files)
        return None

    def read(self, files: Mapping[str, bytes]) -> Reading:
        bad = [
            BadFile(name, expected="letters", found="!") for name in files if b"!" in files[name]
        ]
        if any(b"?" in body for body in files.values()):
            raise KeyError('Field "letter" exists 2 times in schema')
        good = [body.decode() for body in files.values() if b"!" not in body]
        return Reading(_rows("".join(good)), tuple(bad))

    def holdout(self) -> pa.Table:
        return _rows(self._held_out)


def digest(letter: str) -> str:
    return hashlib.sha256(letter.encode()).hexdigest()


def _rows(letters: str) -> pa.Table:
    digests = [digest(letter) for letter in letters]
    return pa.table(
        {"letter": pa.array(letters, pa.string()), "digest": pa.array(digests, pa.string())}
    )


DELIVERIES = ({"a": b"abcx", "b": b"cde"}, {"a": b"f!"}, {"a": b"ag"})


class LettersDataset:
    """A bucket and two tables in a folder."""

    def __init__(self, folder: Path, *, source: Letters | None = None) -> None:
        self.folder = folder
        self.bucket: Bucket = MemoryBucket()
        self.rows = Dataset.in_folder(folder, "letters", "rows")
        self.holdout = Dataset.in_folder(folder, "letters", "holdout")
        self.source = source or Letters(*DELIVERIES)

    def ingest(
        self,
        *,
        take_next: bool = True,
        fuse: Fuse | None = None,
        gates: DataGates = UNDECLARED,
        known: Categories | None = None,
        open_categories: Categories | None = None,
        declared: DeclaredColumns | None = None,
    ) -> Ingested:
        bucket, rows, holdout = self.bucket, self.rows, self.holdout
        if fuse:
            bucket = KillingBucket(bucket, fuse)
            rows, holdout = KillingDataset(rows.uri, fuse), KillingDataset(holdout.uri, fuse)
        return ingest(
            self.source,
            bucket,
            rows,
            holdout,
            model="letters",
            take_next=take_next,
            gates=gates,
            known=known,
            open_categories=open_categories,
            declared=declared,
        )

    def drop(self, name: str, **files: bytes) -> None:
        Landing(self.bucket, "letters").land(name, files, by="ann", at=AT)

    def letters(self) -> str:
        return "".join(sorted(self.rows.read().column("letter").to_pylist()))
