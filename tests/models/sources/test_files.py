"""`Files`: every format, dialect and compression gives the same rows; what is wrong is named."""

import bz2
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overnight.api import Csv, Files, HoldoutShare, JsonLines, Parquet, Places
from overnight.models.definition import Delivery, StreamedDelivery
from overnight.models.errors import SourceUnavailable
from overnight.models.sources.streaming import BadLine
from overnight.store.errors import BadFile, ConfigurationError

COLUMNS = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("town", pa.string(), nullable=False),
        pa.field("units", pa.float32()),
        pa.field("last", pa.list_(pa.int32())),
    ]
)
ROWS: list[dict[str, Any]] = [
    {"day": "2026-11-22", "town": "Köln", "units": 1.5, "last": [1, 2, 3]},
    {"day": "2026-11-23", "town": "a;b", "units": None, "last": []},
    {"day": "2026-11-24", "town": "Ulm", "units": 12.0, "last": None},
]
CSV = 'day,town,units,last\n2026-11-22,Köln,1.5,"[1,2,3]"\n2026-11-23,a;b,,[]\n2026-11-24,Ulm,12,\n'
SEMICOLONS = (
    'day;Ort;units;last\n2026-11-22;Köln;1,5;[1,2,3]\n2026-11-23;"a;b";;[]\n2026-11-24;Ulm;12;\n'
)

JSON = "".join(json.dumps({**row, "more": 1}) + "\n" for row in ROWS)


def named(value: object) -> str:
    """The bytes of compressed files have their time in them, and workers must agree on names."""
    return value if isinstance(value, str) else ""


def source(folder: Path | None, **options: Any) -> Files:
    return Files(
        Places(folder=folder, cache=Path("nowhere")),
        model="towns",
        columns=options.pop("columns", COLUMNS),
        same_by=options.pop("same_by", ("day", "town")),
        wait=lambda _: None,
        **options,
    )


def parquet(rows: list[dict[str, Any]] = ROWS, **columns: pa.DataType) -> bytes:
    table = pa.Table.from_pylist(rows).append_column("more", pa.array([1] * len(rows)))
    for name, kind in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast(kind))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    return [{**row, "day": str(row["day"])} for row in rows.drop_columns(["digest"]).to_pylist()]


@pytest.mark.parametrize(
    ("name", "body", "options"),
    [
        ("a.csv", CSV.encode(), {}),
        ("a.csv.bz2", bz2.compress(CSV.encode()), {}),
        ("a.csv.zst", pa.compress(CSV.encode(), "zstd", asbytes=True), {}),
        ("gzip without its ending.csv", gzip.compress(CSV.encode()), {}),
        ("a.csv", CSV.encode("utf-16"), {}),
        ("a.csv", CSV.encode("utf-8-sig"), {}),
        ("a.csv", CSV.encode("cp1252"), {"format": Csv(encoding="cp1252")}),
        ("a.csv", CSV.replace(",[]", ",[ ]").replace('"[1,2,3]"', "'[1,2,3]'").encode(),
         {"format": Csv(quote="'")}),
        ("a.csv", CSV.replace("a;b,,", "a;b,NA,").encode(), {"format": Csv(missing=("NA",))}),
        ("a.tsv", CSV.replace(",", "\t").replace('"[1\t2\t3]"', "[1,2,3]").encode(), {}),
        ("a.csv", SEMICOLONS.encode(), {"format": Csv(decimal=","), "rename": {"Ort": "town"}}),
        ("a.jsonl", JSON.encode(), {}),
        ("a.json.gz", gzip.compress(JSON.encode()), {"format": JsonLines()}),
        ("a.jsonl", JSON.replace("town", "Ort").encode(), {"rename": {"Ort": "town"}}),
        ("a.parquet", parquet(), {}),
        ("a.data", parquet(units=pa.decimal128(9, 3)), {"format": Parquet(), "pattern": "*.data"}),
    ],
    ids=named,
)  # fmt: skip
def test_the_same_rows_come_from_every_format(
    tmp_path: Path, name: str, body: bytes, options: dict[str, Any]
) -> None:
    (tmp_path / name).write_bytes(body)
    whole, streamed = source(tmp_path, **options), source(tmp_path, whole_bytes=0, **options)

    delivery, long_delivery = whole.deliver(()), streamed.deliver(())

    assert isinstance(delivery, Delivery)
    reading = whole.read(delivery.files)
    assert reading.rejected == ()
    assert plain(reading.rows) == ROWS
    assert isinstance(long_delivery, StreamedDelivery)
    assert long_delivery.name == delivery.name
    batches = list(long_delivery.batches(unexpected))
    assert pa.Table.from_batches(batches) == reading.rows
    assert reading.rows.schema.remove_metadata() == COLUMNS.append(pa.field("digest", pa.string()))


def unexpected(line: BadLine) -> None:
    raise AssertionError(str(line))


