"""Evaluates candidate and champion on the same holdout rows: all, by slice, and perturbed."""

import importlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import Robust
from overnight.models.metrics.classification import Mask
from overnight.models.metrics.equivalence import compare_outputs
from overnight.models.metrics.evaluation import Evaluation, Paired, RowMetric
from overnight.store.encoding import encode
from overnight.store.errors import IncomparableVersions
from overnight.store.registry.manifest import Measurement
from overnight.tasks.evaluation.published import PublishedPredictor, answers, needed_outputs
from overnight.tasks.training.train import Candidate


def evaluate(
    definition: ModelDefinition,
    candidate: Candidate,
    champion: PublishedPredictor | None,
    holdout: Examples,
    part: NDArray[np.integer] | None = None,
) -> Evaluation:
    """Measure the candidate, and compare it with the champion on the same rows.

    The candidate's metrics are those of the trained network; how much its exported predictor
    deviates is measured too, and the rehearsal measures the served answers. The comparison with
    the champion is between the exported predictors, as is everything on perturbed rows. Each
    version is sent the rows by its own schema, and both are compared on those rows that both can
    answer; the evaluation says which are left out, and why, and whether none is left.

    Args:
        part: the rows of the holdout to evaluate on, all by default; `holdout` has the others as
            well, in the order in which the candidate predicted them.
    """
    outputs = predictions(candidate)
    if part is not None:
        holdout = holdout.take(part)
        outputs = {name: array[part] for name, array in outputs.items()}
    measurements = definition.measure(holdout, outputs)
    predictor = candidate.read("predictor.tflite")
    exported = exported_answers(definition, candidate, holdout)
    candidate_evaluation = Evaluation(
        measurements=(),
        exported=compare_outputs(
            definition.tensors, outputs, exported, tolerance=definition.tolerance
        ),
        rows=_rows(definition, holdout, exported),
        slices=holdout.slices,
    )
    for name in definition.perturbations:
        measurements += _perturbed(definition, predictor, holdout, name)
    candidate_evaluation = replace(candidate_evaluation, measurements=measurements)
    if champion is None:
        return candidate_evaluation
    return _compared(definition, candidate_evaluation, champion, holdout, exported)


def _compared(
    definition: ModelDefinition,
    evaluation: Evaluation,
    champion: PublishedPredictor,
    holdout: Examples,
    exported: Outputs,
) -> Evaluation:
    """The evaluation with the champion's answers on the rows that both can answer."""
    evaluation = replace(evaluation, champion=champion.version)
    try:
        shared = champion.comparable(definition, holdout)
        rows = holdout if shared.all else holdout.take(shared.rows)
        champion_outputs = champion.answers(definition, rows.inputs)
        with needed_outputs(definition, champion_outputs):
            measured = definition.measure(rows, champion_outputs)
            champion_rows = _rows(definition, rows, champion_outputs)
            champion_right = definition.correct(rows, champion_outputs)
    except IncomparableVersions as error:
        return replace(evaluation, incomparable=str(error))
    own = exported if shared.all else {n: array[shared.rows] for n, array in exported.items()}
    return replace(
        evaluation,
        champion_measurements=measured,
        paired=pairs(rows, definition.correct(rows, own), champion_right),
        champion_rows=champion_rows,
        left_out=shared.left_out,
        compared_rows=() if shared.all else _rows(definition, rows, own),
        compared_slices={} if shared.all else rows.slices,
    )


def _perturbed(
    definition: ModelDefinition, predictor: bytes, holdout: Examples, name: str
) -> tuple[Measurement, ...]:
    """The metrics that gates require under a perturbation; its name becomes their slice."""
    inputs = definition.perturbations[name](holdout.inputs)
    metrics = {gate.metric for gate in definition.gates if isinstance(gate, Robust)} or {"accuracy"}
    perturbed = replace(holdout, inputs=inputs, slices={})
    outputs = answers(predictor, encode(definition.tensors, inputs))
    return tuple(
        measurement.model_copy(update={"slice": name})
        for measurement in definition.measure(perturbed, outputs)
        if measurement.metric in metrics and not measurement.slice
    )


def draw(
    definition: ModelDefinition, candidate: Candidate, holdout: Examples, folder: Path
) -> dict[str, Path]:
    """Draw the model's own pictures of its errors; returns files by title."""
    # The schema has the names of the classes.
    named = replace(holdout, tensors=definition.tensors)
    pictures = importlib.import_module(definition.pictures).pictures(
        named, predictions(candidate), candidate.fitted.history
    )
    paths = {}
    for title, body in pictures.items():
        paths[title] = folder / f"{title.lower().replace(' ', '-')}.png"
        paths[title].write_bytes(body)
    return paths


def predictions(candidate: Candidate) -> dict[str, Array]:
    """The answers of the trained network, before its export, to the holdout."""
    # Without pickles, which could run code.
    with np.load(io.BytesIO(candidate.read("predictions.npz")), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def exported_answers(
    definition: ModelDefinition, candidate: Candidate, holdout: Examples
) -> Outputs:
    """The answers of the exported predictor, which is what serves, to the holdout."""
    predictor = candidate.read("predictor.tflite")
    return answers(predictor, encode(definition.tensors, holdout.inputs))


def pairs(holdout: Examples, candidate: Mask, champion: Mask) -> tuple[Paired, ...]:
    """Counts of rows by which of both versions is right, for all rows and by slice."""
    everything = {"": np.ones(holdout.n, bool), **holdout.slices}
    return tuple(
        Paired(
            slice=name,
            both=int((candidate & champion & rows).sum()),
            only_candidate=int((candidate & ~champion & rows).sum()),
            only_champion=int((~candidate & champion & rows).sum()),
            neither=int((~candidate & ~champion & rows).sum()),
        )
        for name, rows in everything.items()
    )


def compare_on_rows(
    definition: ModelDefinition,
    rows: Examples,
    outputs: Outputs,
    champion_outputs: Outputs,
    *,
    champion: str,
) -> Evaluation:
    """The evaluation of two versions that answered the same labelled rows."""
    return Evaluation(
        measurements=definition.measure(rows, outputs),
        rows=_rows(definition, rows, outputs),
        slices=rows.slices,
        champion=champion,
        champion_measurements=definition.measure(rows, champion_outputs),
        paired=pairs(
            rows, definition.correct(rows, outputs), definition.correct(rows, champion_outputs)
        ),
        champion_rows=_rows(definition, rows, champion_outputs),
    )


def _rows(
    definition: ModelDefinition, holdout: Examples, outputs: Outputs
) -> tuple[RowMetric, ...]:
    return definition.per_row(holdout, outputs) if definition.per_row else ()
