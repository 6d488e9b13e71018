"""A streamed arrival is read in the limited process; secrets reach it by no argument."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from overnight.models.definition import Places, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess
from overnight.store.project import DeclaredModel, Project, current, use
from overnight.tasks.data.read_arrival import DeliverOutcome, DeliverRequest
from overnight.tasks.data.reader_process import ReaderProcess, ReadLimits
from tests.support.parquet_bombs import parquet_bomb

SECRET = "the-password-of-the-source"
MODEL = """
from dataclasses import replace

import pyarrow as pa

from overnight.api import DataGates, Files, StreamedDelivery
from overnight.models import sales
from overnight.models.errors import SourceUnavailable, UnusableSource

COLUMNS = pa.schema([pa.field("department", pa.string(), nullable=False)])


class Source(Files):
    def deliver(self, delivered):
        assert self._places.access.password == "the-password-of-the-source"
        delivery = super().deliver(delivered)
        if isinstance(delivery, StreamedDelivery):
            error = {
                "away": SourceUnavailable("the rows", ["it is away"], "try again"),
                "wrong": UnusableSource("the rows", expected="a", found="b", remedy="mend it"),
            }.get(delivery.name)
            if error:
                raise error
        return delivery


def open_source(places):
    return Source(
        places, model="corner", columns=COLUMNS, same_by=("department",), holdout=None,
        whole_bytes=0, wait=lambda _: None,
    )


DEFINITION = replace(
    sales.DEFINITION, name="corner", open_source=open_source, data_gates=DataGates()
)
"""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    """The folder of a project's model, whose source wants a password."""
    before = current()
    (tmp_path / "corner_that_streams.py").write_text(MODEL)
    declared = (DeclaredModel("corner", "corner_that_streams", "overnight.toml"),)
    use(Project(tmp_path, declared=declared))
    rows = tmp_path / "rows"
    rows.mkdir()
    yield Places(rows, tmp_path / "cache", SourceAccess(password=SECRET))
    use(before)


def reader(places: Places) -> ReaderProcess:
    limits = ReadLimits(memory_mb=400)
    return ReaderProcess("corner", places, limits, log=places.cache / "log")


def deliver(
    places: Places, reading: ReaderProcess, name: str, delivered: tuple[str, ...] = ()
) -> DeliverOutcome:
    (places.cache / name).mkdir(parents=True)
    request = DeliverRequest(delivered=delivered, folder=places.cache / name)
    known = StreamedDelivery(name, what=f"{name}.csv", batches=lambda _: iter(()), is_file=True)
    return reading.deliver(known, request)


def test_rows_are_written_in_pieces_by_a_process_that_has_the_secret_in_no_argument(
    places: Places,
) -> None:
    assert places.folder is not None
    (places.folder / "a.csv").write_text("department\nDAIRY\n,\nDELI\n")
    bomb = parquet_bomb(200_000, text_bytes=18_000)
    (places.folder / "b.parquet").write_bytes(bomb)

    with reader(places) as reading:
        first = deliver(places, reading, "a")
        commands = [" ".join(child.cmdline()) for child in psutil.Process().children()]
        refused = deliver(places, reading, "b", ("a",))

    assert any("reader_process" in command for command in commands)
    assert not any(SECRET in command for command in commands)
    assert (first.name, first.converted.rows, first.converted.rejected_lines) == ("a", 2, 1)
    piece = pq.read_table(places.cache / "a" / "000000")
    assert piece.column("department").to_pylist() == ["DAIRY", "DELI"]
    assert refused.name in {"b", "b.parquet"}
    assert refused.converted.refused
    assert refused.converted.rows == 0
    assert SECRET not in (places.cache / "log").read_text()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("away", SourceUnavailable, "it is away. To continue, try again"),
        ("wrong", UnusableSource, "expected a, found b. To continue, mend it"),
        ("none", SourceUnavailable, "changed meanwhile"),
    ],
)
def test_what_the_source_raises_there_is_raised_here(
    places: Places, name: str, kind: type[Exception], message: str
) -> None:
    assert places.folder is not None
    if name != "none":
        (places.folder / f"{name}.csv").write_text("department\nDAIRY\n")

    with reader(places) as reading, pytest.raises(kind, match=message):
        deliver(places, reading, name)