@pytest.mark.parametrize(
    ("name", "body", "options", "message"),
    [
        ("a.csv", CSV.encode("cp1252"), {}, "line 2: town: invalid UTF8 data"),
        ("a.csv", CSV.encode("utf-16")[:-1], {}, "text in the encoding of its byte-order mark"),
        ("a.csv", CSV.encode(), {"format": Csv(encoding="utf-16")}, "text in utf-16"),
        ("a.csv", SEMICOLONS.replace("Ort", "town").encode(), {}, "'1,5', expected a number"),
        ("a.csv", SEMICOLONS.encode(), {"format": Csv(separator="|")}, "columns separated by semi"),
        ("a.csv", CSV.replace('"[1,2,3]"', "1").encode(), {}, "last: '1', expected a list"),
        ("a.csv", CSV.replace("-22", "-32").encode(), {}, "expected a date such as 2026-11-22"),
        ("a.csv.zst", pa.compress(CSV.encode(), "zstd", asbytes=True)[:-3], {}, "a zstd file"),
        ("a.csv.bz2", bz2.compress(CSV.encode())[:-3], {}, "a bzip2 file"),
        ("a.csv", b"<!doctype html>\n<p>Log in\n", {}, "day is not there"),
        ("a.jsonl", CSV.encode(), {}, "line 1: Invalid value"),
        ("a.jsonl", JSON.replace("Ulm", "U\\ud800lm").encode(), {}, "line 3"),
        ("a.jsonl", JSON.replace('"Ulm"', "null").encode(), {}, "line 3: town: no value"),
        ("a.jsonl", JSON.replace("1.5", '"x"').encode(), {}, "line 1: Column(/units) changed"),
        ("a.jsonl", JSON.replace("\n", "", 1).encode(), {}, "line 1: 2 objects in 1 lines"),
        ("a.parquet", parquet()[:-9], {}, "a Parquet file"),
        ("a.parquet", parquet([{**row, "town": None} for row in ROWS]), {}, "town"),
        ("a.parquet", parquet([{**ROWS[0], "town": None}, ROWS[1]]), {}, "line 1: town: no value"),
        ("a.parquet", parquet([{**ROWS[0], "day": "22.11."}, ROWS[1]]), {}, "line 1: day:"),
        ("a.parquet", parquet([{"Town": 1}]), {}, "no day, town, units, last among Town, more"),
        ("a.parquet", parquet([{**ROWS[0], "units": [1.0]}]), {}, "units as float, found list"),
        ("a.parquet", parquet([{"day": "x", "twon": "y", "units": 1, "last": []}]), {}, "it twon?"),
    ],
    ids=named,
)  # fmt: skip
def test_what_is_wrong_is_named(
    tmp_path: Path, name: str, body: bytes, options: dict[str, Any], message: str
) -> None:
    reading = source(tmp_path, **options).read({name: body})

    assert message in "; ".join(map(str, reading.rejected))
    assert all(bad.file == name for bad in reading.rejected)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Csv(separator="::"), "one ASCII character as separator, found '::'"),
        (lambda: Csv(quote="”"), "one ASCII character as quote"),
        (lambda: Csv(separator=",", decimal=","), "to differ"),
        (lambda: Csv(encoding="latin-99"), "such as 'cp1252', found 'latin-99'"),
        (lambda: HoldoutShare(10), "a share between 0 and 1"),
        (lambda: source(None, same_by=("twon",)), "same_by names twon"),
        (lambda: source(None, rename={"a": "b"}), "rename names b"),
        (lambda: source(None, same_by=()), "same_by is empty"),
        (lambda: source(None, columns=pa.schema([("digest", pa.string())])), "digest"),
    ],
)
def test_a_wrong_declaration_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        declare()


def test_a_share_of_the_first_arrival_is_held_out_whatever_its_order(tmp_path: Path) -> None:
    columns = pa.schema([("n", pa.int64())])

    def held(numbers: range) -> set[int]:
        (tmp_path / "a.csv").write_text("n\n" + "".join(f"{n}\n" for n in numbers))
        (tmp_path / "b.csv").write_text("n\n-1\n")
        rows = source(
            tmp_path, columns=columns, same_by=("n",), holdout=HoldoutShare(0.2)
        ).holdout()
        return set(rows.column("n").to_pylist())

    chosen = held(range(1000))

    assert 150 < len(chosen) < 250
    assert held(range(999, -1, -1)) == chosen
    assert held(range(500)) == {n for n in chosen if n < 500}


def test_a_holdout_may_have_any_format_and_may_be_missing_where_it_moves(tmp_path: Path) -> None:
    (tmp_path / "held.parquet").write_bytes(parquet())
    (tmp_path / "a.parquet").write_bytes(parquet())

    declared = source(tmp_path, holdout="held.parquet")
    delivery = declared.deliver(())

    assert plain(declared.holdout()) == ROWS
    assert declared.holdout_file() == "held.parquet"
    assert delivery is not None
    assert delivery.name == "a.parquet"
    assert declared.deliver({"a.parquet"}) is None
    assert source(tmp_path, holdout=None).holdout().num_rows == 0
    with pytest.raises(SourceUnavailable, match=r"other\.csv: no such file"):
        source(tmp_path, holdout="other.csv").holdout()
    with pytest.raises(SourceUnavailable, match="has no arrival yet"):
        source(tmp_path, pattern="*.no", holdout=HoldoutShare(0.1)).holdout()


def test_a_long_file_that_changes_while_it_is_read_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    delivery = source(tmp_path, whole_bytes=0).deliver(())
    assert isinstance(delivery, StreamedDelivery)
    batches = delivery.batches(unexpected)
    next(batches)

    (tmp_path / "a.csv").write_text(CSV + "2026-11-25,Rom,1,\n")

    with pytest.raises(BadFile, match="being written"):
        list(batches)


def test_files_of_inner_folders_are_arrivals_when_declared(tmp_path: Path) -> None:
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026" / "a.csv").write_text(CSV)
    (tmp_path / "2026" / "notes.md").write_text("x")

    nested = source(tmp_path, nested=True)
    delivery = nested.deliver(())

    assert isinstance(delivery, Delivery)
    assert list(delivery.files) == ["2026/a.csv"]
    assert nested.deliver({delivery.name}) is None
    assert [str(each) for each in nested.left_alone()] == [
        (
            "2026/notes.md is left alone: it is no file whose name ends in "
            ".csv or .tsv or .txt or .jsonl or .ndjson or .json or .parquet or .pq, packed or not"
        )
    ]
    assert source(tmp_path).deliver(()) is None
