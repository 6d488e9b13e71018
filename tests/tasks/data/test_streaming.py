"""A CSV of any length is ingested in pieces, with the same result as a small one."""

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
from overnight.models.sources.local_folder import regular_file
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
from tests.support.limits import LIMIT

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
    result = digests(batch.column("item").cast(pa.string()))
    return pa.RecordBatch.from_arrays([*batch.columns, result], schema=ROWS)


def _unheard(_: int) -> None:
    """Nobody looks at the bar."""


@dataclass
class Pipeline:
    """A store of files and tables on this machine."""

    folder: Path
    bucket: Bucket = field(default_factory=MemoryBucket)

    @property
    def rows(self) -> Dataset:
        return Dataset.in_folder(self.folder, "items", "rows")

    def land(self, name: str, body: bytes, *, bucket: Bucket | None = None) -> Arrival:
        path = self.folder / name
        path.write_bytes(body)
        file = regular_file(path)
        landed = land.land_file(
            Items(), bucket or self.bucket, file, model="items", by="ann", at=AT, report=_unheard,
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
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def lines(items: object) -> bytes:
    return b"family,item,units\n" + b"".join(b"f%d,%d,%d.5\n" % (i % 3, i, i) for i in items)


@pytest.mark.parametrize("name", ["big.csv", "big.csv.gz"])
def test_pieces_are_ingested_as_one_arrival_in_one_commit(pipeline: Pipeline, name: str) -> None:
    body = lines([*range(2_000), *range(1_000, 1_500)])
    arrival = pipeline.land(name, gzip.compress(body) if name.endswith("gz") else body)

    ingested = pipeline.ingest()

    assert arrival.converted is not None
    assert arrival.converted.rows == 2_500
    assert len(arrival.converted.pieces) > 3
    assert ingested == Ingested(
        arrivals=(arrival.name,), rows_added=1_999, duplicates=500, kept_out=1, dataset_version=1
    )
    assert pipeline.items() == [item for item in range(2_000) if item != HELD_OUT]
    table = pipeline.rows.read().sort_by("arrival_row")
    assert table.column("units").to_pylist() == [i + 0.5 for i in range(2_000) if i != HELD_OUT]
    assert table.column("arrival_row").to_pylist() == [i for i in range(2_000) if i != HELD_OUT]
    assert set(table.column("arrival").to_pylist()) == {arrival.name}
    assert Landing(pipeline.bucket, "items").pending() == []


def test_known_rows_are_dropped_and_the_same_file_is_one_arrival(pipeline: Pipeline) -> None:
    first = pipeline.land("first.csv", lines(range(100, 900)))
    pipeline.ingest()
    again = pipeline.land("first.csv", lines(range(100, 900)))
    skipped = pipeline.ingest()
    pipeline.land("second.csv", lines(range(500, 1_500)))
    ingested = pipeline.ingest()

    assert again.name == first.name
    assert skipped.skipped == (first.name,)
    assert (ingested.rows_added, ingested.duplicates) == (600, 400)
    assert pipeline.items() == list(range(100, 1_500))


def test_invalid_lines_are_named_and_kept(pipeline: Pipeline) -> None:
    body = lines(range(100, 1_100)).replace(b",205,", b",x,").replace(b",777,", b",")
    body += b'"a\nb",5000,1\n'
    arrival = pipeline.land("big.csv", body)

    ingested = pipeline.ingest()

    assert arrival.converted is not None
    assert arrival.converted.rows == ingested.rows_added == 999
    (bad,) = ingested.quarantined
    assert "2 of its lines are invalid: line 107: " in bad.reason
    assert "invalid value 'x'" in bad.reason
    assert "line 679: Expected 3 columns, got 2" in bad.reason
    kept = pipeline.bucket.keys_below("landing/items/quarantine")
    body = next(pipeline.bucket.read(key, LIMIT) for key in kept if not key.endswith(".json"))
    assert body == b"f1,x,205.5\nf0,777.5\n"


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        (b"", "a line of column names"),
        (b"family,item\na,1\n", "units is not there"),
        (b"item,item,units,family\n1,1,1,a\n", "item is there twice"),
        (lines(range(10)) + b"x" * 9_000, "lines shorter than"),
        (b"family,item,units\n" + b"a,b,c\n" * 1_001, "at most 1,000 bad lines"),
    ],
)
def test_an_invalid_file_is_not_landed(pipeline: Pipeline, body: bytes, reported: str) -> None:
    with pytest.raises(BadFile, match=reported):
        pipeline.land("big.csv", body)

    assert Landing(pipeline.bucket, "items").pending() == []


