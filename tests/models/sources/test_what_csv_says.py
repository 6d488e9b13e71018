"""Every kind of file that calls itself CSV gives the right values, or is refused in words."""

import gzip
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet
import pytest

from overnight.models.definition import Places, Reading
from overnight.models.sources.csv_folder import CsvFolder
from overnight.store.errors import BadFile, BadLines
from tests.support.small_models import sales, strokes

COLUMNS = pa.schema(
    [
        pa.field("day", pa.int32(), nullable=False),
        pa.field("store", pa.string(), nullable=False),
        pa.field("units", pa.float32(), nullable=False),
        pa.field("note", pa.string()),
        pa.field("price", pa.float32()),
    ]
)
TEXT = "day,store,units,note,price\n20000,north,31,a,1.5\n20001,south,72,b,2\n"
ROWS = [(20000, "north", 31.0, "a", 1.5), (20001, "south", 72.0, "b", 2.0)]

INDEXED = b""",day,store,units,note,price
0,20000,north,31,a,1.5
1,20001,south,72,b,2
"""
OTHERS = b"""x,x,day,store,units,note,price
1,2,20000,north,31,a,1.5
3,4,20001,south,72,b,2
"""
REORDERED = b"""units,price,note,store,day
31,1.5,a,north,20000
72,2,b,south,20001
"""


@pytest.fixture
def source(tmp_path: Path) -> CsvFolder:
    return CsvFolder(
        Places(folder=tmp_path, cache=tmp_path),
        model="shops",
        columns=COLUMNS,
        same_by=("day", "store"),
    )


def rows_of(reading: Reading) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in reading.rows.select(COLUMNS.names).to_pylist()]


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"day": [20000]}), sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("file", "body"),
    [
        ("rows.csv", TEXT.encode()),
        ("rows.csv.gz", gzip.compress(TEXT.encode())),
        ("rows.csv", gzip.compress(TEXT.encode())),
        ("rows.csv", TEXT.encode("utf-8-sig")),
        ("rows.csv", TEXT.replace("\n", "\r\n").encode()),
        ("rows.csv", TEXT.rstrip("\n").encode()),
        ("rows.csv", TEXT.replace("day,store", " day , store").encode()),
        ("rows.csv", TEXT.replace(",", ", ").encode()),
        ("rows.csv", TEXT.replace("store", '"store"').replace("north", '"north"').encode()),
        ("rows.csv", TEXT.replace("\n", ",\n").encode()),
        ("rows.csv", INDEXED),
        ("rows.csv", OTHERS),
        ("rows.csv", REORDERED),
    ],
    ids=["plain", "gz", "gz by content", "mark", "crlf", "no last line end", "padded names",
         "padded cells", "quoted", "trailing comma", "index column", "others twice", "order"],
)  # fmt: skip
def test_the_same_rows_come_from_every_dialect_that_is_read(
    source: CsvFolder, file: str, body: bytes
) -> None:
    reading = source.read({file: body})

    assert reading.rejected == ()
    assert rows_of(reading) == ROWS


@pytest.mark.parametrize("name", ["NA", "null", "NULL", "nan", "N/A", "#N/A", '"NA"', "None"])
def test_a_name_is_a_name_whatever_it_is_like(source: CsvFolder, name: str) -> None:
    reading = source.read(
        {"a.csv": TEXT.replace("north", name).replace(",a,", f",{name},").encode()}
    )

    assert reading.rejected == ()
    (first, _) = rows_of(reading)
    assert (first[1], first[3]) == (name.strip('"'), name.strip('"'))


@pytest.mark.parametrize("empty", ["", '""'])
def test_only_an_empty_cell_is_missing_quoted_or_not(source: CsvFolder, empty: str) -> None:
    body = TEXT.replace("a,1.5", f"{empty},{empty}").encode()

    reading = source.read({"a.csv": body})

    assert reading.rejected == ()
    assert rows_of(reading)[0] == (20000, "north", 31.0, None, None)


def test_a_line_end_within_quotes_belongs_to_the_value(source: CsvFolder) -> None:
    reading = source.read({"a.csv": TEXT.replace(",a,", ',"a\nb",').encode()})

    assert reading.rejected == ()
    assert rows_of(reading)[0][3] == "a\nb"


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("31", "1 pc", "line 2: units: invalid value '1 pc', expected a number"),
        ("31", "", "line 2: units: no value"),
        ("31", "nan", "line 2: units: not a number"),
        ("31", "NA", "line 2: units: invalid value 'NA'"),
        ("31", '"1,5"', "line 2: units: invalid value '1,5'"),
        ("31", "1,5", "line 2: Expected 5 columns, got 6"),
        ("31", '"1,234.5"', "line 2: units: invalid value '1,234.5'"),
        ("20000", "20000.5", "line 2: day: invalid value '20000.5', expected a whole number"),
        ("north", "", "line 2: store: no value"),
        ("north", '""', "line 2: store: no value"),
        ("north", "no\0rth", "line 2: a NUL byte"),
        ("north", "n\udcfcrd", "line 2: store: invalid UTF8 data, expected text in UTF-8"),
        ("1.5\n", "\n", "line 2: Expected 5 columns, got 4"),
    ],
)
def test_a_line_that_will_not_do_is_named_and_kept_apart(
    source: CsvFolder, old: str, new: str, reported: str
) -> None:
    text = TEXT.replace(",1.5" if new == "\n" else old, "" if new == "\n" else new, 1)
    body = text.encode(errors="surrogateescape")

    reading = source.read({"a.csv": body})

    (bad,) = reading.rejected
    assert isinstance(bad, BadLines)
    assert reported in str(bad)
    assert bad.text == body.splitlines(keepends=True)[1]
    assert rows_of(reading) == ROWS[1:]


