"""`Sql` against a real PostgreSQL server: watermarks, late rows, and everything that goes wrong."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from overnight.api import HoldoutShare, Places, Sql, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess
from overnight.models.sources.streaming import BadLine
from overnight.models.sources.watermark import Watermark
from overnight.store.errors import ConfigurationError
from overnight.store.objects import keys
from tests.support.letters_source import LettersDataset
from tests.support.postgres_server import PASSWORD, USER, Postgres, postgres

COLUMNS = pa.schema(
    [
        pa.field("letter", pa.string(), nullable=False),
        pa.field("units", pa.float32()),
        pa.field("last", pa.list_(pa.float32())),
    ]
)
TABLE = """CREATE TABLE letters (
    letter text, units float8, last float4[], price numeric(9, 2), id bigserial,
    changed_at timestamptz DEFAULT '2026-11-22 03:00:00.000001+00'
)"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def table(server: Postgres) -> Postgres:
    server.execute("DROP TABLE IF EXISTS letters CASCADE", TABLE)
    return server


def source(server: Postgres, **options: Any) -> Sql:
    access = options.pop("access", SourceAccess(url=server.url, user=USER, password=PASSWORD))
    declared: dict[str, Any] = {
        "query": "SELECT * FROM letters -- all of them;",
        "watermark": "changed_at",
        "columns": COLUMNS,
        "same_by": ("letter",),
        "holdout": None,
    }
    places = Places(folder=None, cache=Path("nowhere"), access=access)
    return Sql(places, model="letters", **(declared | options))


def rows(delivery: object) -> list[dict[str, Any]]:
    assert isinstance(delivery, StreamedDelivery)
    batches = list(delivery.batches(unexpected))
    return pa.Table.from_batches(batches).drop_columns(["digest"]).to_pylist()


def letters(delivery: object) -> str:
    return "".join(row["letter"] for row in rows(delivery))


def unexpected(line: BadLine) -> None:
    raise AssertionError(str(line))


def test_rows_come_typed_with_lists_and_gaps(table: Postgres) -> None:
    table.execute("INSERT INTO letters VALUES ('a', 1.5, '{1,2}'), ('é', NULL, NULL)")

    delivery = source(table).deliver(())

    assert delivery is not None
    assert delivery.name == "until-2026-11-22T03.00.00.000001Z"
    assert keys.check(delivery.name)
    assert rows(delivery) == [
        {"letter": "a", "units": 1.5, "last": [1, 2]},
        {"letter": "é", "units": None, "last": None},
    ]


@pytest.mark.parametrize(
    ("column", "first", "second", "overlap", "name"),
    [
        ("timestamptz", "'2026-11-22 03:00+02'", "'2026-11-22 03:10+02'", timedelta(minutes=5),
         "until-2026-11-22T01.10.00.000000Z"),
        ("timestamp", "'2026-11-22 03:00:00.5'", "'2026-11-22 03:10'", timedelta(minutes=5),
         "until-2026-11-22T03.10.00.000000"),
        ("date", "'2026-11-22'", "'2026-11-23'", timedelta(days=1), "until-2026-11-23"),
        ("bigint", "-5", "100", 50, "until-100"),
        ("int", "9", "10", 1, "until-10"),
    ],
)  # fmt: skip
def test_the_next_arrival_begins_at_the_last_watermark_less_the_overlap(
    table: Postgres, column: str, first: str, second: str, overlap: timedelta | int, name: str
) -> None:
    table.execute(
        f"ALTER TABLE letters ADD w {column}",
        f"INSERT INTO letters (letter, w) VALUES ('a', {first})",
    )
    exact = source(table, watermark="w")
    late = source(table, watermark="w", overlap=overlap)
    one = exact.deliver(())
    assert one is not None
    assert letters(one) == "a"
    assert exact.deliver({one.name, "by-hand-0123"}) is None
    assert late.deliver({one.name}) is None

    table.execute(f"INSERT INTO letters (letter, w) VALUES ('b', {second})")
    two = exact.deliver({one.name})
    assert two is not None
    assert two.name == name
    assert letters(two) == "b"
    later = "1" if isinstance(overlap, int) or column == "date" else "interval '1 s'"
    # Committed late: its watermark is that of the last arrival.
    table.execute(
        f"INSERT INTO letters (letter, w) VALUES ('late', {second})",
        f"INSERT INTO letters (letter, w) SELECT 'c', max(w) + {later} FROM letters",
    )

    assert letters(exact.deliver({one.name, two.name})) == "c"
    assert sorted(letters(late.deliver({one.name, two.name}))) == sorted("blatec")


