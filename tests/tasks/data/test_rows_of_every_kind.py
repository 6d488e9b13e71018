"""Texts, dates, gaps and lists on their way from an arrival to what a network gets."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import ModelDefinition, Reading
from overnight.store.encoding import encode
from overnight.store.schema import TensorSpec
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.holdout import check_holdout
from overnight.tasks.data.learn import learn
from overnight.tasks.data.snapshot import read_rows, read_stamped, snapshot
from overnight.tasks.data.validate import validate
from tests.support.letters_source import Letters, LettersDataset
from tests.support.orders import DEFINITION, rows

COLUMNS = {spec.name: spec for spec in DEFINITION.tensors.inputs}
GATES = DataGates(
    minimum_rows=10,
    columns=(
        Column(COLUMNS["note"], missing_share=0.5),
        Column(COLUMNS["town"], missing_share=0.5, categorical=True),
        Column(COLUMNS["age"], missing_share=0.5),
        Column(COLUMNS["steps"]),
    ),
)


class Orders(Letters):
    """Delivers orders, one arrival with each of the seeds."""

    def read(self, files: Mapping[str, bytes]) -> Reading:
        return Reading(_stamped(rows(60, seed=len(next(iter(files.values()))))))

    def holdout(self) -> pa.Table:
        return _stamped(rows(20, seed=9, towns=("Ulm", "Jena")))


def _stamped(table: pa.Table) -> pa.Table:
    digests = [hashlib.sha256(str(row).encode()).hexdigest() for row in table.to_pylist()]
    return table.append_column("digest", pa.array(digests))


@pytest.fixture
def dataset(tmp_path: Path) -> LettersDataset:
    return LettersDataset(tmp_path, source=Orders({"a": b"1"}, {"b": b"22"}))


@pytest.fixture
def model() -> ModelDefinition:
    return replace(DEFINITION, data_gates=GATES)


def test_rows_of_every_kind_are_ingested_learned_and_encoded(
    dataset: LettersDataset, model: ModelDefinition
) -> None:
    for _ in range(2):
        assert dataset.ingest(gates=GATES, declared=DeclaredColumns.of(model)).findings == ()

    taken = snapshot(dataset.rows, dataset.holdout)
    table = read_rows(dataset.rows, taken)
    learned = learn(model, table)
    arrays = encode(learned.tensors, learned.examples(table).inputs)

    assert taken.rows == table.num_rows > 60
    # Read again, the rows have the digest of their snapshot, which covers lists too.
    assert read_stamped(dataset.rows, taken).num_rows == taken.rows
    assert arrays["steps"].shape == (taken.rows, 5)
    assert (arrays["steps_length"] == [len(row) for row in table["steps"].to_pylist()]).all()
    assert arrays["age_missing"].sum() == table["age"].null_count > 0
    assert np.isfinite(arrays["age"]).all()


def test_gaps_are_counted_and_refuse_nothing_unless_there_are_too_many(
    dataset: LettersDataset, model: ModelDefinition
) -> None:
    dataset.ingest(gates=GATES)
    taken = snapshot(dataset.rows, dataset.holdout)
    table, now = read_stamped(dataset.rows, taken), datetime.now(UTC)
    few = tuple(replace(each, missing_share=0.01) for each in GATES.columns if each.name == "age")
    strict = replace(model, data_gates=replace(GATES, columns=(*GATES.columns[:2], *few)))

    findings = validate(table, taken, learn(model, table), holdout=table[:0], now=now)
    refused = validate(table, taken, learn(strict, table), holdout=table[:0], now=now)

    assert all(finding.passed for finding in findings)
    (age,) = [f for f in findings if (f.gate, f.metric) == ("tensor", "age")]
    share = table["age"].null_count / table.num_rows
    assert age.value == pytest.approx(share)
    assert f"age: FP32 [-1], as declared; {share:.1%} of its values are missing" in age.message
    assert [(f.gate, f.metric) for f in refused if not f.passed] == [("nothing missing", "age")]


def test_gaps_and_categories_that_nobody_learned_may_be_in_a_holdout(
    dataset: LettersDataset, model: ModelDefinition
) -> None:
    """It is frozen before anything is learned, and judges after."""
    held_out = dataset.source.holdout()
    plain = TensorSpec(name="age", datatype="FP32", shape=())
    without = replace(
        model,
        tensors=model.tensors.with_inputs({"age": plain}),
        learned={name: each for name, each in model.learned.items() if name != "age"},
    )

    assert check_holdout(held_out, model) == ()
    assert check_holdout(held_out, learn(model, rows(60)), frozen=True) == ()
    (finding, *_) = [f for f in check_holdout(held_out, without) if not f.passed]
    assert "age" in finding.message
    assert "missing" in finding.message