def test_a_truncated_gzip_is_not_landed(pipeline: Pipeline) -> None:
    with pytest.raises(BadFile, match="a gzip file"):
        pipeline.land("big.csv.gz", gzip.compress(lines(range(5_000)))[:-20])

    assert Landing(pipeline.bucket, "items").pending() == []


def test_a_file_that_changes_while_it_is_landed_is_not_landed(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "big.csv").write_bytes(lines(range(2_000)))
    file = regular_file(tmp_path / "big.csv")

    def grow(_read: int) -> None:
        with file.path.open("ab") as more:
            more.write(b"f0,9999,1.5\n")

    with pytest.raises(BadFile, match="being written"):
        land.land_file(
            Items(), pipeline.bucket, file, model="items", by="a", at=AT, report=grow,
            piece_rows=500,
        )  # fmt: skip
    assert Landing(pipeline.bucket, "items").pending() == []


def test_another_kind_of_file_is_not_streamed(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "small.parquet").write_bytes(b"PAR1")

    landed = land.land_file(
        Items(), pipeline.bucket, regular_file(tmp_path / "small.parquet"), model="items",
        by="a", at=AT, report=_unheard,
    )  # fmt: skip

    assert landed is None


@pytest.mark.parametrize("before", [True, False])
def test_killed_at_any_write_each_row_is_there_once(pipeline: Pipeline, *, before: bool) -> None:
    pipeline.land("first.csv", lines(range(10)))
    pipeline.ingest()
    for writes in range(10):
        body = lines(range(writes * 1_000, writes * 1_000 + 1_100))
        fuse = Fuse(writes, before=before)
        try:
            pipeline.land("big.csv", body, bucket=KillingBucket(pipeline.bucket, fuse))
            rows = KillingDataset(pipeline.rows.uri, fuse)
            pipeline.ingest(bucket=KillingBucket(pipeline.bucket, fuse), rows=rows)
        except Killed:
            pipeline.land("big.csv", body)
            pipeline.ingest()

        expected = set(range(writes * 1_000 + 1_100)) - {HELD_OUT}
        assert pipeline.items() == sorted(expected)
        assert Landing(pipeline.bucket, "items").pending() == []


def test_columns_that_are_not_as_declared_refuse_the_arrival(pipeline: Pipeline) -> None:
    gates = DataGates(
        columns=(Column(TensorSpec(name="units", datatype="FP64", shape=(), maximum=1_500)),)
    )
    pipeline.land("good.csv", lines(range(100, 200)))
    pipeline.ingest(gates=gates)
    arrival = pipeline.land("bad.csv", lines(range(500, 2_000)))

    ingested = pipeline.ingest(gates=gates)

    assert ingested.rows_added == 0
    assert arrival.converted is not None
    assert {bad.file for bad in ingested.quarantined} == set(arrival.converted.pieces)
    assert {finding.slice for finding in ingested.findings} == {arrival.name}
    assert pipeline.items() == list(range(100, 200))
    assert arrival.name in pipeline.rows.arrival_names()


def test_rows_that_mostly_repeat_each_other_are_refused(pipeline: Pipeline) -> None:
    pipeline.land("poison.csv", lines([7] * 1_200 + list(range(300))))

    ingested = pipeline.ingest()

    (finding,) = ingested.findings
    assert (finding.gate, finding.passed) == ("few repeats", False)
    assert ingested.rows_added == 0


def test_a_damaged_piece_is_quarantined_and_the_others_are_ingested(pipeline: Pipeline) -> None:
    arrival = pipeline.land("big.csv", lines(range(1_000, 3_000)))
    assert arrival.converted is not None
    lost = arrival.converted.pieces[1]
    pipeline.bucket.remove(arrival.key(lost))

    ingested = pipeline.ingest()

    assert [bad.file for bad in ingested.quarantined] == [lost]
    assert 0 < ingested.rows_added < 2_000


def test_digests_are_those_of_the_texts() -> None:
    rng = np.random.default_rng(0)
    texts = [str(number) for number in rng.integers(0, 1_000, 100)]

    result = digests(pa.array(texts)).to_pylist()

    assert result == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
