"""Files of sales are read whole or rejected whole, and each says what was wrong with it."""

import gzip
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
        ("a.csv", b"a,b\n1,2\n", "no basket_id"),
        ("a.csv", csv("1,367,GROCERY,two,2017-11-01T12:00:00"), "two"),
        ("a.csv", csv("1,367,GROCERY,,2017-11-01T12:00:00"), "1 missing"),
        ("a.csv", csv("1,367,GROCERY,nan,2017-11-01T12:00:00"), "one that is none"),
        ("a.csv", csv("1,-4,GROCERY,1,2017-11-01T12:00:00"), "numbers of stores"),
        ("a.csv", csv(LINES[0], "1,292,DELI,1,2017-11-01T12:00:00"), "basket 1 of two"),
        ("a.csv", csv(LINES[0], "1,367,DELI,1,2017-11-03T12:00:00"), "basket 1 of two"),
        ("a.csv.gz", b"no gzip", "gzip"),
        ("a.parquet", b"PAR1 and no more", "a.parquet"),
    ],
)
def test_a_file_that_will_not_do_says_why_and_costs_the_others_nothing(
    name: str, body: bytes, reported: str
) -> None:
    reading = read_files({name: body, "z.csv": csv(*LINES)})

    (rejected,) = reading.rejected
    assert reported in str(rejected)
    assert reading.rows.num_rows == 3


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
