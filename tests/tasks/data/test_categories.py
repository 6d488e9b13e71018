"""New categories are named when they come; of closed vocabularies their rows are kept apart."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.examples import Examples
from overnight.models.learned import Vocabulary
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.schema import TensorSpec
from overnight.tasks.data.categories import categories, left_out_findings, open_categories
from overnight.tasks.data.column_checks import check_columns
from overnight.tasks.data.row_digest import row_digest
from overnight.tasks.data.snapshot import read_rows, retake, snapshot
from overnight.tasks.data.validate import validate
from tests.support.letters_source import Letters, LettersDataset
from tests.support.small_models import sales

KNOWN = {"letter": tuple("abcde")}


@pytest.fixture
def dataset(tmp_path: Path) -> LettersDataset:
    return LettersDataset(tmp_path, source=Letters({"night.txt": "abé".encode()}))


def test_an_unknown_category_is_named_with_arrival_file_and_row_and_nobody_need_decide(
    dataset: LettersDataset,
) -> None:
    ingested = dataset.ingest(known=KNOWN)

    (notice,) = ingested.notices
    assert notice.startswith(
        "night-0000: letter: 'é' (1 rows, the first is row 3 of night.txt) is new: its rows are "
        "kept and set aside, the others are learned"
    )
    assert ingested.rows_added == 3
    # A review that waits would end every later run as AwaitingApproval.
    assert ArrivalReviews(dataset.bucket, "letters").pending() == []


def test_a_category_that_can_be_learned_is_named_and_its_rows_are_not_set_aside(
    dataset: LettersDataset,
) -> None:
    ingested = dataset.ingest(open_categories={"letter": ("other", "a")})

    (notice,) = ingested.notices
    assert notice == (
        "night-0000: letter: 'b' (1 rows, the first is row 2 of night.txt), 'é' (1 rows, the first "
        "is row 3 of night.txt) are new: counted as one of the others until a version has "
        "learned it"
    )
    assert snapshot(dataset.rows, dataset.holdout, known={}).rows == 3


def test_learned_vocabularies_and_those_with_others_take_new_categories() -> None:
    own = sales.DEFINITION.tensors
    learning = replace(sales.DEFINITION, learned={"weekday": Vocabulary()})
    weekday = TensorSpec(name="weekday", datatype="INT32", shape=(), vocabulary=("other", "Monday"))
    champion = own.with_inputs({"weekday": weekday})

    assert set(categories(learning)) == set()
    assert open_categories(learning, champion) == {
        "store": own.inputs[0].vocabulary,
        "weekday": ("other", "Monday"),
    }


def test_rows_of_unknown_categories_are_in_no_snapshot_until_the_vocabulary_has_them(
    dataset: LettersDataset,
) -> None:
    dataset.ingest(known=KNOWN)

    before = snapshot(dataset.rows, dataset.holdout, known=KNOWN)
    after = snapshot(dataset.rows, dataset.holdout, known={"letter": ("a", "b", "é")})

    assert (before.rows, before.left_out, after.rows) == (2, (("letter", "é"),), 3)
    assert sorted(read_rows(dataset.rows, before)["letter"].to_pylist()) == ["a", "b"]
    assert retake(dataset.rows, dataset.holdout, before.lineage) == before
    (finding,) = left_out_findings(dataset.rows, before.dataset_version, before.left_out)
    assert "1 rows are left out, because é is not in its vocabulary; they came with night-0000" in (
        finding.message
    )


def test_a_column_of_nothing_but_new_values_refuses_its_arrival(tmp_path: Path) -> None:
    letters = "".join(chr(0x4E00 + number) for number in range(200))
    dataset = LettersDataset(tmp_path, source=Letters({"a": letters.encode()}))

    ingested = dataset.ingest(known=KNOWN)

    assert (ingested.rows_added, len(ingested.quarantined)) == (0, 1)
    assert "and 98 more are not in its vocabulary" in ingested.findings[0].message


def test_vocabularies_come_from_inputs_and_from_declared_columns() -> None:
    grade = Column(TensorSpec(name="grade", datatype="INT32", shape=(), vocabulary=("1st", "2nd")))
    declared = replace(sales.DEFINITION, data_gates=DataGates(columns=(grade,)))

    known = categories(declared)

    # Not `store`, where "other" stands for all that are not in the vocabulary.
    assert set(known) == {"grade", "weekday"}
    (finding,) = check_columns(pa.table({"grade": ["1st", "4th"]}), (grade,))
    assert finding.passed


def test_a_model_that_fails_on_new_values_names_arrival_and_column(tmp_path: Path) -> None:
    def examples(rows: pa.Table) -> Examples:
        places = {"1st": 0, "2nd": 1}
        labels = [places[grade] for grade in rows.column("grade").to_pylist()]
        return Examples({}, np.array(labels))

    model = replace(sales.DEFINITION, examples=examples, data_gates=DataGates())
    rows = pa.table({
        "grade": ["1st", "2nd", "4th"], "digest": ["a", "b", "c"],
        "arrival": ["night-0001", "night-0002", "night-0003"],
    })  # fmt: skip
    dataset = LettersDataset(tmp_path)
    dataset.ingest()
    taken = replace(snapshot(dataset.rows, dataset.holdout), rows=3)

    findings = validate(rows, taken, model, holdout=rows.slice(0, 0), now=datetime.now(UTC))

    assert "rows are no examples: '4th' in grade of night-0003; `overnight exclude starter" in (
        findings[-1].message
    )


def table(*rows: tuple[str | None, str | None]) -> pa.Table:
    first, second = zip(*rows, strict=True)
    return pa.table({"a": pa.array(first, pa.string()), "b": pa.array(second, pa.string())})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (table((None, "x")), table(("\\N", "x"))),
        (table(("x\ty", "z")), table(("x", "y\tz"))),
        (table(("x", "y"), ("x", "z")), table(("x", "y\nx\tz"))),
        (table(("", None)), table((None, ""))),
    ],
    ids=["a text that looks like none", "moved tabs", "moved line ends", "empty and none"],
)
def test_different_rows_have_different_digests(one: pa.Table, other: pa.Table) -> None:
    assert row_digest(one, 2, without=()) != row_digest(other, 2, without=())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([["a", "b"]], [["a;b"]]),
        ([[""]], [[]]),
        ([[None]], [["-"]]),
        ([None], [[]]),
        ([[["a"], ["b"]]], [[["a", "b"]]]),
        ([[1.5, 2]], [[1.5, 3]]),
    ],
)
def test_different_lists_have_different_digests(one: list, other: list) -> None:
    digests = {row_digest(pa.table({"x": lists}), 2, without=()) for lists in (one, other)}

    assert len(digests) == 2


def test_lists_have_one_digest_however_the_table_holds_them() -> None:
    lists = [[1.0, 2.0], None, [], [3.0]]
    whole = pa.table({"x": pa.array(lists, pa.list_(pa.float32()))})
    large = pa.table({"x": pa.array(lists, pa.large_list(pa.float32()))})
    parts = pa.concat_tables([whole.slice(3), whole.slice(0, 2), whole.slice(2, 1)])

    assert len({row_digest(rows, 2, without=()) for rows in (whole, large, parts)}) == 1


def test_digests_of_the_first_format_stay_as_they_were() -> None:
    # As manifests of earlier commits record it, by hashlib alone.
    assert row_digest(table(("b", None), ("a", "ä")), 1, without=()) == (
        "4889e4df315f343b473e297b0405fca711514371c1bc87f44dbbf2daa71b5e4d"
    )
