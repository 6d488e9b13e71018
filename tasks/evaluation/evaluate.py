"""Evaluates candidate and champion on the same holdout rows: all, by slice, and perturbed."""

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import Robust
from overnight.models.metrics.classification import Mask
from overnight.models.metrics.equivalence import compare_outputs
from overnight.models.metrics.evaluation import Evaluation, Paired, RowMetric
from overnight.store.encoding import encode
from overnight.store.errors import IncomparableVersions
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.schema import Schema
from overnight.store.schema_translation import translation
from overnight.tasks.training.train import Candidate

_BATCH_ROWS = 500


@dataclass(frozen=True)
class PublishedPredictor:
    """The predictor of a published version, and the schema by which it encodes its rows."""

    version: str
    predictor: bytes
    tensors: Schema

    @classmethod
    def of(cls, manifest: Manifest, predictor: bytes) -> Self:
        """The predictor of the version that a manifest describes."""
        return cls(manifest.version, predictor, manifest.tensors)

    def answers(self, definition: ModelDefinition, inputs: Mapping[str, Array]) -> Outputs:
        """All outputs by name for rows that the definition encoded, with the definition's classes.

        Raises:
            IncomparableVersions: it does not know a category of the rows, or names other classes.
        """
        own = translation(definition.tensors, self.tensors)
        return own.outputs(answers(self.predictor, encode(self.tensors, own.inputs(inputs))))

    def answerable(self, definition: ModelDefinition, rows: Examples) -> Examples:
        """The rows whose categories it knows.

        Raises:
            IncomparableVersions: it names other classes.
        """
        mask = translation(definition.tensors, self.tensors).answerable(rows.inputs)
        return rows if mask.all() else rows.take(mask)


def evaluate(
    definition: ModelDefinition,
    candidate: Candidate,
    champion: PublishedPredictor | None,
    holdout: Examples,
) -> Evaluation:
    """Measure the candidate, and compare it with the champion on the same rows.

    The candidate's metrics are those of the trained network; how much its exported predictor
    deviates is measured too, and the rehearsal measures the served answers. The comparison with
    the champion is between the exported predictors, as is everything on perturbed rows. Each
    version is sent the rows in its own encoding; where that cannot be, the evaluation says why, and
    gates that compare refuse.
    """
    outputs = predictions(candidate)
    measurements = definition.measure(holdout, outputs)
    predictor = candidate.read("predictor.tflite")
    exported = answers(predictor, encode(definition.tensors, holdout.inputs))
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
    try:
        champion_outputs = champion.answers(definition, holdout.inputs)
    except IncomparableVersions as error:
        return replace(candidate_evaluation, champion=champion.version, incomparable=str(error))
    return replace(
        candidate_evaluation,
        champion=champion.version,
        champion_measurements=definition.measure(holdout, champion_outputs),
        paired=pairs(
            holdout,
            definition.correct(holdout, exported),
            definition.correct(holdout, champion_outputs),
        ),
        champion_rows=_rows(definition, holdout, champion_outputs),
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


def answers(predictor: bytes, inputs: Mapping[str, Array]) -> Outputs:
    """All outputs of a predictor by name, for n inputs of its network."""
    interpreter = Interpreter(model_content=predictor, num_threads=2)
    runner = interpreter.get_signature_runner()
    n = len(next(iter(inputs.values())))
    # LiteRT allocates its tensors again for every new batch size, so the last batch is padded.
    parts: list[dict[str, Array]] = []
    for start in range(0, n, _BATCH_ROWS):
        rows = np.minimum(np.arange(start, start + _BATCH_ROWS), n - 1)
        parts.append(runner(**{name: array[rows] for name, array in inputs.items()}))
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
