"""Checks of every model in the catalogue, without tests of its own.

Its rows are read and validated against its declaration; a network is trained for one epoch,
exported, called over HTTP through the real serving application, and judged: every metric that a
gate names must be reported.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models import catalogue, find
from overnight.models.definition import ModelDefinition, Places
from overnight.models.examples import Examples
from overnight.models.gates import (
    AtMost,
    BetterThan,
    Calibrated,
    MaximumRegression,
    MinimumImprovement,
)
from overnight.models.gates.comparing import ACCURACY
from overnight.models.metrics.classification import classification
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.schema import NUMPY_TYPES
from overnight.tasks.data.column_checks import check_columns
from overnight.tasks.evaluation.evaluate import draw, evaluate, predictions
from overnight.tasks.evaluation.judge import check_attainable, judge
from overnight.tasks.evaluation.rehearse import rehearse
from overnight.tasks.release import publish
from overnight.tasks.training.train import Candidate, train
from tests.support.examples import manifest

ROOT = Path(__file__).parents[2]
ROWS, HOLDOUT_ROWS = 2_000, 300
COMPARISONS = (BetterThan, MaximumRegression, MinimumImprovement)

pytestmark = pytest.mark.training


@dataclass(frozen=True)
class Trained:
    """What a model's first steps came to."""

    definition: ModelDefinition
    rows: pa.Table
    training: Examples
    holdout: Examples
    candidate: Candidate
    folder: Path


@pytest.fixture(scope="module", params=sorted(catalogue()))
def definition(request: pytest.FixtureRequest) -> ModelDefinition:
    return find(request.param)


