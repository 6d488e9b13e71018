"""Columns come, go and change their types over three nights of one model."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import ModelDefinition
from overnight.store.errors import ConfigurationError
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.registry.manifest import Finding
from overnight.store.schema import TensorSpec
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.holdout import check_holdout
from overnight.tasks.data.snapshot import Snapshot, read_holdout, read_rows, read_stamped, retake
from overnight.tasks.data.validate import validate
from tests.support.changing_wines import ACID, LABEL, SUGAR, Cellar, Wines, definition, examples

AT = datetime(2026, 11, 22, tzinfo=UTC)
HELD_OUT = {"id": [90, 91], "acid": [3.0, 3.5], "label": [0, 1]}
FIRST = {"id": [1, 2], "acid": [3.0, 3.5], "label": [0, 1]}
SECOND = {"id": [3, 4], "acid": [3.1, 3.6], "label": [1, 0], "sugar": [7.0, 8.0]}
THIRD = {"id": [5, 6], "label": [1, 0], "sugar": [9.0, 1.0]}
PLAIN = definition(ACID)
SWEET = definition(ACID, SUGAR, row_defaults={"sugar": 4.0})
ONLY_SUGAR = definition(SUGAR, row_defaults={"sugar": 4.0})


def cellar(folder: Path, *nights: dict[str, list[object]]) -> Cellar:
    return Cellar(folder, Wines(*nights, held_out=HELD_OUT))


def failures(wines: Cellar, model: ModelDefinition, chosen: Snapshot) -> list[Finding]:
    """What is wrong with a night, by the checks of the flow."""
    declared = DeclaredColumns.of(model)
    rows = read_stamped(wines.rows, chosen, wines.holdout, declared=declared)
    holdout = read_holdout(wines.holdout, chosen, declared=declared)
    findings = validate(rows, chosen, model, holdout=holdout, now=AT)
    findings += check_holdout(holdout, model, frozen=True)
    return [finding for finding in findings if not finding.passed]


def test_a_column_comes_and_another_goes_and_every_night_can_be_had_again(tmp_path: Path) -> None:
    wines = cellar(tmp_path, FIRST, SECOND, THIRD)

    # The first night knows no sugar.
    wines.ingest(PLAIN)
    first = wines.snapshot(PLAIN)
    assert failures(wines, PLAIN, first) == []
    # The second is declared with it: earlier rows, and the holdout, have its default.
    assert wines.ingest(SWEET).notices == ()
    second = wines.snapshot(SWEET)
    assert failures(wines, SWEET, second) == []
    rows = read_rows(wines.rows, second, declared=DeclaredColumns.of(SWEET)).sort_by("id")
    assert rows.column("sugar").to_pylist() == [4.0, 4.0, 7.0, 8.0]
    held_out = read_holdout(wines.holdout, second, declared=DeclaredColumns.of(SWEET))
    assert held_out.column("sugar").to_pylist() == [4.0, 4.0]
    assert examples(held_out, "acid", "sugar").inputs["sugar"].dtype == np.float32
    # The third declares acid no longer, and has none: it stays in the table, unread.
    gone = "night-3 has no column acid, which earlier arrivals have and the model does not declare"
    assert gone in wines.ingest(ONLY_SUGAR).notices[0]
    third = wines.snapshot(ONLY_SUGAR)
    assert third.unread == ("acid",)
    assert failures(wines, ONLY_SUGAR, third) == []
    assert "acid" not in read_rows(wines.rows, third).column_names
    assert wines.rows.read().column("acid").null_count == 2

    for recorded in (first, second, third):
        assert retake(wines.rows, wines.holdout, recorded.lineage) == recorded


def test_a_model_that_declares_a_column_before_any_arrival_has_it_reads_its_default(
    tmp_path: Path,
) -> None:
    wines = cellar(tmp_path, FIRST, {**FIRST, "id": [7, 8]})
    wines.ingest(PLAIN)

    ingested = wines.ingest(SWEET)

    assert ingested.rows_added == 2
    assert "night-2 has no column sugar yet: it reads sugar as 4.0" in ingested.notices[0]
    assert failures(wines, SWEET, wines.snapshot(SWEET)) == []


def test_once_a_declared_column_came_an_arrival_without_it_is_refused(tmp_path: Path) -> None:
    wines = cellar(tmp_path, FIRST, SECOND, {**FIRST, "id": [7, 8]})
    for model in (PLAIN, SWEET):
        wines.ingest(model)

    refused = wines.ingest(SWEET).findings

    assert [finding.message for finding in refused] == [
        "sugar: no such column; there are id, acid, label, digest"
    ]


def test_a_column_that_is_not_declared_is_left_out_and_named(tmp_path: Path) -> None:
    nullable = {**SECOND, "sugar": [None, 8.0]}
    wines = cellar(tmp_path, FIRST, nullable)
    wines.ingest(PLAIN)

    ingested = wines.ingest(PLAIN)

    assert ingested.rows_added == 2
    assert "night-2: left out column sugar, which the model does not declare" in ingested.notices[0]
    assert "sugar" not in wines.rows.schema().names
    assert failures(wines, PLAIN, wines.snapshot(PLAIN)) == []


def test_a_removed_column_may_have_gaps_and_refuses_nothing(tmp_path: Path) -> None:
    may_miss = Column(SUGAR.model_copy(update={"nullable": True}), missing_share=0.5)
    before = definition(ACID, columns=(Column(ACID), may_miss, Column(LABEL)))
    some = {"sugar": [None, 8.0]}
    wines = cellar(tmp_path, {**FIRST, **some}, {**FIRST, "id": [7, 8], "sugar": [None, None]})
    wines.ingest(before)

    ingested = wines.ingest(PLAIN)

    assert (ingested.rows_added, ingested.findings) == (2, ())
    assert failures(wines, PLAIN, wines.snapshot(PLAIN)) == []


def test_gaps_are_counted_since_the_column_came(tmp_path: Path) -> None:
    may_miss = Column(SUGAR.model_copy(update={"nullable": True}), missing_share=0.5)
    model = definition(ACID, columns=(Column(ACID), may_miss, Column(LABEL)))
    many = {"id": [*range(10, 20)], "acid": [3.0] * 10, "label": [0, 1] * 5}
    wines = cellar(tmp_path, many, SECOND, {**FIRST, "id": [7, 8], "sugar": [None, 1.0]})
    wines.ingest(PLAIN)
    for _ in range(2):
        wines.ingest(model)

    chosen = wines.snapshot(model)

    # 11 of 14 rows have no sugar, of which 10 came before it did; and so did the holdout.
    assert failures(wines, model, chosen) == []
    rows = read_rows(wines.rows, chosen, declared=DeclaredColumns.of(model))
    assert rows.column("sugar").null_count == 11


@pytest.mark.parametrize(
    ("nights", "expected"), [((FIRST,), "sugar: no such column"), ((FIRST, SECOND), "are missing")]
)
def test_a_new_column_without_a_default_is_refused_with_the_remedy(
    tmp_path: Path, nights: tuple[dict[str, list[object]], ...], expected: str
) -> None:
    wines = cellar(tmp_path, *nights)
    model = definition(ACID, SUGAR)
    wines.ingest(PLAIN)
    if len(nights) > 1:
        wines.ingest(model)

    wrong = failures(wines, model, wines.snapshot(model))

    assert expected in wrong[0].message
    assert "2 rows came before it: declare row_defaults={'sugar': …}" in wrong[0].message


def test_the_default_of_an_input_is_that_of_earlier_rows_unless_the_rows_have_their_own() -> None:
    sugar = TensorSpec(name="sugar", datatype="FP32", shape=(), default=2.5)
    names = TensorSpec(name="grape", datatype="INT32", shape=(), default="other")
    later = definition(sugar, names)

    assert DeclaredColumns.of(later).defaults == {"sugar": 2.5, "grape": "other"}
    own = replace(later, row_defaults={"sugar": 0.0})
    assert DeclaredColumns.of(own).defaults == {"sugar": 0.0, "grape": "other"}


def test_columns_with_gaps_have_the_type_of_their_values() -> None:
    missing, text = Missing(), TextEncoding(tokenizer="whitespace", length=3)
    specs = (
        TensorSpec(name="age", datatype="FP32", shape=(), missing=missing),
        TensorSpec(name="note", datatype="BYTES", shape=(), missing=missing, text=text),
        TensorSpec(name="track", datatype="FP32", shape=(4,), lengths=(2, 4), missing=missing),
    )
    city = TensorSpec(name="city", datatype="INT32", shape=(), missing=missing)
    columns = (
        *(Column(spec, missing_share=0.5) for spec in specs),
        Column(city, missing_share=0.5, categorical=True),
    )
    model = replace(definition(ACID), data_gates=DataGates(columns=columns))

    assert DeclaredColumns.of(model).gaps == {
        "age": pa.float32(),
        "note": pa.string(),
        "track": pa.list_(pa.float32()),
        "city": pa.string(),
    }


def test_a_default_of_another_kind_than_the_column_names_the_field(tmp_path: Path) -> None:
    wines = cellar(tmp_path, FIRST, SECOND)
    for model in (PLAIN, SWEET):
        wines.ingest(model)
    declared = DeclaredColumns(defaults={"sugar": "sweet"})

    with pytest.raises(ConfigurationError, match=r"row_defaults\['sugar'\]: .*'sweet'"):
        read_rows(wines.rows, wines.snapshot(SWEET), declared=declared)


def test_numbers_that_widen_are_carried_and_texts_refuse_their_arrival_alone(
    tmp_path: Path,
) -> None:
    whole = {"id": [1, 2], "acid": [3, 4], "label": [0, 1]}
    texts = {"id": [8, 9], "acid": [1.0, 1.5], "label": [0, 1], "id2": ["a", "b"]}
    declared = definition(ACID, columns=(Column(ACID), Column(LABEL)), row_defaults={"id2": 0})
    numbers = {**SECOND, "id": [5, 6], "id2": [1, 2]}
    wines = cellar(
        tmp_path, whole, FIRST | {"id": [3, 4]}, numbers, texts, SECOND | {"id": [11, 12]}
    )

    outcomes = [wines.ingest(declared) for _ in range(5)]

    assert [outcome.rows_added for outcome in outcomes] == [2, 2, 2, 0, 2]
    assert wines.rows.schema().field("acid").type == pa.float64()
    (refused,) = outcomes[3].findings
    assert refused.message.startswith("id2: the table holds int64, and string came")
    assert "under another name that the model declares" in refused.message
    assert outcomes[3].quarantined[0].file == "wines.json"


def test_a_row_that_comes_again_with_a_new_column_is_the_same_row(tmp_path: Path) -> None:
    wines = cellar(tmp_path, FIRST, {**SECOND, "id": [1, 9]}, {**SECOND, "id": [90, 10]})
    wines.ingest(PLAIN)

    again = wines.ingest(SWEET)
    held_out = wines.ingest(SWEET)

    assert (again.rows_added, again.duplicates) == (1, 1)
    assert (held_out.rows_added, held_out.kept_out) == (1, 1)


def test_only_what_is_not_declared_and_has_gaps_is_unread(tmp_path: Path) -> None:
    wines = cellar(tmp_path, {**FIRST, "cellar": ["a", "b"]}, {**FIRST, "id": [7, 8]})
    wines.ingest(PLAIN)
    before = wines.snapshot(PLAIN)
    wines.ingest(PLAIN)

    # `cellar` was never declared: read while it is whole.
    assert before.unread == ()
    assert "cellar" in read_rows(wines.rows, before).column_names
    assert wines.snapshot(PLAIN).unread == ("cellar",)
    # Without the arrival that lacks it, it is whole again.
    assert wines.snapshot(PLAIN, without=["night-2"]).unread == ()