def test_no_part_of_an_invalid_row_passes_for_a_row(source: CsvFolder) -> None:
    body = TEXT.replace("31,a,1.5", '1 pc,"a\n20002,east,5,c,1",1.5').encode()

    reading = source.read({"a.csv": body})

    (bad,) = reading.rejected
    assert "1 that will not do: line 2: units" in str(bad)
    assert rows_of(reading) == ROWS[1:]


@pytest.mark.parametrize("note", ['3" nail', '"a"b', 'a"'])
def test_a_stray_quote_costs_no_other_line(source: CsvFolder, note: str) -> None:
    lines = [f"{day},north,1,{note if day % 3 == 1 else 'a'},1\n" for day in range(9)]
    lines[7] = f"7,north,1 pc,{note},1\n"

    reading = source.read({"a.csv": ("day,store,units,note,price\n" + "".join(lines)).encode()})

    days = set(reading.rows.column("day").to_pylist())
    assert "line 9: " in str(reading.rejected[0])
    assert days >= {0, 2, 3, 5, 6, 8}
    assert 7 not in days


def test_a_value_under_a_comma_at_the_end_of_the_header_is_not_dropped(source: CsvFolder) -> None:
    body = TEXT.replace("\n", ",\n").replace("31,a,1.5,", "1,5,a,1.5").encode()

    reading = source.read({"a.csv": body})

    assert "line 2: " in str(reading.rejected[0])
    assert rows_of(reading) == ROWS[1:]


def test_one_bad_line_of_many_is_found(source: CsvFolder) -> None:
    lines = [f"{day},north,1,a,1\n" for day in range(50_000)]
    lines[31_000] = "31000,north,1 pc,a,1\n"

    reading = source.read({"a.csv": ("day,store,units,note,price\n" + "".join(lines)).encode()})

    assert "line 31,002: units" in str(reading.rejected[0])
    assert reading.rows.num_rows == 49_999


@pytest.mark.parametrize(
    ("make", "reported"),
    [
        (lambda: TEXT.replace("note", "units").encode(), "units is there twice"),
        (lambda: TEXT.replace("note", " units").encode(), "units is there twice"),
        (lambda: TEXT.replace("note", "remark").encode(), "note is not there"),
        (lambda: TEXT.replace(",", ";").encode(), "columns separated by semicolons"),
        (lambda: TEXT.replace(",", "\t").encode(), "columns separated by tabs"),
        (lambda: TEXT.encode("utf-16"), "text in UTF-16"),
        (lambda: TEXT.encode("utf-16-le"), "text in UTF-16"),
        (lambda: TEXT.encode("utf-16-be"), "text in UTF-16"),
        (lambda: TEXT.replace("\n", "\r").encode(), "lines that end in CR alone"),
        (lambda: TEXT.replace("note", "n\0te").encode(), "NUL bytes"),
        (lambda: TEXT.replace("note", "nöte").encode("latin-1"), "'utf-8' codec"),
        (parquet, "a Parquet file"),
        (lambda: b"PK\x03\x04" + bytes(30), "a zip archive"),
        (lambda: gzip.compress(gzip.compress(TEXT.encode())), "gzip within gzip"),
        (lambda: gzip.compress(TEXT.encode())[:-12], "a gzip file"),
        (lambda: b"", "no line"),
        (lambda: b"\n" + TEXT.encode(), "an empty line"),
        (lambda: TEXT.replace("31", "x").replace("72", "y").encode(), "line 2: units"),
    ],
)
def test_another_kind_of_file_is_refused_as_what_it_is(
    source: CsvFolder, make: Callable[[], bytes], reported: str
) -> None:
    reading = source.read({"a.csv": make(), "b.csv": TEXT.encode()})

    (bad,) = reading.rejected
    assert not isinstance(bad, BadLines)
    assert (bad.file, reported in str(bad)) == ("a.csv", True), str(bad)
    assert rows_of(reading) == ROWS


def test_a_holdout_with_a_line_that_will_not_do_is_refused(
    source: CsvFolder, tmp_path: Path
) -> None:
    (tmp_path / "holdout.csv").write_text(TEXT.replace("72", ""))

    with pytest.raises(BadFile, match=r"holdout\.csv: .* line 3: units: no value"):
        source.holdout()


def test_a_name_like_a_missing_value_is_a_name_in_the_holdout(
    source: CsvFolder, tmp_path: Path
) -> None:
    (tmp_path / "holdout.csv").write_text(TEXT.replace("north", "NA"))

    assert source.holdout().column("store").to_pylist() == ["NA", "south"]


@pytest.mark.parametrize("starter", [strokes, sales])
def test_a_starter_keeps_a_line_with_a_gap_apart(starter: ModuleType, tmp_path: Path) -> None:
    source = starter.DEFINITION.open_source(Places(folder=tmp_path, cache=tmp_path))
    names = importlib.import_module(f"{starter.__name__}.source").COLUMNS.names
    whole = ",".join(["1"] * len(names))
    gaps = [",".join(["1"] * n + [""] + ["1"] * (len(names) - n - 1)) for n in range(len(names))]

    reading = source.read({"a.csv": "\n".join([",".join(names), whole, *gaps]).encode()})

    (bad,) = reading.rejected
    assert f"{len(gaps)} that will not do: line 3: {names[0]}: no value" in str(bad)
    assert reading.rows.num_rows == 1
