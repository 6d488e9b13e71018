"""A model of texts, categories, dates, gaps and lists: learned, trained, exported and served."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples
from overnight.serving.inference.loaded_version import check_golden
from overnight.serving.inference.runtime import Predictor
from overnight.store.encoding import encode
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.data.learn import learn
from overnight.tasks.errors import Unlearnable
from overnight.tasks.evaluation.evaluate import evaluate, predictions
from overnight.tasks.evaluation.published import PublishedPredictor, answers
from overnight.tasks.evaluation.rehearse import rehearse
from overnight.tasks.training.predictor_check import check_predictor
from overnight.tasks.training.train import Candidate, train
from tests.support.orders import DEFINITION, examples, rows
from tests.support.serving import bundles

pytestmark = [pytest.mark.training, pytest.mark.servers]


@dataclass(frozen=True)
class Trained:
    definition: ModelDefinition
    candidate: Candidate
    holdout: Examples


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A candidate; its holdout has a town that no training row has, and gaps."""
    table = rows(200)
    definition = learn(DEFINITION, table)
    holdout = examples(rows(70, seed=2, towns=("Ulm", "Jena")))
    candidate = train(
        definition,
        definition.settings,
        fingerprint="a" * 64,
        training=examples(table),
        holdout=holdout,
        folder=tmp_path_factory.mktemp("orders"),
        seconds=120,
        report=lambda _: None,
    )
    return Trained(definition, candidate, holdout)


def test_the_schema_has_what_was_learned_and_the_declaration_stays_as_it_was(
    trained: Trained,
) -> None:
    specs = {spec.name: spec for spec in trained.definition.tensors.inputs}

    assert specs["town"].vocabulary == ("other", "Aalen", "Gera", "Ulm")
    assert specs["note"].text is not None
    assert {"tea", "please", "北"} <= set(specs["note"].text.pieces)
    assert specs["age"].missing is not None
    assert specs["age"].missing.value == pytest.approx(specs["age"].mean)
    assert DEFINITION.tensors.inputs[1].vocabulary == ()


def test_what_is_served_answers_published_values_as_training_did(
    trained: Trained, tmp_path: Path
) -> None:
    files = {name: trained.candidate.read(name) for name in ("network.keras", "predictor.tflite")}
    draft = bundles.manifest(1, files, tensors=trained.definition.tensors)

    result = rehearse(
        draft,
        files,
        holdout=trained.holdout,
        expected=predictions(trained.candidate),
        folder=tmp_path,
        seconds=60,
        tolerance=trained.definition.tolerance,
    )

    # Training padded every row to five steps, and requests of short rows are padded to two.
    assert (result.rehearsal.n, result.rehearsal.changed_answers) == (70, 0)
    with np.load(io.BytesIO(result.golden), allow_pickle=False) as golden:
        assert all(golden[name].dtype != object for name in golden.files)
    predictor = Predictor(draft, files["predictor.tflite"], threads=1)
    kept = check_golden(predictor, result.golden)
    assert kept["note"].dtype == object


def test_a_version_with_another_vocabulary_is_sent_names_and_not_numbers(
    trained: Trained,
) -> None:
    """Reordered and with one town fewer, it still means what it meant."""
    predictor = trained.candidate.read("predictor.tflite")
    published = PublishedPredictor("v1", predictor, trained.definition.tensors)
    town = next(spec for spec in trained.definition.tensors.inputs if spec.name == "town")
    reordered = TensorSpec.model_validate(
        {**dict(town), "vocabulary": ("Ulm", "other", "Gera"), "maximum": 2}
    )
    other = replace(
        trained.definition, tensors=trained.definition.tensors.with_inputs({"town": reordered})
    )

    own = published.answers(trained.definition, trained.holdout.inputs)["price"]
    asked = published.answers(other, trained.holdout.inputs)["price"]

    assert np.array_equal(own, asked)
    evaluation = evaluate(trained.definition, trained.candidate, published, trained.holdout)
    assert evaluation.incomparable == ""


def test_a_predictor_is_compared_with_its_schema_at_every_length(trained: Trained) -> None:
    predictor = trained.candidate.read("predictor.tflite")
    tensors = trained.definition.tensors

    check_predictor(predictor, tensors)
    flagless = TensorSpec(name="age", datatype="FP32", shape=())
    with pytest.raises(ConfigurationError, match=r"'age_missing'.*build its inputs from"):
        check_predictor(predictor, tensors.with_inputs({"age": flagless}))
    renamed = Schema(
        inputs=tensors.inputs, outputs=(TensorSpec(name="cost", datatype="FP32", shape=(1,)),)
    )
    with pytest.raises(ConfigurationError, match=r"does not give \{'cost': 'float32'\}"):
        check_predictor(predictor, renamed)
    wider = Schema(
        inputs=tensors.inputs, outputs=(TensorSpec(name="price", datatype="FP32", shape=(2,)),)
    )
    with pytest.raises(ConfigurationError, match=r"the shape \(2, 1\), expected \(2, 2\) at the"):
        check_predictor(predictor, wider)


def test_a_row_is_answered_alike_at_each_declared_length(trained: Trained) -> None:
    tensors = trained.definition.tensors
    predictor = trained.candidate.read("predictor.tflite")
    lengths = np.array([len(row) for row in trained.holdout.inputs["steps"]])
    short = trained.holdout.take(lengths <= 2)

    alone = encode(tensors, short.inputs)
    together = encode(tensors, trained.holdout.inputs)

    assert (alone["steps"].shape[1], together["steps"].shape[1]) == (2, 5)
    price = answers(predictor, together)["price"][lengths <= 2]
    assert np.allclose(answers(predictor, alone)["price"], price, atol=1e-5)


def test_rows_without_anything_to_learn_refuse_the_run_with_the_reason() -> None:
    table = rows(4).set_column(3, "age", [[None] * 4])

    with pytest.raises(Unlearnable, match="age: every value is missing"):
        learn(DEFINITION, table)


def test_a_model_that_learns_nothing_is_the_same_definition() -> None:
    complete = learn(DEFINITION, rows(50))
    plain = replace(complete, learned={})

    assert learn(plain, rows(1)) is plain
