"""An arrival that is streamed lands in pieces; one that is broken costs the others nothing."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from overnight.api import Files, Places, Reading, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.streaming import Rejected
from overnight.store.datasets.landing import Landing
from tests.support.letters_source import LettersDataset, digest

COLUMNS = pa.schema([pa.field("letter", pa.string(), nullable=False)])


@pytest.fixture
def dataset(tmp_path: Path) -> LettersDataset:
    (tmp_path / "holdout.csv").write_text("letter\nz\n")
    source = Files(
        Places(folder=tmp_path, cache=tmp_path),
        model="letters",
        columns=COLUMNS,
        same_by=("letter",),
        whole_bytes=0,
        wait=lambda _: None,
    )
    return LettersDataset(tmp_path, source=source)


def test_a_long_file_lands_in_pieces_and_its_invalid_lines_are_kept(
    dataset: LettersDataset,
) -> None:
    (dataset.folder / "a.csv").write_text("letter\na\n\nb\n,\nz\n")
    (dataset.folder / "b.csv").write_text("letter\nb\nc\n")

    first, second, third = dataset.ingest(), dataset.ingest(), dataset.ingest()

    assert (first.arrivals, first.rows_added, first.kept_out) == (("a",), 2, 1)
    assert [(bad.file, bad.reason) for bad in first.quarantined] == [
        (
            "a.csv/rejected",
            "a.csv: 1 of its lines are invalid: line 5: Expected 1 columns, got 2: ,",
        )
    ]
    assert (second.arrivals, second.rows_added, second.duplicates) == (("b",), 1, 1)
    assert third.arrivals == ()
    assert dataset.letters() == "abc"


def test_a_file_that_changes_later_is_reported_with_its_size_then(dataset: LettersDataset) -> None:
    (dataset.folder / "a.csv").write_text("letter\na\n")
    dataset.ingest()

    (dataset.folder / "a.csv").write_text("letter\na\nb\n")

    (notice,) = dataset.ingest().notices
    assert notice.startswith("a.csv changed after it was ingested as a (9 bytes then, 11 now)")


def test_a_long_file_that_cannot_be_read_is_refused_and_the_next_one_comes(
    dataset: LettersDataset,
) -> None:
    (dataset.folder / "0.csv").write_text("letter\na\n")
    (dataset.folder / "a.csv").write_text("lettre\na\n")
    (dataset.folder / "b.csv").write_text("letter\nb\n")
    dataset.ingest()

    refused, following = dataset.ingest(), dataset.ingest()

    (finding,) = refused.findings
    assert finding.message == "a.csv: expected the columns letter, found letter is not there"
    assert [bad.file for bad in refused.quarantined] == ["a.csv/refused"]
    assert "letter is not there" in refused.quarantined[0].reason
    assert following.arrivals == ("b",)
    assert dataset.letters() == "ab"
    assert dataset.ingest().arrivals == ()
    assert Landing(dataset.bucket, "letters").pending() == []


class Query:
    """A source of one query, whose rows are `letters`, or which fails after them."""

    def __init__(self, letters: str, error: Exception | None = None) -> None:
        self.letters, self.error = letters, error

    def deliver(self, delivered: Collection[str]) -> StreamedDelivery | None:
        name = f"until-{len(self.letters)}"
        if name in delivered:
            return None
        return StreamedDelivery(name, what="the query", batches=self._batches)

    def _batches(self, _rejected: Rejected) -> Iterator[pa.RecordBatch]:
        digests = [digest(letter) for letter in self.letters]
        yield pa.RecordBatch.from_pydict({"letter": list(self.letters), "digest": digests})
        if self.error:
            raise self.error

    def read(self, files: Any) -> Reading:
        raise AssertionError(files)

    def holdout(self) -> pa.Table:
        return pa.table({"letter": ["z"], "digest": [digest("z")]})


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SourceUnavailable("the query", ["it broke off"], "try again"), SourceUnavailable, "broke"),
        (ValueError("no such column"), UnusableSource, "ValueError: no such column. To continue"),
        (MemoryError(), UnusableSource, "more memory than allowed"),
    ],
)
def test_of_a_query_that_fails_nothing_lands_and_nothing_is_skipped(
    tmp_path: Path, error: Exception, kind: type[Exception], message: str
) -> None:
    source = Query("ab", error)
    dataset = LettersDataset(tmp_path, source=source)

    with pytest.raises(kind, match=message):
        dataset.ingest()

    assert Landing(dataset.bucket, "letters").pending() == []
    source.error = None
    assert dataset.ingest().arrivals == ("until-2",)
    assert dataset.letters() == "ab"