def test_arrivals_are_ingested_once_and_what_comes_again_is_dropped(
    table: Postgres, tmp_path: Path
) -> None:
    table.execute(
        "INSERT INTO letters VALUES ('a', 1, '{1,2}'), ('b', 2, '{}'), ('z', 3, '{4}')",
        "CREATE TABLE held AS SELECT * FROM letters WHERE letter = 'z'",
    )
    try:
        declared = source(table, holdout="SELECT * FROM held;", overlap=timedelta(hours=1))
        dataset = LettersDataset(tmp_path, source=declared)
        first, nothing = dataset.ingest(), dataset.ingest()
        table.execute("INSERT INTO letters VALUES ('c', 1, '{3}', 1, 9, '2026-11-22 03:30+00')")
        second = dataset.ingest()
    finally:
        table.execute("DROP TABLE held")

    assert (first.rows_added, first.kept_out) == (2, 1)
    assert nothing.arrivals == ()
    assert (second.rows_added, second.duplicates, second.kept_out) == (1, 2, 1)
    assert dataset.letters() == "abc"


def test_rows_with_gaps_where_none_may_be_are_kept_apart(table: Postgres, tmp_path: Path) -> None:
    table.execute("INSERT INTO letters VALUES ('a', 1, '{}'), (NULL, 2, '{}'), ('b', 3, '{}')")

    ingested = LettersDataset(tmp_path, source=source(table)).ingest()

    assert ingested.rows_added == 2
    (bad,) = ingested.quarantined
    assert "1 of its lines are invalid: line 2: letter: no value" in bad.reason


def test_a_share_of_the_first_arrival_is_held_out(table: Postgres) -> None:
    declared = source(table, holdout=HoldoutShare(0.3))
    with pytest.raises(SourceUnavailable, match="no row yet"):
        declared.holdout()

    table.execute("INSERT INTO letters (letter) SELECT 'n' || i FROM generate_series(1, 100) i")

    assert 15 <= declared.holdout().num_rows <= 45
    assert declared.holdout() == declared.holdout()


