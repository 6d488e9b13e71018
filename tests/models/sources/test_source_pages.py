"""The examples of docs/sources work as they are printed."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from overnight.models.definition import Places, Source
from overnight.models.sources.access import SourceAccess
from tests.support.letters_source import LettersDataset
from tests.support.postgres_server import PASSWORD, USER, Postgres, postgres

PAGES = Path(__file__).parents[3] / "docs" / "sources"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


def open_source(page: str, places: Places) -> Source:
    """The source that the last block of Python of a page declares."""
    names: dict[str, Any] = {"pa": pa}
    for block in blocks(page, "python"):
        exec(block, names)  # noqa: S102 - the page is ours
    opened: Callable[[Places], Source] = names["open_source"]
    return opened(places)


def places(folder: Path, *, local: bool = False, **access: str) -> Places:
    return Places(folder if local else None, folder / "cache", SourceAccess(**access))


def test_files(tmp_path: Path) -> None:
    (text,) = blocks("files.md", "csv")
    (tmp_path / "2026-11-22.csv").write_text(text, "cp1252")
    (tmp_path / "holdout.csv").write_text("day;Ort;units\n2026-11-21;Ulm;1\n", "cp1252")

    dataset = LettersDataset(tmp_path, source=open_source("files.md", places(tmp_path, local=True)))

    assert dataset.source.read({"a.csv": text.encode("cp1252")}).rejected == ()
    rows = dataset.source.read({"a.csv": text.encode("cp1252")}).rows
    assert rows.column("town").to_pylist() == ["Köln", "Ulm"]
    assert rows.column("units").to_pylist() == [1.5, None]
    assert dataset.source.holdout().num_rows == 1


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def test_sql(server: Postgres, tmp_path: Path) -> None:
    (tables,) = blocks("sql.md", "sql")
    server.execute(
        *filter(str.strip, tables.split(";")),
        "INSERT INTO sales (town, units) SELECT 'town', i * 0.25 FROM generate_series(1, 90) i",
    )
    reached = places(tmp_path, url=server.url, user=USER, password=PASSWORD)
    dataset = LettersDataset(tmp_path, source=open_source("sql.md", reached))

    first, second = dataset.ingest(), dataset.ingest()
    server.execute("INSERT INTO sales (town, units) VALUES ('late', 1.25)")
    third = dataset.ingest()

    assert 0 < first.kept_out < 30
    assert first.rows_added == 90 - first.kept_out
    assert second.arrivals == ()
    assert (third.rows_added, third.duplicates) == (1, first.rows_added)


def test_delta(tmp_path: Path) -> None:
    def append(towns: list[str]) -> None:
        days = pa.array(range(len(towns)), pa.date32())
        rows = pa.table({"day": days, "town": towns, "units": [1.5] * len(towns)})
        deltalake.write_deltalake(tmp_path / "lake", rows, mode="append")

    append(["Ulm"])
    append(["Köln", "Bonn"])
    dataset = LettersDataset(
        tmp_path, source=open_source("delta.md", places(tmp_path / "lake", local=True))
    )

    ingested = dataset.ingest()

    assert (ingested.rows_added, ingested.kept_out) == (2, 1)
    assert ingested.arrivals == ("version-00000000000000000001",)


def test_http(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("day,town,units\n2026-11-22,Ulm,1.5\n2026-11-21,Ulm,1\n")
    (tmp_path / "holdout.csv").write_text("day,town,units\n2026-11-21,Ulm,1\n")
    handler = partial(_Quiet, directory=str(tmp_path))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{http.server_port}/sales.csv"
        source = open_source("http.md", places(tmp_path, url=url, token="a token"))
        ingested = LettersDataset(tmp_path, source=source).ingest()
    finally:
        http.shutdown()
        thread.join()
        http.server_close()

    assert (ingested.rows_added, ingested.kept_out) == (1, 1)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def test_a_source_of_ones_own(tmp_path: Path) -> None:
    dataset = LettersDataset(tmp_path, source=open_source("README.md", places(tmp_path)))

    first, second, third = dataset.ingest(), dataset.ingest(), dataset.ingest()

    assert [each.arrivals for each in (first, second, third)] == [
        ("2026-11-22",),
        ("2026-11-23",),
        (),
    ]
    assert (second.rows_added, second.duplicates) == (1, 1)
    assert sorted(dataset.rows.read().column("celsius").to_pylist()) == [17.5, 18.0, 19.25]


def test_every_setting_that_the_pages_name_exists() -> None:
    from overnight.infra.source_settings import SourceSettings

    text = "".join(page.read_text() for page in PAGES.glob("*.md"))
    named = re.findall(r"(?:__<MODEL>|…|SOURCES__[A-Z]+)__([A-Z0-9_]+)", text)

    assert {name.lower() for name in named} == set(SourceSettings.model_fields)
