"""Of a file of sales what is invalid is kept apart, and each says what was wrong with it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models.definition import Places
from overnight.models.errors import SourceUnavailable
from overnight.models.sales import store47
from overnight.models.sales.files import read_files
from overnight.models.sales.source import SalesSource
from overnight.store.errors import BadLines
from tests.support.genuine_sales import day, parquet, rows, sold

HEADER = "basket_id,store_id,department,quantity,transaction_timestamp"
LINES = (
    "1,367,GROCERY,2,2017-11-01T12:00:00",
    "1,367,GROCERY,3,2017-11-01T12:00:00",
    "1,367,FUEL,9000,2017-11-01T12:00:00",
    "2,367,,1,2017-11-02T03:00:00",
)
STORE47 = "\n".join(
    (
        ",".join(store47.COLUMNS),
        "1,2016-01-02,5,3.5,DAIRY,1,1,700,2016,1,2,5,363,True",
        "2,2016-01-02,6,-2,GROCERY I,1,0,700,2016,1,2,5,363,True",
        "3,2016-01-03,6,4,GROCERY I,1,0,650,2016,1,3,6,362,False",
    )
)


def csv(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines)).encode()


def table(*, twice: bool = False, day: object = "2017-11-01T12:00:00", **columns) -> pa.Table:
    """Two lines of two baskets, with some columns replaced."""
    whole = {
        "basket_id": [1, 2],
        "store_id": [367, 367],
        "department": ["GROCERY", "DELI"],
        "quantity": [2.0, 1.0],
        "transaction_timestamp": pa.array([np.datetime64(day)] * 2),
    }
    lines = pa.table(whole | columns)
    return lines.append_column("quantity", lines["quantity"]) if twice else lines


def test_lines_become_a_row_for_each_basket_and_department() -> None:
    reading = read_files({"a.csv": csv(*LINES)})

    reported = reading.rows.select(["basket", "department", "day", "units", "apart"]).to_pylist()
    first = day("2017-11-01")
    assert reading.rejected == ()
    assert [tuple(row.values()) for row in reported] == [
        (1, "FUEL", first, 0.0, 9000.0),
        (1, "GROCERY", first, 5.0, 0.0),
        (2, "NONE", first, 1.0, 0.0),
    ]


def test_the_same_lines_are_the_same_rows_in_any_form_and_order() -> None:
    forms = {
        "a.csv": csv(*LINES),
        "b.csv": csv(*reversed(LINES)),
        "c.csv.gz": gzip.compress(csv(*LINES)),
    }

    read = [read_files({name: body}).rows for name, body in forms.items()]

    assert all(one.equals(read[0]) for one in read)


def test_rows_hold_exactly_what_the_lines_sold() -> None:
    reported = sold("2017-11-01", "2017-11-03")

    found = rows(reported)

    apart = pc.is_in(reported["department"], pa.array(["FUEL", "MISCELLANEOUS"]))
    assert pc.sum(found["apart"]).as_py() == pc.sum(reported.filter(apart)["quantity"]).as_py()
    pieces = reported.filter(pc.invert(pc.fill_null(apart, False)))
    assert pc.sum(found["units"]).as_py() == pc.sum(pieces["quantity"]).as_py()
    assert len(set(found["digest"].to_pylist())) == found.num_rows


@pytest.mark.parametrize(
    ("name", "body", "reported"),
    [
        ("a.txt", b"", "another kind of file"),
        ("a.csv", b"a,b\n1,2\n", "basket_id is not there"),
        ("a.csv", csv("1,367,GROCERY,two,2017-11-01T12:00:00"), "two"),
        ("a.csv", csv("1,367,GROCERY,,2017-11-01T12:00:00"), "line 2: quantity: no value"),
        ("a.csv", csv("1,367,GROCERY,nan,2017-11-01T12:00:00"), "line 2: quantity: not a number"),
        ("a.csv", csv("1,367,GROCERY,inf,2017-11-01T12:00:00"), "line 2: quantity: not a number"),
        ("a.csv", csv("1,-4,GROCERY,1,2017-11-01T12:00:00"), "store_id: expected the number"),
        ("a.csv", csv("1,367,GROCERY,1,yesterday"), "transaction_timestamp: Failed to parse"),
        ("a.csv", csv(LINES[0], "1,292,DELI,1,2017-11-01T12:00:00"), "basket 1 is of two stores"),
        ("a.csv", csv(LINES[0], "1,367,DELI,1,2017-11-03T12:00:00"), "basket 1 is of two days"),
        ("a.csv", csv(*LINES, "?,367,DELI,1,2017-11-03T12:00:00"), "a basket_id in every line"),
        ("a.csv", csv(*(line[:-8] + "00:00:00" for line in LINES)), "midnight in every line"),
        (
            "a.csv",
            b",quantity\n".join((HEADER.encode(), b"1,367,DELI,1,2017-11-05,9")),
            "quantity is there twice",
        ),
        ("a.csv", csv(*LINES).replace(b",", b";"), "columns separated by semicolons"),
        ("a.csv.gz", b"no gzip", "gzip"),
        ("a.parquet", b"PAR1 and no more", "a.parquet"),
        ("a.parquet", parquet(table(twice=True)), "quantity is there twice"),
        ("a.parquet", parquet(table(quantity=[1.0, None])), "row 1: quantity: no value"),
        ("a.parquet", parquet(table(quantity=["1", "1 pc"])), "row 1: quantity: Failed to parse"),
        ("a.parquet", parquet(table(day="2017-11-05T00:00:00")), "midnight in every line"),
        ("a.parquet", parquet(table(department=["x" * 1_001] * 2)), "at most 1,000 bytes"),
        ("a.parquet", parquet(pa.table({"a": pa.nulls(5_000_001)})), "at most 5,000,000 rows"),
    ],
)
def test_a_file_that_will_not_do_says_why_and_costs_the_others_nothing(
    name: str, body: bytes, reported: str
) -> None:
    reading = read_files({name: body, "z.csv": csv(*LINES)})

    (rejected,) = reading.rejected
    assert reported in str(rejected)
    assert reading.rows.num_rows == 3


def test_a_bad_line_is_kept_apart_with_all_lines_of_its_basket() -> None:
    body = csv(LINES[3], LINES[0], "1,367,DELI,1 pc,2017-11-01T12:00:00", LINES[1])

    reading = read_files({"a.csv": body})

    (bad,) = reading.rejected
    assert isinstance(bad, BadLines)
    assert "3 that will not do: line 3: basket 1 has an invalid line, 4; line 4: quantity: " in str(
        bad
    )
    assert bad.text.decode().splitlines() == body.decode().splitlines()[2:]
    assert reading.rows["basket"].to_pylist() == [2]


def test_a_comma_too_many_keeps_every_basket_apart_that_it_may_belong_to() -> None:
    header = "store_id,department,basket_id,quantity,transaction_timestamp"
    lines = [f"367,DELI,{basket},1,2017-11-01T12:00:00" for basket in (1, 2, 3)]
    body = "\n".join((header, *lines, "367,BREAD, 2,3,1,2017-11-01T12:00:00")).encode()

    reading = read_files({"a.csv": body})

    assert reading.rows["basket"].to_pylist() == [1]
    assert "line 5: Expected 5 columns, got 6" in str(reading.rejected[0])


@pytest.mark.parametrize(
    "moment",
    [
        "2017-11-05",
        " 2017-11-05 ",
        "2017-11-05T10:00:00+01:00",
        "2017-11-05 09:00:00",
        "2017-11-06T08:59:59.123456Z",
    ],
)
def test_a_date_is_a_trading_day_and_a_moment_is_in_the_zone_that_it_names(moment: str) -> None:
    reading = read_files({"a.csv": csv(f"1,367,DELI,1,{moment}")})

    assert reading.rejected == ()
    assert reading.rows["day"].to_pylist() == [day("2017-11-05")]


@pytest.mark.parametrize(
    "moments",
    [
        pa.array(["2017-11-05"] * 2).cast(pa.date32()),
        pa.array(["2017-11-05"] * 2).cast(pa.date32()).cast(pa.date64()),
        pa.array(["2017-11-05"] * 2),
        pa.array(["2017-11-05T09:00:00Z"] * 2).cast(pa.timestamp("ns", "America/New_York")),
        pa.array(["2017-11-06T08:00:00"] * 2).cast(pa.timestamp("s")),
    ],
)
def test_dates_and_moments_of_parquet_are_the_same_days(moments: pa.Array) -> None:
    reading = read_files({"a.parquet": parquet(table(transaction_timestamp=moments))})

    assert reading.rejected == ()
    assert reading.rows["day"].to_pylist() == [day("2017-11-05")] * 2


def test_a_department_is_called_what_its_cell_says() -> None:
    lines = [f"{basket},367,{name},1,2017-11-05" for basket, name in
             enumerate(("NA", "null", "nan", "", '""'))]  # fmt: skip

    reading = read_files({"a.csv": csv(*lines)})

    assert reading.rows["department"].to_pylist() == ["NA", "null", "nan", "NONE", "NONE"]


def test_a_column_too_many_changes_nothing() -> None:
    indexed = "\n".join(f"{row},{line}" for row, line in enumerate((HEADER, *LINES)))
    files = {
        "index.csv": indexed.replace("0", "", 1).encode(),
        "comma.csv": csv(*LINES).replace(b"\n", b",\n") + b",",
        "store47.csv": "\n".join(f"{row},{line}" for row, line in
                                 enumerate(STORE47.splitlines())).encode(),
    }  # fmt: skip

    index, comma, store = (read_files({file: body}) for file, body in files.items())

    assert index.rows.equals(read_files({"a.csv": csv(*LINES)}).rows)
    assert comma.rows.equals(index.rows)
    assert store.rows.equals(read_files({"a.csv": STORE47.encode()}).rows)
    assert (index.rejected, comma.rejected, store.rejected) == ((), (), ())


def test_bad_lines_of_store_47_are_kept_apart() -> None:
    body = STORE47.replace("3.5", "1 pc").replace(",4,", ",nan,")

    reading = read_files({"a.csv": body.encode()})

    assert "line 2: unit_sales: invalid value '1 pc'" in str(reading.rejected[0])
    assert "line 4: unit_sales: not a number" in str(reading.rejected[0])
    assert reading.rows["basket"].to_pylist() == [2]


@pytest.mark.parametrize(
    "dialect",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ", ").encode(),
        lambda text: text.replace(HEADER, HEADER.replace(",", " , ")).encode(),
        lambda text: text.replace("GROCERY", '"GROCERY"').encode(),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_the_same_lines_are_the_same_rows_in_every_dialect(
    dialect: Callable[[str], bytes],
) -> None:
    reading = read_files({"a.csv": dialect(csv(*LINES).decode())})

    assert reading.rejected == ()
    assert reading.rows.equals(read_files({"a.csv": csv(*LINES)}).rows)


@pytest.mark.parametrize(
    ("quantity", "reported"),
    [
        ("1,5", "line 2: Expected 5 columns, got 6"),
        ('"1,5"', "line 2: quantity: invalid value '1,5'"),
        ('"1,234"', "line 2: quantity: invalid value '1,234'"),
        ("1\0", "line 2: a NUL byte"),
        ("NA", "line 2: quantity: invalid value 'NA'"),
        ('"1\n2"', "line 2: quantity: invalid value '1 2'"),
    ],
)
def test_a_number_that_may_mean_another_is_refused(quantity: str, reported: str) -> None:
    body = csv(f"1,367,DELI,{quantity},2017-11-05", "2,367,DELI,1,2017-11-05")

    reading = read_files({"a.csv": body})

    assert reported in str(reading.rejected[0])
    assert reading.rows["basket"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        (csv(*LINES).replace(b"\n", b"\r"), "lines that end in CR alone"),
        (csv(*LINES).decode().encode("utf-16"), "text in UTF-16"),
        (csv(*LINES).replace(b",", b"\t"), "columns separated by tabs"),
        (csv(*LINES).replace(b"store", b"st\0re", 1), "NUL bytes"),
        (parquet(table()), "a Parquet file"),
    ],
)
def test_another_kind_of_file_is_named_as_what_it_is(body: bytes, reported: str) -> None:
    (bad,) = read_files({"a.csv": body}).rejected

    assert reported in str(bad)


def test_an_arrival_without_files_is_rejected() -> None:
    assert "at least one file" in str(read_files({}).rejected[0])


def test_the_file_of_store_47_is_read_and_returns_count_against_their_day() -> None:
    reading = read_files({"store47-2016.csv": STORE47.encode()})

    reported = reading.rows.select(["store", "department", "day", "units"]).to_pylist()
    assert reading.rejected == ()
    assert [tuple(row.values()) for row in reported] == [
        (47, "DAIRY", day("2016-01-02"), 3.5),
        (47, "GROCERY I", day("2016-01-02"), -2.0),
        (47, "GROCERY I", day("2016-01-03"), 4.0),
    ]


def test_another_file_under_the_name_of_store_47_is_refused(tmp_path: Path) -> None:
    (tmp_path / store47.FILE).write_text(STORE47)

    with pytest.raises(SourceUnavailable, match=store47.OFFICIAL_MD5):
        SalesSource(Places(folder=tmp_path, cache=tmp_path)).deliver(())


def test_a_folder_without_that_file_replays_the_package(tmp_path: Path) -> None:
    source = SalesSource(Places(folder=tmp_path, cache=tmp_path))

    assert source.deliver({"until-2017-10-31"}).name == "day-2017-11-01"


def test_days_of_store_47_are_cut_out_of_its_file() -> None:
    body = store47.of_days(STORE47.encode(), day("2016-01-03"), day("2016-01-03"))

    found = read_files({"night.csv": body}).rows

    assert np.unique(found["day"]).tolist() == [day("2016-01-03")]
    assert parquet(found)
