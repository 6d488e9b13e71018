"""A CSV of any length comes in piece by piece, and leaves the rows that a small one would."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Delivery, Reading
from overnight.models.sources.csv_stream import read_lines
from overnight.models.sources.streaming import Rejected, digests
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Landing
from overnight.store.errors import BadFile
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.schema import TensorSpec
from overnight.tasks.data import land
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.ingest import UNDECLARED, ingest
from tests.support.crashing_stores import Fuse, Killed, KillingBucket, KillingDataset
from tests.support.letters_source import AT

COLUMNS = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),
        pa.field("units", pa.float64(), nullable=False),
        pa.field("family", pa.string()),
    ]
)
ROWS = pa.schema([*COLUMNS, ("digest", pa.string())])
HELD_OUT = 3


class Items:
    """A source of CSV lines; an item is the same item whatever else its line says."""

    def deliver(self, delivered: object) -> Delivery | None:
        return None

    def read(self, files: object) -> Reading:
        raise AssertionError("what streams is never read whole")

    def batches(
        self, name: str, file: BinaryIO, rejected: Rejected
    ) -> Iterator[pa.RecordBatch] | None:
        if not name.endswith((".csv", ".csv.gz")):
            return None
        return map(_with_digest, read_lines(name, file, COLUMNS, rejected, block_bytes=4_096))

    def holdout(self) -> pa.Table:
        held = pa.record_batch([[HELD_OUT], [1.0], ["x"]], schema=COLUMNS)
        return pa.Table.from_batches([_with_digest(held)])


def _with_digest(batch: pa.RecordBatch) -> pa.RecordBatch:
    found = digests(batch.column("item").cast(pa.string()))
    return pa.RecordBatch.from_arrays([*batch.columns, found], schema=ROWS)


def _unheard(_: int) -> None:
    """Nobody looks at the bar."""


@dataclass
class House:
    """A store of files and tables on this machine."""

    folder: Path
    bucket: Bucket = field(default_factory=MemoryBucket)

    @property
    def rows(self) -> Dataset:
        return Dataset.in_folder(self.folder, "items", "rows")

    def land(self, name: str, body: bytes, *, bucket: Bucket | None = None) -> Arrival:
        path = self.folder / name
        path.write_bytes(body)
        landed = land.land_file(
            Items(), bucket or self.bucket, path, model="items", by="ann", at=AT, report=_unheard,
            # Several pieces of a file that a test can write.
            piece_rows=500,
        )  # fmt: skip
        assert landed is not None
        return landed

    def ingest(
        self,
        *,
        bucket: Bucket | None = None,
        rows: Dataset | None = None,
        gates: DataGates = UNDECLARED,
    ) -> Ingested:
        holdout = Dataset.in_folder(self.folder, "items", "holdout")
        return ingest(
            Items(), bucket or self.bucket, rows or self.rows, holdout,
            model="items", take_next=False, gates=gates,
        )  # fmt: skip

    def items(self) -> list[int]:
        return sorted(self.rows.read(columns=["item"]).column("item").to_pylist())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def lines(items: object) -> bytes:
    return b"family,item,units\n" + b"".join(b"f%d,%d,%d.5\n" % (i % 3, i, i) for i in items)


@pytest.mark.parametrize("name", ["big.csv", "big.csv.gz"])
def test_pieces_come_in_as_one_arrival_in_one_commit(house: House, name: str) -> None:
    body = lines([*range(2_000), *range(1_000, 1_500)])
    arrival = house.land(name, gzip.compress(body) if name.endswith("gz") else body)

    ingested = house.ingest()

    assert arrival.converted is not None
    assert arrival.converted.rows == 2_500
    assert len(arrival.converted.pieces) > 3
    assert ingested == Ingested(
        arrivals=(arrival.name,), rows_added=1_999, duplicates=500, kept_out=1, dataset_version=1
    )
    assert house.items() == [item for item in range(2_000) if item != HELD_OUT]
    table = house.rows.read().sort_by("arrival_row")
    assert table.column("units").to_pylist() == [i + 0.5 for i in range(2_000) if i != HELD_OUT]
    assert table.column("arrival_row").to_pylist() == [i for i in range(2_000) if i != HELD_OUT]
    assert set(table.column("arrival").to_pylist()) == {arrival.name}
    assert Landing(house.bucket, "items").pending() == []


def test_what_is_known_stays_out_and_the_same_file_is_one_arrival(house: House) -> None:
    first = house.land("first.csv", lines(range(100, 900)))
    house.ingest()
    again = house.land("first.csv", lines(range(100, 900)))
    skipped = house.ingest()
    house.land("second.csv", lines(range(500, 1_500)))
    ingested = house.ingest()

    assert again.name == first.name
    assert skipped.skipped == (first.name,)
    assert (ingested.rows_added, ingested.duplicates) == (600, 400)
    assert house.items() == list(range(100, 1_500))


def test_lines_that_will_not_do_are_named_and_kept(house: House) -> None:
    body = lines(range(100, 1_100)).replace(b",205,", b",x,").replace(b",777,", b",")
    body += b'"a\nb",5000,1\n'
    arrival = house.land("big.csv", body)

    ingested = house.ingest()

    assert arrival.converted is not None
    assert arrival.converted.rows == ingested.rows_added == 999
    (bad,) = ingested.quarantined
    assert "2 of its lines are invalid: line 107: " in bad.reason
    assert "invalid value 'x'" in bad.reason
    assert "line 679: Expected 3 columns, got 2" in bad.reason
    kept = house.bucket.keys_below("landing/items/quarantine")
    body = next(house.bucket.read(key) for key in kept if not key.endswith(".json"))
    assert body == b"f1,x,205.5\nf0,777.5\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "a line that names columns"),
        (b"family,item\na,1\n", "units is not there"),
        (b"item,item,units,family\n1,1,1,a\n", "item is there twice"),
        (lines(range(10)) + b"x" * 9_000, "lines shorter than"),
        (b"family,item,units\n" + b"a,b,c\n" * 1_001, "at most 1,000 bad lines"),
    ],
)
def test_a_file_that_will_not_do_lands_nothing(house: House, body: bytes, told: str) -> None:
    with pytest.raises(BadFile, match=told):
        house.land("big.csv", body)

    assert Landing(house.bucket, "items").pending() == []


def test_a_torn_gzip_lands_nothing(house: House) -> None:
    with pytest.raises(BadFile, match="a gzip file"):
        house.land("big.csv.gz", gzip.compress(lines(range(5_000)))[:-20])

    assert Landing(house.bucket, "items").pending() == []


def test_another_kind_of_file_is_left_to_be_read_whole(house: House, tmp_path: Path) -> None:
    (tmp_path / "small.parquet").write_bytes(b"PAR1")

    landed = land.land_file(
        Items(), house.bucket, tmp_path / "small.parquet", model="items", by="a", at=AT,
        report=_unheard,
    )  # fmt: skip

    assert landed is None


@pytest.mark.parametrize("before", [True, False])
def test_killed_at_any_write_each_row_is_there_once(house: House, *, before: bool) -> None:
    house.land("first.csv", lines(range(10)))
    house.ingest()
    for writes in range(10):
        body = lines(range(writes * 1_000, writes * 1_000 + 1_100))
        fuse = Fuse(writes, before=before)
        try:
            house.land("big.csv", body, bucket=KillingBucket(house.bucket, fuse))
            rows = KillingDataset(house.rows.uri, fuse)
            house.ingest(bucket=KillingBucket(house.bucket, fuse), rows=rows)
        except Killed:
            house.land("big.csv", body)
            house.ingest()

        expected = set(range(writes * 1_000 + 1_100)) - {HELD_OUT}
        assert house.items() == sorted(expected)
        assert Landing(house.bucket, "items").pending() == []


def test_columns_that_are_not_as_declared_refuse_the_arrival_whole(house: House) -> None:
    gates = DataGates(
        columns=(Column(TensorSpec(name="units", datatype="FP64", shape=(), maximum=1_500)),)
    )
    house.land("good.csv", lines(range(100, 200)))
    house.ingest(gates=gates)
    arrival = house.land("bad.csv", lines(range(500, 2_000)))

    ingested = house.ingest(gates=gates)

    assert ingested.rows_added == 0
    assert arrival.converted is not None
    assert {bad.file for bad in ingested.quarantined} == set(arrival.converted.pieces)
    assert {finding.slice for finding in ingested.findings} == {arrival.name}
    assert house.items() == list(range(100, 200))
    assert arrival.name in house.rows.arrival_names()


def test_rows_that_mostly_repeat_each_other_are_refused(house: House) -> None:
    house.land("poison.csv", lines([7] * 1_200 + list(range(300))))

    ingested = house.ingest()

    (finding,) = ingested.findings
    assert (finding.gate, finding.passed) == ("few repeats", False)
    assert ingested.rows_added == 0


def test_a_piece_that_was_damaged_is_quarantined_and_the_others_come_in(house: House) -> None:
    arrival = house.land("big.csv", lines(range(1_000, 3_000)))
    assert arrival.converted is not None
    lost = arrival.converted.pieces[1]
    house.bucket.remove(arrival.key(lost))

    ingested = house.ingest()

    assert [bad.file for bad in ingested.quarantined] == [lost]
    assert 0 < ingested.rows_added < 2_000


def test_digests_are_those_of_the_texts() -> None:
    rng = np.random.default_rng(0)
    texts = [str(number) for number in rng.integers(0, 1_000, 100)]

    found = digests(pa.array(texts)).to_pylist()

    assert found == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
