"""Ask candidate and champion the same holdout rows, whole, by slice and perturbed."""

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from models.definition import Array, Examples, ModelDefinition, Outputs
from models.evaluation import Evaluation, Paired
from models.metrics import Mask, share
from tasks.train import Candidate

_BATCH_ROWS = 500


@dataclass(frozen=True)
class Champion:
    """The version that serves, as bytes of its predictor: evaluated anew on tonight's holdout."""

    version: str
    predictor: bytes


def evaluate(
    definition: ModelDefinition,
    candidate: Candidate,
    champion: Champion | None,
    holdout: Examples,
) -> Evaluation:
    """Measure both on the same rows.

    The candidate is measured by the network's own answers; that the served answers are the same
    is what the rehearsal shows. Perturbed rows are answered by its predictor.
    """
    outputs = predictions(candidate)
    correct = definition.correct(holdout, outputs)
    measurements = definition.measure(holdout, outputs)
    predictor = candidate.read("predictor.tflite")
    for name, perturb in definition.perturbations.items():
        perturbed = answers(predictor, perturb(holdout.inputs))
        hits = definition.correct(holdout, perturbed)
        measurements += (share("accuracy", hits, slice=name),)
    if champion is None:
        return Evaluation(measurements=measurements)
    theirs = answers(champion.predictor, holdout.inputs)
    return Evaluation(
        measurements=measurements,
        champion=champion.version,
        champion_measurements=definition.measure(holdout, theirs),
        paired=pairs(holdout, correct, definition.correct(holdout, theirs)),
    )


def draw(
    definition: ModelDefinition, candidate: Candidate, holdout: Examples, folder: Path
) -> dict[str, Path]:
    """The model's own pictures of how it does, as files by title."""
    drawn = importlib.import_module(definition.pictures).pictures(
        holdout, predictions(candidate), candidate.fitted.history
    )
    paths = {}
    for title, body in drawn.items():
        paths[title] = folder / f"{title.lower().replace(' ', '-')}.png"
        paths[title].write_bytes(body)
    return paths


def predictions(candidate: Candidate) -> dict[str, Array]:
    """What the trained network itself answered for the holdout."""
    with np.load(io.BytesIO(candidate.read("predictions.npz")), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def pairs(holdout: Examples, candidate: Mask, champion: Mask) -> tuple[Paired, ...]:
    """Who was right where, whole and by slice."""
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


def answers(predictor: bytes, inputs: Mapping[str, Array]) -> Outputs:
    """What a predictor answers, row by row; all its outputs by name."""
    interpreter = Interpreter(model_content=predictor, num_threads=2)
    runner = interpreter.get_signature_runner()
    n = len(next(iter(inputs.values())))
    # Every batch has the same size, the last one padded, so that nothing is planned twice.
    parts: list[dict[str, Array]] = []
    for start in range(0, n, _BATCH_ROWS):
        rows = np.minimum(np.arange(start, start + _BATCH_ROWS), n - 1)
        parts.append(runner(**{name: array[rows] for name, array in inputs.items()}))
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
