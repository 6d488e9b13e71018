"""CD4ML's layout as CSV of any length: the rows that reading it whole gives."""

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.definition import Places
from overnight.models.sales import store47
from overnight.models.sales.source import SalesSource
from overnight.models.sources.streaming import BadLine, Streaming

HEADER = ",".join(store47.COLUMNS)


def lines(n: int) -> bytes:
    reported = [
        f"{i},2016-{1 + i % 12:02d}-{1 + i % 28:02d},{100 + i % 7},{i % 50 - 3}.5,"
        f'"{("DAIRY", "BREAD, FRESH")[i % 2]}",1,0,2000,2016,1,1,1,{i},False'
        for i in range(n)
    ]
    return "\n".join([HEADER, *reported, ""]).encode()


@pytest.fixture
def source(tmp_path: Path) -> SalesSource:
    return SalesSource(Places(folder=None, cache=tmp_path))


@pytest.mark.parametrize("name", ["store.csv", "store.csv.gz"])
def test_streamed_rows_are_those_that_reading_whole_gives(source: SalesSource, name: str) -> None:
    body = lines(60_000)
    packed = gzip.compress(body) if name.endswith("gz") else body
    rejected: list[BadLine] = []

    assert isinstance(source, Streaming)
    batches = source.batches(name, io.BytesIO(packed), rejected.append)
    assert batches is not None
    streamed = pa.Table.from_batches(list(batches))

    whole = source.read({name: packed}).rows
    order = [("basket", "ascending")]
    assert streamed.num_rows == 60_000
    assert rejected == []
    assert streamed.sort_by(order).equals(whole.sort_by(order))


@pytest.mark.parametrize(
    ("name", "body"),
    [("lines.csv", b"basket_id,store_id\n1,2\n"), ("store.parquet", lines(1)), ("a", lines(1))],
)
def test_any_other_file_is_read_whole(source: SalesSource, name: str, body: bytes) -> None:
    assert source.batches(name, io.BytesIO(body), print) is None


def test_an_invalid_line_is_reported_by_its_number(source: SalesSource) -> None:
    rejected: list[BadLine] = []

    body = lines(10).replace(b",2016-04-04,", b",yesterday,")
    batches = source.batches("store.csv", io.BytesIO(body), rejected.append)

    assert batches is not None
    assert sum(batch.num_rows for batch in batches) == 9
    assert [line.number for line in rejected] == [5]
    assert "yesterday" in str(rejected[0])
