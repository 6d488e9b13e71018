"""The contract suite names what is wrong with a model, and what to do about it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import ModelDefinition, Places
from overnight.models.gates import AtLeast, AtMost, Calibrated, MaximumGap, MaximumRegression
from overnight.models.metrics.classification import classification
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.schema import TensorSpec
from overnight.tasks.contract.checks import CHECKS, unmeasured
from overnight.tasks.contract.first_steps import FirstSteps
from overnight.tasks.contract.suite import Outcome, _outcome, run
from tests.support.small_models import generated_rows
from tests.support.small_models.strokes import DEFINITION

UNTRAINED = ("definition", "sources", "rows", "data gates", "holdout", "gates")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, body in generated_rows.files("strokes").items():
        (folder / name).write_bytes(body)
    return Places(folder, tmp_path / "cache")


def untrained(definition: ModelDefinition, places: Places, folder: Path) -> dict[str, Outcome]:
    """The outcomes of the checks before the network is trained."""
    outcomes: dict[str, Outcome] = {}
    for outcome in run(definition, places, folder):
        outcomes[outcome.check] = outcome
        if outcome.check == UNTRAINED[-1]:
            break
    return outcomes


def test_a_starter_passes_what_needs_no_training(places: Places, tmp_path: Path) -> None:
    outcomes = untrained(DEFINITION, places, tmp_path)

    assert list(outcomes) == list(UNTRAINED)
    assert [str(outcome) for outcome in outcomes.values() if not outcome.passed] == []


@pytest.mark.parametrize(
    ("check", "change", "message", "remedy"),
    [
        (
            "definition",
            lambda d: replace(d, gates=()),
            "declares no gate, so every candidate would be promoted",
            "declare one",
        ),
        (
            "definition",
            lambda d: replace(d, network="tests.support.small_models.strokes.netwrok"),
            "network names the module tests.support.small_models.strokes.netwrok",
            "correct network=",
        ),
        (
            "data gates",
            lambda d: replace(d, data_gates=replace(d.data_gates, minimum_rows=1_000)),
            "240 rows, at least 1,000 are needed",
            "bring more rows",
        ),
        (
            "data gates",
            lambda d: replace(
                d,
                data_gates=DataGates(
                    columns=(
                        Column(TensorSpec(name="pixel00", datatype="INT32", shape=(), maximum=1)),
                    )
                ),
            ),
            "pixel00",
            "correct the rows or the declaration",
        ),
        (
            "holdout",
            lambda d: replace(
                d,
                tensors=d.tensors.model_copy(
                    update={
                        "inputs": (d.tensors.inputs[0].model_copy(update={"shape": (9, 9)}),)
                    }
                ),
            ),
            r"image: expected rows of shape \[9, 9\], found \[8, 8\]",
            "correct the tensors",
        ),
        (
            "gates",
            lambda d: replace(d, gates=(MaximumRegression(margin=0.1, minimum_rows=500),)),
            "can never hold: the holdout has 120 rows, and it needs at least 500",
            "bring a larger holdout",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_a_remedy(
    check: str,
    change: Callable[[ModelDefinition], ModelDefinition],
    message: str,
    remedy: str,
    places: Places,
    tmp_path: Path,
) -> None:
    outcome = untrained(change(DEFINITION), places, tmp_path)[check]

    line = str(outcome)
    assert line.startswith("FAILED")
    assert "\n" not in line
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(line)
    assert remedy in line


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "night-0001.csv").unlink(), "the source has no arrival now"),
        (
            lambda folder: (folder / "night-0001.csv").write_text("label,pixel00\n1,2\n"),
            "rejects a part of its own arrival night-0001: night-0001.csv: ",
        ),
        (lambda folder: (folder / "holdout.csv").unlink(), "holdout"),
    ],
)
def test_rows_that_are_not_there_are_named_and_what_needs_them_is_skipped(
    spoil: Callable[[Path], object], message: str, places: Places, tmp_path: Path
) -> None:
    assert places.folder is not None
    spoil(places.folder)

    outcomes = untrained(DEFINITION, places, tmp_path)

    assert message in outcomes["rows"].message
    assert outcomes["data gates"].skipped
    assert outcomes["gates"].skipped


def test_an_error_of_the_model_s_own_code_is_an_outcome(places: Places, tmp_path: Path) -> None:
    def examples(_rows):
        raise ZeroDivisionError("of the model")

    outcomes = untrained(replace(DEFINITION, examples=examples), places, tmp_path)

    assert "ZeroDivisionError: of the model" in outcomes["holdout"].message
    assert outcomes["gates"].skipped


def test_a_metric_that_is_not_measured_on_its_slice_is_reported() -> None:
    labels = np.array([0, 1] * 50)
    probabilities = np.where(labels[:, None] == [0, 1], 0.9, 0.1)
    slices = {"half": np.arange(100) < 50}
    evaluation = Evaluation(classification(labels, probabilities, slices), slices=slices)
    gates = (
        Calibrated(0.5, slices=("", "half"), minimum_rows=50),
        AtMost("log_loss", 1, slices=("half",)),
        AtMost("log_loss", 1),
        AtLeast("acuracy", 0.9),
        MaximumGap("accuracy", between="half", at_most=0.1),
    )
    declared = replace(DEFINITION, gates=gates, reinstatement=None)

    assert [name.split(": ")[1] for name in unmeasured(declared, evaluation)] == [
        "log_loss of half",
        "acuracy of all rows",
        "accuracy of two groups of half",
    ]
    assert all(finding.passed for finding in gates[0].findings(evaluation))


def test_every_check_names_checks_before_it() -> None:
    known: set[str] = set()
    for check in CHECKS.values():
        assert set(check.needs) <= known
        known.add(check.name)


def test_a_model_of_which_no_reference_can_be_made_is_found(places: Places, tmp_path: Path) -> None:
    def correct(*_: object) -> np.ndarray:
        raise ZeroDivisionError("of the model")

    def outcome(definition: ModelDefinition) -> Outcome:
        steps = FirstSteps(definition, places, tmp_path)
        n = steps.holdout.n
        specs = definition.tensors.outputs
        # Without its training, of which only the answers are of interest.
        steps.__dict__["predictions"] = {s.name: np.full((n, *s.shape), 0.5) for s in specs}
        return _outcome(CHECKS["reference"], steps, set())

    assert outcome(DEFINITION).passed, outcome(DEFINITION)
    broken = outcome(replace(DEFINITION, correct=correct))
    assert (broken.passed, broken.message) == (False, "ZeroDivisionError: of the model")
    assert "correct()" in broken.remedy