@pytest.fixture(scope="module")
def places(definition: ModelDefinition, request: pytest.FixtureRequest, tmp_path_factory) -> Places:
    """Rows beside the model's tests, or the genuine digits, or what its source brings along."""
    beside = ROOT / "tests" / "models" / definition.name / "rows"
    folder = beside if beside.is_dir() else None
    if definition.name == "digits":
        folder = request.getfixturevalue("digits_folder")
    return Places(folder=folder, cache=tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def trained(definition: ModelDefinition, places: Places, tmp_path_factory) -> Trained:
    """One epoch on some rows of the source's first arrival, by the same steps as a night."""
    source = definition.open_source(places)
    delivery = source.deliver(())
    assert delivery is not None, "the source has no first arrival"
    reading = source.read(delivery.files)
    assert not reading.rejected, "the source rejects what it delivers"
    training, holdout = _split(definition, reading.rows, source.holdout)
    folder = tmp_path_factory.mktemp(definition.name)
    settings = definition.settings.model_copy(update={"epochs": 1})
    candidate = train(
        definition,
        settings,
        fingerprint="0" * 64,
        training=training,
        holdout=holdout,
        folder=folder,
        seconds=120,
        report=lambda _progress: None,
    )
    return Trained(definition, reading.rows, training, holdout, candidate, folder)


def _split(definition: ModelDefinition, rows: pa.Table, holdout) -> tuple[Examples, Examples]:
    """Few rows to learn from and to be judged on, as the model's kind of holdout wants them."""
    if definition.moving_holdout is None:
        held = holdout().slice(0, HOLDOUT_ROWS)
        return definition.examples(rows.slice(0, ROWS)), definition.examples(held)
    days = rows.column("day").to_numpy()
    newest = days > days.max() - definition.moving_holdout.days
    before, held = rows.filter(pa.array(~newest)), rows.filter(pa.array(newest))
    return (
        _some(definition.examples(before), ROWS),
        _some(definition.moving_holdout.examples(before, held), HOLDOUT_ROWS),
    )


def _some(examples: Examples, n: int) -> Examples:
    """Rows from everywhere among the examples."""
    chosen = np.linspace(0, examples.n - 1, min(n, examples.n)).astype(np.int64)
    return examples.take(chosen)


def test_it_is_listed_under_its_own_name(definition: ModelDefinition) -> None:
    assert find(definition.name) is definition
    assert definition.gates, "a model without gates would promote anything"


def test_its_comparisons_can_hold_on_the_rows_of_its_holdout(
    definition: ModelDefinition, places: Places
) -> None:
    # A moving holdout has other rows in every run, so too few of them are a refusal.
    if definition.moving_holdout is None:
        check_attainable(
            definition.gates, definition.examples(definition.open_source(places).holdout())
        )


def test_rows_are_as_declared_and_each_has_a_digest(trained: Trained) -> None:
    digests = trained.rows.column("digest").to_pylist()
    columns = trained.definition.data_gates.columns

    refused = [
        finding.message for finding in check_columns(trained.rows, columns) if not finding.passed
    ]

    assert refused == []
    assert all(digests), "a row without a digest cannot be told from another"


def test_examples_match_the_declared_tensors(trained: Trained) -> None:
    for examples in (trained.training, trained.holdout):
        assert set(examples.inputs) == {spec.name for spec in trained.definition.tensors.inputs}
        for spec in trained.definition.tensors.inputs:
            array = examples.inputs[spec.name]
            assert array.shape == (examples.n, *spec.shape)
            assert array.dtype == NUMPY_TYPES[spec.datatype]
            known = array[~np.isnan(array)] if array.dtype.kind == "f" else array
            assert spec.nullable or known.size == array.size
            assert spec.minimum is None or known.min() >= spec.minimum
            assert spec.maximum is None or known.max() <= spec.maximum


def test_predictions_match_the_declared_tensors(trained: Trained) -> None:
    answers = predictions(trained.candidate)

    assert set(answers) == {spec.name for spec in trained.definition.tensors.outputs}
    for spec in trained.definition.tensors.outputs:
        assert answers[spec.name].shape == (trained.holdout.n, *spec.shape)
        assert np.isfinite(np.asarray(answers[spec.name], np.float64)).all()


@pytest.mark.servers
def test_every_metric_that_a_gate_names_is_measured(trained: Trained) -> None:
    definition, candidate = trained.definition, trained.candidate
    evaluation = evaluate(definition, candidate, None, trained.holdout)
    files = publish.bundle(candidate)
    draft = manifest(files, model=definition.name)
    rehearsed = rehearse(
        draft.model_copy(update={"tensors": definition.tensors}),
        files,
        holdout=trained.holdout,
        expected=predictions(candidate),
        folder=trained.folder,
        seconds=120,
        tolerance=definition.tolerance,
    )
    evaluation = replace(evaluation, rehearsal=rehearsed.rehearsal)

    verdict = judge(evaluation, definition.gates)

    assert verdict.findings
    assert _unheard(definition, evaluation) == []
    served = [
        finding
        for finding in verdict.findings
        if finding.gate in {"SamePredictions", "WithinBudget"}
    ]
    assert all(finding.value is not None and math.isfinite(finding.value) for finding in served)
    further = [spec.name for spec in definition.tensors.outputs[1:]]
    for compared in (evaluation.exported, rehearsed.rehearsal):
        assert compared is not None
        assert [(output.output, output.rows) for output in compared.further] == [
            (x, 0) for x in further
        ]


def _unheard(definition: ModelDefinition, evaluation: Evaluation) -> list[str]:
    """What gates ask for and nobody reports: metrics and baselines, each where it is asked for."""
    measured = {(value.metric, value.slice) for value in evaluation.measurements}
    # Right answers are compared by their counts, every other metric row by row, wherever asked.
    detail = {ACCURACY, *(row.metric for row in evaluation.rows)}
    compared = {(metric, part) for metric in detail for part in ("", *evaluation.slices)}
    unheard = []
    for gate in (*definition.gates, definition.reinstatement):
        reported = compared if isinstance(gate, COMPARISONS) else measured
        metrics = [getattr(gate, name) for name in ("metric", "baseline") if hasattr(gate, name)]
        where = (*getattr(gate, "slices", ()), *getattr(gate, "perturbations", ()))
        unheard += [
            f"{gate}: {metric} of {part or 'all rows'}"
            for metric in metrics
            for part in where
            if (metric, part) not in reported
        ]
    return unheard


def test_a_metric_that_is_not_measured_on_its_slice_is_reported() -> None:
    labels = np.array([0, 1] * 50)
    probabilities = np.where(labels[:, None] == [0, 1], 0.9, 0.1)
    slices = {"half": np.arange(100) < 50}
    evaluation = Evaluation(classification(labels, probabilities, slices), slices=slices)
    gates = (
        Calibrated(0.5, slices=("", "half"), minimum_rows=50),
        AtMost("log_loss", 1, slices=("half",)),
        AtMost("log_loss", 1),
    )
    asking = replace(find("digits"), gates=gates, reinstatement=None)

    assert [name.split(": ")[1] for name in _unheard(asking, evaluation)] == ["log_loss of half"]
    assert all(found.passed for found in gates[0].findings(evaluation))


def test_its_plots_can_be_drawn(trained: Trained) -> None:
    drawn = draw(trained.definition, trained.candidate, trained.holdout, trained.folder)

    assert drawn
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.values())
