"""Each version is sent rows in its own encoding, wherever two versions meet.

The network is one of words: its answer is the sum of the numbers of three words of a row. The
champion numbers the words in another order than the model does now.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight import models
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples, Outputs
from overnight.models.gates import AtLeast, MaximumRegression, MinimumImprovement
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.evaluation import data_drift, reproduce
from overnight.tasks.evaluation.diff import difference
from overnight.tasks.evaluation.evaluate import evaluate
from overnight.tasks.evaluation.judge import judge
from overnight.tasks.evaluation.published import PublishedPredictor
from overnight.tasks.evaluation.reinstate import reconsider
from overnight.tasks.evaluation.score import score
from overnight.tasks.training.train import Candidate, FittedRun
from tests.support.examples import VERSION, manifest
from tests.support.serving import bundles

NETWORK = (Path(__file__).parents[2] / "goldens" / "tabular" / "predictor.tflite").read_bytes()
NOW, THEN = ("bread", "milk", "eggs", "jam"), ("jam", "eggs", "milk", "bread")
ROWS = np.random.default_rng(2).integers(0, 4, (200, 3)).astype(np.int32)


def tensors(*vocabulary: str) -> Schema:
    return Schema(
        inputs=(
            TensorSpec(name="price", datatype="FP32", shape=()),
            TensorSpec(name="promoted", datatype="BOOL", shape=()),
            TensorSpec(name="week", datatype="INT32", shape=(3,), vocabulary=vocabulary),
        ),
        outputs=(TensorSpec(name="units", datatype="FP32", shape=(1,)),),
    )


def rows_of(labels: np.ndarray) -> Examples:
    """The rows as the model encodes them now, with labels."""
    n = len(ROWS)
    inputs = {"price": np.zeros(n, np.float32), "promoted": np.zeros(n, bool), "week": ROWS}
    return Examples(inputs, labels)


# What each version answers to the same words.
OF_CHAMPION, OF_CANDIDATE = (3 - ROWS).sum(axis=1), ROWS.sum(axis=1)


def correct(rows: Examples, outputs: Outputs) -> np.ndarray:
    return np.asarray(np.ravel(outputs["units"]) == rows.labels)


def measure(rows: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    return (Measurement(metric="accuracy", value=float(correct(rows, outputs).mean()), n=rows.n),)


def examples(table: pa.Table) -> Examples:
    return rows_of(table.column("label").to_numpy())


DEFINITION: ModelDefinition = replace(
    models.find("digits"),
    tensors=tensors(*NOW),
    examples=examples,
    measure=measure,
    correct=correct,
    per_row=None,
    perturbations={},
    data_gates=DataGates(),
)
CHAMPION = PublishedPredictor("champion", NETWORK, tensors(*THEN))
CANDIDATE = PublishedPredictor("candidate", NETWORK, tensors(*NOW))


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    (tmp_path / "predictor.tflite").write_bytes(NETWORK)
    np.savez(tmp_path / "predictions.npz", units=OF_CANDIDATE[:, None].astype(np.float32))
    fitted = FittedRun(
        created_at=datetime.now(UTC),
        settings=DEFINITION.settings,
        history=(),
        files={},
        training_rows=1,
        validation_rows=1,
        cpu_seconds=1,
        seconds=1,
    )
    return Candidate("digits", VERSION, "0" * 64, tmp_path, fitted)


def test_a_candidate_is_not_better_because_the_champion_was_sent_its_numbers(
    candidate: Candidate,
) -> None:
    # Given rows that the champion has all right, in its own encoding, and the candidate few.
    evaluation = evaluate(DEFINITION, candidate, CHAMPION, rows_of(OF_CHAMPION))

    assert [measured.value for measured in evaluation.champion_measurements] == [1.0]
    assert evaluation.paired[0].only_candidate == 0
    (found,) = MaximumRegression(margin=0.01).findings(evaluation)
    assert not found.passed


def test_both_are_compared_on_the_rows_whose_categories_the_champion_knows(
    candidate: Candidate,
) -> None:
    lacking = replace(CHAMPION, tensors=tensors("jam", "eggs", "milk"))
    known = int((NOW.index("bread") != ROWS).all(axis=1).sum())

    evaluation = evaluate(DEFINITION, candidate, lacking, rows_of(OF_CANDIDATE))

    (found,) = MaximumRegression(margin=0.5, minimum_rows=known).findings(evaluation)
    assert found.applicable
    assert found.n == known
    assert evaluation.measurements[0].n == 200
    assert evaluation.champion_measurements[0].n == known
    assert f"{200 - known} of 200 rows are left out: 'week' has no category 'bread'" in (
        found.message
    )


def test_with_too_few_rows_left_a_person_decides(candidate: Candidate) -> None:
    lacking = replace(CHAMPION, tensors=tensors("jam", "eggs", "milk"))
    evaluation = evaluate(DEFINITION, candidate, lacking, rows_of(OF_CANDIDATE))

    verdict = judge(evaluation, [MaximumRegression(margin=0.01)], frozen_holdout=True)

    assert verdict.passed
    assert verdict.undecided.startswith(
        "a person decides, because it cannot be compared with champion: 83 rows are left, at least "
        "100 are needed; 117 of 200 rows are left out: 'week' has no category 'bread'"
    )


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (TensorSpec(name="cellar", datatype="FP32", shape=()), "takes the input 'cellar', which"),
        (TensorSpec(name="price", datatype="BOOL", shape=()), "'price' is FP32 in one of them"),
    ],
)
def test_a_comparison_that_cannot_be_made_leaves_the_decision_to_a_person(
    candidate: Candidate, other: TensorSpec, expected: str
) -> None:
    own = tensors(*THEN)
    inputs = [spec for spec in own.inputs if spec.name != other.name]
    changed = replace(CHAMPION, tensors=own.model_copy(update={"inputs": (*inputs, other)}))

    evaluation = evaluate(DEFINITION, candidate, changed, rows_of(OF_CANDIDATE))

    gates = [MaximumRegression(margin=0.01), MinimumImprovement(margin=0), AtLeast("accuracy", 0.9)]
    verdict = judge(evaluation, gates, frozen_holdout=True)
    assert verdict.passed
    assert expected in verdict.undecided
    assert [finding.applicable for finding in verdict.findings] == [False, False, True]
    # What needs no champion binds all the same, and an ordinary comparison is nobody's to decide.
    assert not judge(evaluation, [AtLeast("accuracy", 1.1)]).passed
    ordinary = evaluate(DEFINITION, candidate, CHAMPION, rows_of(OF_CANDIDATE))
    assert judge(ordinary, gates).undecided == ""


def test_a_champion_with_fewer_and_with_further_inputs_is_sent_its_own(
    candidate: Candidate,
) -> None:
    # The rows have a price more and know nothing of promotions, for which the champion says 0.
    own = tensors(*THEN)
    price, promoted, week = own.inputs
    with_default = promoted.model_copy(update={"default": 0})
    cellar = price.model_copy(update={"name": "cellar"})
    now = tensors(*NOW)
    definition = replace(
        DEFINITION,
        tensors=now.model_copy(update={"inputs": (price, cellar, now.inputs[2])}),
    )
    champion = replace(
        CHAMPION, tensors=own.model_copy(update={"inputs": (price, with_default, week)})
    )
    rows = rows_of(OF_CHAMPION).inputs
    inputs = {name: rows[name] for name in ("price", "week")}
    inputs["cellar"] = np.ones(200, np.float32)

    answered = champion.answers(definition, inputs)

    assert (np.ravel(answered["units"]) == OF_CHAMPION).all()


def stamped(labels: np.ndarray) -> pa.Table:
    n = len(labels)
    return pa.table(
        {
            "label": labels,
            "arrival": ["new"] * n,
            "arrived_at": [datetime.now(UTC)] * n,
            "arrival_row": range(n),
        }
    )


def test_a_live_score_is_that_of_the_version_in_its_own_encoding() -> None:
    champion = manifest().model_copy(update={"tensors": tensors(*THEN)})

    scored = score(
        ModelRegistry(MemoryBucket(), "digits"),
        DEFINITION,
        champion,
        NETWORK,
        rows=stamped(OF_CHAMPION),
        arrivals=("new",),
    )

    assert scored.unreadable == ()
    assert [each.headline.value for each in scored.scores if each.headline] == [1.0]


def test_an_arrival_that_the_champion_cannot_answer_is_reported_and_not_scored() -> None:
    champion = manifest().model_copy(update={"tensors": tensors("jam")})

    scored = score(
        ModelRegistry(MemoryBucket(), "digits"),
        DEFINITION,
        champion,
        NETWORK,
        rows=stamped(OF_CHAMPION),
        arrivals=("new",),
    )

    assert scored.scores == ()
    assert (
        f"new: {VERSION} cannot answer its rows: 195 of 200 rows are left out: 'week'"
        in (scored.unreadable[0])
    )


@pytest.mark.parametrize(
    ("labels", "expected"), [(OF_CHAMPION, "champion"), (OF_CANDIDATE, "candidate")]
)
def test_an_earlier_version_is_reinstated_by_its_own_answers(
    labels: np.ndarray, expected: str
) -> None:
    both = {"champion": CHAMPION, "candidate": CANDIDATE}
    earlier = both.pop(expected)

    better = reconsider(
        DEFINITION,
        MinimumImprovement(margin=0),
        champion=both.popitem()[1],
        earlier=[earlier],
        examples=rows_of(labels),
    )

    assert better is not None
    assert better.version == expected


def test_two_versions_that_mean_the_same_do_not_differ() -> None:
    # Given a version whose words are numbered the other way round, and its answers to its own.
    rows = rows_of(OF_CHAMPION)
    then, now = (each.answers(DEFINITION, rows.inputs) for each in (CHAMPION, CHAMPION))
    other = CANDIDATE.answers(DEFINITION, rows.inputs)
    both: tuple[Manifest, Manifest] = (manifest(), manifest())

    same = difference(DEFINITION, both, (then, now), holdout=rows)
    different = difference(DEFINITION, both, (then, other), holdout=rows)

    assert (same.changed, same.lost) == (0, 0)
    assert different.lost == int((OF_CHAMPION != OF_CANDIDATE).sum())


def test_drift_compares_the_champion_s_own_answers_and_leaves_out_what_it_cannot_answer() -> None:
    definition = replace(
        DEFINITION,
        data_gates=DataGates(
            output_statistics=lambda outputs: {"units": np.ravel(outputs["units"])}
        ),
    )
    lacking = replace(CHAMPION, tensors=tensors("jam", "eggs", "milk"))

    own = data_drift._describe_answers(rows_of(OF_CHAMPION), definition, CHAMPION)
    some = data_drift._describe_answers(rows_of(OF_CHAMPION), definition, lacking)

    assert (own.numbers["units"] == OF_CHAMPION).all()
    assert some.n == int((NOW.index("bread") != ROWS).all(axis=1).sum())


def test_a_version_is_reproduced_from_rows_encoded_as_they_were() -> None:
    made = manifest().model_copy(update={"tensors": tensors(*THEN)})

    rows = reproduce.as_recorded(DEFINITION, made, rows_of(OF_CHAMPION))

    assert (rows.inputs["week"] == 3 - ROWS).all()
    assert reproduce.lost_categories(DEFINITION, made) == ()
    older = manifest().model_copy(update={"tensors": tensors(*THEN, "salt")})
    assert reproduce.lost_categories(DEFINITION, older) == (
        "vocabulary: week had salt, which rows are read without now",
    )


def test_classes_in_another_order_are_matched_by_name() -> None:
    digits = models.find("digits")
    images = np.random.default_rng(1).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    turned = digits.tensors.model_copy(update={"labels": digits.tensors.labels[::-1]})
    answered = bundles.probabilities(1, images)

    version = PublishedPredictor("v", bundles.network(1), turned)
    outputs = version.answers(digits, {"image": images})

    assert np.asarray(outputs["probabilities"]) == pytest.approx(answered[:, ::-1], abs=1e-6)
    # The labels of rows are turned as well where the version is trained again.
    made = manifest().model_copy(update={"tensors": turned})
    rows = Examples({"image": images}, np.arange(50) % 10)
    assert (reproduce.as_recorded(digits, made, rows).labels == 9 - rows.labels).all()
