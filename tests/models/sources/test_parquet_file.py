"""What a Parquet file claims is compared with limits, and no text is repeated before its length."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overnight.models.sources.parquet_file import ParquetReader
from overnight.store.errors import BadFile


def reader(table: pa.Table, *, most_rows: int = 100, most_bytes: int = 10_000) -> ParquetReader:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return ParquetReader(
        "a.parquet", stream.getvalue(), most_rows=most_rows, most_bytes=most_bytes, value_bytes=50
    )


def test_rows_come_in_batches_of_the_columns_that_were_requested() -> None:
    table = pa.table({"x": range(10), "n": [f"row {i}" for i in range(10)], "other": [None] * 10})

    batches = list(reader(table).batches(["n", "x"], rows=4))

    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    assert pa.Table.from_batches(batches).equals(table.select(["n", "x"]))


@pytest.mark.parametrize(
    "long",
    [
        pa.array(["x" * 51]),
        pa.array([b"x" * 51]),
        pa.array(["x" * 51]).dictionary_encode(),
        pa.array(["x" * 51], pa.large_string()),
        pa.array([{"bytes": b"x" * 51}]),
    ],
)
def test_a_value_that_is_too_long_is_refused(long: pa.Array) -> None:
    with pytest.raises(BadFile, match="values of n of at most 50 bytes, found 51"):
        list(reader(pa.table({"n": long})).batches(["n"]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"n": range(101)}), "at most 100 rows, found 101"),
        (pa.table({"n": [[1, 2, 3], [4]]}), "at most 1 values of n in a row, found 4 in 2 rows"),
        (pa.table([[1], [2]], names=["n", "n"]), "n is there twice"),
        (pa.table([[1], [2], [3]], names=["n"] * 3), "n is there 3 times"),
        (pa.table({"x": [1]}), "n is not there"),
    ],
)
def test_what_breaks_a_limit_is_refused_by_name(table: pa.Table, message: str) -> None:
    with pytest.raises(BadFile, match=message):
        list(reader(table).batches(["n"]))


def test_the_bytes_of_all_rows_are_counted_as_they_are_read() -> None:
    repeated = pa.table({"n": pa.array(["x" * 50] * 100).dictionary_encode()})

    with pytest.raises(BadFile, match="at most 4,000 bytes when unpacked, found more"):
        list(reader(repeated, most_bytes=4_000).batches(["n"], rows=10))


def test_a_truncated_file_is_refused() -> None:
    with pytest.raises(BadFile, match="a Parquet file"):
        ParquetReader("a.parquet", b"PAR1" + bytes(20), most_rows=1, most_bytes=1)


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_list(pa.string()),
        pa.list_(pa.list_(pa.string())),
        pa.list_(pa.struct({"x": pa.string()})),
        pa.map_(pa.string(), pa.string()),
    ],
)
def test_texts_in_any_list_are_bounded_and_come_without_dictionaries(kind: pa.DataType) -> None:
    def table(text: str) -> pa.Table:
        if pa.types.is_map(kind):
            row: list[object] = [("a", text)]
        else:
            inner = kind.value_type
            row = [[text] if pa.types.is_list(inner) else text]
            row = [{"x": text}] if pa.types.is_struct(inner) else row
        return pa.table({"n": pa.array([row] * 3, kind)})

    (batch,) = reader(table("short")).batches(["n"], values_per_row=2)
    assert batch.column(0).to_pylist() == table("short")["n"].to_pylist()
    assert "dictionary" not in str(batch.schema)
    with pytest.raises(BadFile, match="values of n of at most 50 bytes, found 51"):
        list(reader(table("x" * 51)).batches(["n"], values_per_row=2))
