"""A model package for somebody's own CSV: what its columns are taken for, and what is refused."""

import ast
from pathlib import Path

import pytest
from sklearn.datasets import load_wine

from overnight.cli.actions.project.from_rows import from_rows
from overnight.cli.actions.project.inspect_rows import inspect, is_classes
from overnight.store.errors import ConfigurationError

N = 120


def write(path: Path, header: str, *columns: list[str], separator: str = ",") -> Path:
    lines = [separator.join(cells) for cells in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Keys, dates, gaps by a mark and empty, texts, categories, and a decimal comma."""
    return write(
        tmp_path / "shop.csv",
        "No;Order code;Day;weight (kg);class;city;comment;left?",
        [str(n + 7) for n in range(N)],
        [f"A-{n:03d}" for n in range(N)],
        [f"2026-01-{1 + n % 28:02d}" for n in range(N)],
        ["?" if n % 10 == 0 else f"{n % 13},5" for n in range(N)],
        [str(n % 3) for n in range(N)],
        ["" if n % 9 == 0 else ("Köln", "Bonn")[n % 2] for n in range(N)],
        [f"the parcel came late on day {n % 40}" for n in range(N)],
        [("no", "yes")[n % 2] for n in range(N)],
        separator=";",
    )


def test_columns_are_recognised_by_what_is_in_them(shop: Path) -> None:
    inspected = inspect(shop)

    assert {c.header: (c.name, c.kind, c.gaps) for c in inspected.columns} == {
        "No": ("No", "key", False),
        "Order code": ("Order_code", "key", False),
        "Day": ("Day", "date", False),
        "weight (kg)": ("weight_kg", "number", True),
        "class": ("class_", "number", False),
        "city": ("city", "category", True),
        "comment": ("comment", "text", False),
        "left?": ("left", "category", False),
    }
    assert (inspected.rows, inspected.missing, inspected.decimal) == (N, ("?",), ",")


def test_the_package_says_so_and_is_python(shop: Path) -> None:
    made = from_rows("parcels", shop, "left?", network="shop.parcels.network")

    text = made.modules["__init__.py"]
    ast.parse(text)
    for expected in (
        'KIND = Classification(("no", "yes"))',
        '        number("weight_kg", gaps=True),\n        number("class_"),\n',
        '        category("city", gaps=True),\n        text("comment"),\n',
        '        "Order_code": pa.string(),',
        'same_by=("No",),',
        '"left?": "left"',
        'format=Csv(missing=("?",), decimal=","),',
        'network="shop.parcels.network",',
    ):
        assert expected in text
    assert all(len(line) <= 100 for line in text.splitlines() if "rename" not in line)
    network = made.modules["network.py"]
    ast.parse(network)
    assert 'mean_of_words(tensors, inputs, "comment")' in network
    assert made.rows == {"night-0001.csv": shop.read_bytes()}


@pytest.mark.parametrize(
    ("target", "kind"),
    [("target", "classification"), ("alcohol", "regression")],
)
def test_the_target_decides_on_the_kind(tmp_path: Path, target: str, kind: str) -> None:
    path = tmp_path / "wine.csv"
    load_wine(as_frame=True).frame.to_csv(path, index=False)

    made = from_rows("wine", path, target, network="shop.wine.network")

    assert made.kind == kind
    assert ("tolerance=KIND.tolerance" in made.modules["__init__.py"]) is (kind == "regression")
    assert (f'losses={{"{target}"' in made.modules["network.py"]) is (kind == "regression")


def test_windows_files_are_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    text = "\n".join(["city,left", *(f"{('Köln', 'Bonn')[n % 2]},{n % 2}" for n in range(N))])
    path.write_bytes(text.encode("cp1252"))

    assert 'encoding="cp1252"' in from_rows("x", path, "left", network="n").modules["__init__.py"]


@pytest.mark.parametrize(
    ("header", "columns", "why"),
    [
        ("only", (["1"] * N,), "a header of two columns or more"),
        ("a,a", (["1"] * N, ["1"] * N), "two columns called 'a'"),
        ("a,b", (["1"] * 40, ["1"] * 40), "has 40 rows; at least 100 are needed"),
        ("a,b,c", (["1"] * N, ["1"] * N), "row 2 has 2 cells, expected 3"),
    ],
)
def test_a_file_that_will_not_do_is_refused(
    tmp_path: Path, header: str, columns: tuple[list[str], ...], why: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        inspect(write(tmp_path / "rows.csv", header, *columns))

    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["yes", ""] * (N // 2), "has rows without a value"),
        (["yes"] * N, "has one value in all rows"),
        ([f"c{n % 60}" for n in range(N)], "at most 50 classes"),
        ([f"2026-01-{1 + n % 28:02d}" for n in range(N)], "at most 50 classes"),
    ],
)
def test_a_target_that_will_not_do_is_refused(tmp_path: Path, values: list[str], why: str) -> None:
    path = write(tmp_path / "rows.csv", "a,b", [str(n % 7) for n in range(N)], values)

    with pytest.raises(ConfigurationError) as raised:
        from_rows("x", path, "b", network="n")

    assert why in str(raised.value)


def test_a_missing_file_or_column_is_named(tmp_path: Path, shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        inspect(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigurationError, match="no column is called 'gone' among No, Order code"):
        from_rows("x", shop, "gone", network="n")


def test_a_few_whole_numbers_are_classes_and_many_are_numbers(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.csv",
        "few,many",
        [str(n % 3) for n in range(N)],
        [str(n * n % 97) for n in range(N)],
    )
    few, many = inspect(path).columns

    assert (is_classes(few), is_classes(many)) == (True, False)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"a,b\n" + b"1,2\n" * N + b"1," + b"z" * 200_000, "line 122 cannot be read: field larger"),
        (("a,b\n" + "1,2\n" * N).encode("utf-16"), "no text in UTF-8 or Windows-1252"),
    ],
)
def test_files_that_are_no_such_csv_are_refused_and_not_guessed(
    tmp_path: Path, body: bytes, problem: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(body)

    with pytest.raises(ConfigurationError, match=problem):
        inspect(path)


@pytest.mark.parametrize("header", ["x,x_missing", "x_missing,x"])
def test_a_column_is_not_named_as_what_says_where_another_has_gaps(
    tmp_path: Path, header: str
) -> None:
    gaps = ["" if n % 3 == 0 else str(n % 7) for n in range(N)]
    whole = [str(n % 5) for n in range(N)]
    by_name = {"x": gaps, "x_missing": whole}
    path = write(tmp_path / "rows.csv", header, *(by_name[name] for name in header.split(",")))

    names = {column.header: column.name for column in inspect(path).columns}

    assert f"{names['x']}_missing" != names["x_missing"]


def test_digits_that_no_reader_of_csv_knows_are_no_number(tmp_path: Path) -> None:
    digits = ["\u0663" if n == 5 else str(n % 7) for n in range(N)]
    path = write(tmp_path / "rows.csv", "x,y", digits, [str(n % 3) for n in range(N)])

    assert inspect(path).columns[0].kind == "category"
