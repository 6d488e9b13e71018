"""Ask candidate and champion the same holdout rows, whole, by slice and perturbed."""

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import Robust
from overnight.models.metrics.classification import Mask
from overnight.models.metrics.equivalence import same
from overnight.models.metrics.evaluation import Evaluation, Paired, RowMetric
from overnight.store.registry.manifest import Measurement
from overnight.tasks.training.train import Candidate

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

    The candidate is measured by the network's own answers; how far its exported predictor's are
    from them is measured too, and the rehearsal does so for the served ones. With the champion it
    is compared as both are served: predictor with predictor. Perturbed rows are the predictor's.
    """
    outputs = predictions(candidate)
    measurements = definition.measure(holdout, outputs)
    predictor = candidate.read("predictor.tflite")
    exported = answers(predictor, holdout.inputs)
    mine = Evaluation(
        measurements=(),
        exported=same(definition.tensors, outputs, exported, near=definition.near),
        rows=_rows(definition, holdout, exported),
        slices=holdout.slices,
    )
    for name in definition.perturbations:
        measurements += _perturbed(definition, predictor, holdout, name)
    mine = replace(mine, measurements=measurements)
    if champion is None:
        return mine
    theirs = answers(champion.predictor, holdout.inputs)
    return replace(
        mine,
        champion=champion.version,
        champion_measurements=definition.measure(holdout, theirs),
        paired=pairs(
            holdout, definition.correct(holdout, exported), definition.correct(holdout, theirs)
        ),
        champion_rows=_rows(definition, holdout, theirs),
    )


def _perturbed(
    definition: ModelDefinition, predictor: bytes, holdout: Examples, name: str
) -> tuple[Measurement, ...]:
    """The metrics that the gates ask for under a perturbation, which is their slice's name."""
    inputs = definition.perturbations[name](holdout.inputs)
    wanted = {gate.metric for gate in definition.gates if isinstance(gate, Robust)} or {"accuracy"}
    whole = replace(holdout, inputs=inputs, slices={})
    return tuple(
        measured.model_copy(update={"slice": name})
        for measured in definition.measure(whole, answers(predictor, inputs))
        if measured.metric in wanted and not measured.slice
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


def compare_on_rows(
    definition: ModelDefinition, rows: Examples, mine: Outputs, theirs: Outputs, *, champion: str
) -> Evaluation:
    """Two that answered the same labelled rows, whichever rows these are."""
    return Evaluation(
        measurements=definition.measure(rows, mine),
        rows=_rows(definition, rows, mine),
        slices=rows.slices,
        champion=champion,
        champion_measurements=definition.measure(rows, theirs),
        paired=pairs(rows, definition.correct(rows, mine), definition.correct(rows, theirs)),
        champion_rows=_rows(definition, rows, theirs),
    )


def _rows(
    definition: ModelDefinition, holdout: Examples, outputs: Outputs
) -> tuple[RowMetric, ...]:
    return definition.per_row(holdout, outputs) if definition.per_row else ()


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
