"""A new column from its first arrival to a version that is compared with a champion without it."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.gates import AtLeast, MaximumRegression
from overnight.store.schema import TensorSpec
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.snapshot import read_holdout, read_rows
from overnight.tasks.evaluation.evaluate import evaluate
from overnight.tasks.evaluation.judge import judge
from overnight.tasks.evaluation.published import PublishedPredictor
from overnight.tasks.training.train import Candidate, train
from tests.support.changing_wines import ACID, SUGAR, Cellar, Wines, definition

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]
FITTING = {
    "network": "tests.support.networks.wines",
    "settings": TrainingSettings(
        epochs=10,
        batch_rows=32,
        learning_rate=0.1,
        seed=1,
        validation_share=0.2,
        patience_epochs=10,
    ),
}
BEFORE = definition(ACID, **FITTING)
SWEET: TensorSpec = SUGAR.model_copy(update={"default": 0.0})
NOW = definition(ACID, SWEET, row_defaults={"sugar": 0.0}, **FITTING)


def wines(first: int, n: int, *, sugar: bool) -> dict[str, list[object]]:
    """Wines whose acid says little of their kind, and whose sugar says all."""
    random = np.random.default_rng(first)
    label = random.integers(0, 2, n)
    night = {
        "id": [*range(first, first + n)],
        "acid": (random.normal(0, 1, n) + 0.5 * label).tolist(),
        "label": label.tolist(),
    }
    return night | ({"sugar": (2.0 * label - 1).tolist()} if sugar else {})


def trained(cellar: Cellar, model: ModelDefinition, folder: Path) -> Candidate:
    """A candidate on the newest snapshot."""
    declared = DeclaredColumns.of(model)
    snapshot = cellar.snapshot(model)
    rows = read_rows(cellar.rows, snapshot, cellar.holdout, declared=declared)
    holdout = read_holdout(cellar.holdout, snapshot, declared=declared)
    return train(
        model,
        model.settings,
        fingerprint="0" * 64,
        training=model.examples(rows),
        holdout=model.examples(holdout),
        folder=folder,
        seconds=300,
        report=lambda _: None,
    )


def test_a_version_with_a_new_column_is_compared_with_a_champion_without_it(
    tmp_path: Path,
) -> None:
    source = Wines(
        wines(1_000, 300, sugar=False),
        wines(2_000, 300, sugar=True),
        held_out=wines(9_000, 200, sugar=False),
    )
    cellar = Cellar(tmp_path, source)
    # Given a champion of a night without sugar.
    cellar.ingest(BEFORE)
    then = trained(cellar, BEFORE, tmp_path / "then")
    champion = PublishedPredictor("then", then.read("predictor.tflite"), BEFORE.tensors)

    # When the second brings sugar, and the model declares it.
    assert cellar.ingest(NOW).rows_added == 300
    now = trained(cellar, NOW, tmp_path / "now")
    holdout = read_holdout(cellar.holdout, declared=DeclaredColumns.of(NOW))
    held_out = NOW.examples(holdout)
    evaluation = evaluate(NOW, now, champion, held_out)

    # Then both answer every row of the holdout, which knows no sugar.
    assert (evaluation.incomparable, evaluation.left_out) == ("", "")
    gates = [AtLeast("accuracy", 0.5), MaximumRegression(margin=0.2)]
    assert judge(evaluation, gates).undecided == ""
    assert all(finding.applicable for finding in judge(evaluation, gates).findings)
    # And on rows with sugar, the new version is the better one.
    night = cellar.rows.read()
    sweet = NOW.examples(night.filter(pc.equal(night.column("arrival"), "night-2")))
    own = PublishedPredictor("now", now.read("predictor.tflite"), NOW.tensors)
    right = [
        NOW.correct(sweet, version.answers(NOW, sweet.inputs)).mean() for version in (own, champion)
    ]
    assert right[0] > right[1] + 0.1
    # The champion's answers are what they were, and a later version without sugar can be compared.
    assert (
        np.asarray(champion.answers(NOW, held_out.inputs)["probabilities"])
        == np.asarray(champion.answers(BEFORE, {"acid": held_out.inputs["acid"]})["probabilities"])
    ).all()
    assert own.comparable(BEFORE, BEFORE.examples(holdout)).all