def test_names_may_be_mapped_and_come_in_another_case(table: Postgres) -> None:
    table.execute("INSERT INTO letters VALUES ('a', 1)")

    declared = source(
        table,
        query='SELECT letter AS "LETTER", units AS stück, last, changed_at FROM letters',
        rename={"stück": "units"},
    )

    assert rows(declared.deliver(())) == [{"letter": "a", "units": 1.0, "last": None}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": "SELECT * FROM lettres"}, 'relation "lettres" does not exist'),
        ({"query": "SELECT letter FROM letters"}, 'column "changed_at" does not exist'),
        ({"query": "SELECT letter, changed_at FROM letters"}, "no units, last among letter"),
        ({"query": "DELETE FROM letters RETURNING *"}, "syntax error"),
        ({"watermark": "price"}, "found numeric; cast it in the query"),
        ({"watermark": "letter"}, "a whole number, a date or a timestamp, found string"),
        ({"columns": pa.schema([("letter", pa.string()), ("price", pa.float32())])},
         r"price as float, found numeric, .*CAST\(price AS double precision\) AS price"),
        ({"columns": pa.schema([("letter", pa.string()), ("last", pa.float32())])},
         "last as float, found list"),
        ({"columns": pa.schema([("letter", pa.int32())])}, "line 1: letter: Failed to parse"),
    ],
)  # fmt: skip
def test_a_query_that_is_not_as_declared_is_refused_and_skips_nothing(
    table: Postgres, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    table.execute("INSERT INTO letters VALUES ('a', 1, '{1}', 2.50)")
    dataset = LettersDataset(tmp_path, source=source(table, **({"same_by": ("letter",)} | options)))

    with pytest.raises(UnusableSource, match=message):
        dataset.ingest()

    dataset.source = source(table)
    assert dataset.ingest().rows_added == 1


def test_the_transaction_only_reads(table: Postgres) -> None:
    table.execute(
        "CREATE OR REPLACE FUNCTION deletes() RETURNS SETOF letters LANGUAGE sql "
        "AS 'DELETE FROM letters RETURNING *'",
        "INSERT INTO letters VALUES ('a')",
    )

    with pytest.raises(SourceUnavailable, match="read-only transaction"):
        source(table, query="SELECT * FROM deletes()").deliver(())


@pytest.mark.parametrize(
    ("access", "kind", "message"),
    [
        ({"password": "the-wrong-one"}, UnusableSource, "password authentication failed"),
        ({"user": "", "url": "postgresql://tests:the-wrong-one@127.0.0.1:{port}/postgres"},
         UnusableSource, "password authentication failed"),
        ({"url": "postgresql://127.0.0.1:{port}/nowhere"}, UnusableSource, "does not exist"),
        ({"url": "postgresql://127.0.0.1:1/postgres"}, SourceUnavailable, "Connection refused"),
        ({"url": "postgresql://nowhere.invalid/postgres"}, SourceUnavailable, "translate host"),
        ({"url": "postgresql://127.0.0.1:{port}/postgres?sslmode=the-wrong-one"}, UnusableSource,
         "sslmode"),
        ({"url": ""}, ConfigurationError, "OVERNIGHT_SOURCES__LETTERS__URL is not set"),
        ({"url": "mysql://127.0.0.1/x"}, ConfigurationError, "found 'mysql'"),
        ({"url": "snowflake://account/db"}, ConfigurationError, r"pip install 'overnight\[snowfl"),
        ({"url": "bigquery://project/data"}, ConfigurationError, r"'overnight\[bigquery\]'"),
    ],
)  # fmt: skip
def test_a_database_that_cannot_be_read_is_named_without_any_secret(
    server: Postgres, access: dict[str, str], kind: type[Exception], message: str
) -> None:
    known = SourceAccess(url=server.url, user=USER, password=PASSWORD)
    wrong = replace(known, **{n: v.format(port=server.port) for n, v in access.items()})

    with pytest.raises(kind, match=message) as raised:
        source(server, access=wrong).deliver(())

    assert "the-wrong-one" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    assert "the-wrong-one" not in repr(wrong)
    assert PASSWORD not in repr(wrong)


def test_a_connection_that_breaks_while_rows_come_lands_nothing(
    table: Postgres, tmp_path: Path
) -> None:
    table.execute(
        "INSERT INTO letters (letter) SELECT repeat(md5(i::text), 30) || i "
        "FROM generate_series(1, 60000) i"
    )
    delivery = source(table).deliver(())
    assert isinstance(delivery, StreamedDelivery)
    batches = delivery.batches(unexpected)
    next(batches)

    table.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'overnight'"
    )

    # PostgreSQL's own last word is read where it arrives before the end of the connection does.
    closed = "server closed the connection|terminating connection"
    with pytest.raises(SourceUnavailable, match=closed):
        list(batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"watermark": "max(id)"}, "the name of a column"),
        ({"watermark": "id; DROP TABLE letters"}, "the name of a column"),
        ({"overlap": timedelta(days=-1)}, "no negative overlap"),
        ({"overlap": -1}, "no negative overlap"),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_refused(
    options: dict[str, Any], message: str
) -> None:
    nowhere = Places(folder=None, cache=Path("nowhere"))
    declared = {"watermark": "id", "query": "SELECT 1"} | options

    with pytest.raises(ConfigurationError, match=message):
        Sql(
            nowhere, model="letters", columns=COLUMNS, same_by=("letter",), holdout=None, **declared
        )


def test_an_overlap_of_another_kind_than_the_watermark_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="the watermark is a date, so expected a timedelta"
    ):
        Watermark("2026-11-22", "date").minus(5)


@pytest.mark.parametrize(
    "value",
    [
        pa.scalar(12, pa.int64()),
        pa.scalar(-3, pa.int16()),
        pa.scalar(0, pa.date32()),
        pa.scalar(1_000_000_001, pa.timestamp("ns")),
        pa.scalar(1_000_000_001, pa.timestamp("ns", "Europe/Berlin")),
        pa.scalar(5, pa.timestamp("s")),
    ],
)
def test_a_watermark_is_read_back_from_the_name_of_its_arrival(value: pa.Scalar) -> None:
    mark = Watermark.of(value, what="the query")

    assert mark is not None
    assert Watermark.of_arrival(mark.arrival) == mark
    assert keys.check(mark.arrival)


@pytest.mark.parametrize("name", ["by-hand-0123", "until-", "until-x", "until-2026", "night-0001"])
def test_other_names_are_no_watermarks(name: str) -> None:
    known = {"until-2026": Watermark("2026", "number")}

    assert Watermark.of_arrival(name) == known.get(name)
