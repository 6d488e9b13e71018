"""The training process: `python -m overnight.tasks.training.worker FOLDER`.

It reads `request.json` in the folder, and leaves the network's files and `fitted.json` there. It
prints a line of JSON for each step of progress. No other module of a pipeline run imports
TensorFlow.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from overnight.models import validation
from overnight.models.definition import Progress, TrainingSettings
from overnight.models.examples import Array, Examples
from overnight.models.metrics.equivalence import Tolerance, Tolerances
from overnight.models.novelty import Novelty
from overnight.models.validation import Validation
from overnight.store.objects.digests import digest
from overnight.tasks.child_process import ends_with_parent
from overnight.tasks.training.examples_file import load
from overnight.tasks.training.network_module import NetworkModule
from overnight.tasks.training.novelty_rule import novelty_rule
from overnight.tasks.training.predictor_check import check_predictor
from overnight.tasks.training.train import FITTED, NOVELTY, START, FittedRun


def main(folder: Path) -> None:
    """Fit as requested, answer the holdout, export, and write `fitted.json` last."""
    began = time.monotonic()
    request = json.loads((folder / "request.json").read_text())
    settings = TrainingSettings.model_validate(request["settings"])
    network = NetworkModule(request["network"])
    rows = load(folder / "training.npz")
    start_version = request.get("continued_from")
    start = folder / START if start_version else None
    if settings.epochs:
        training, held_out = split(rows, settings, request.get("validation", "automatic"))
        model, history = network.fit(
            training, held_out, settings=settings, report=print_progress, start=start
        )
    else:
        # Nothing is learned, so every row may be measured on.
        training, held_out, start_version = rows, rows.take(np.arange(0)), None
        model, history = network.as_it_is(rows, settings), []
    holdout = load(folder / "holdout.npz")
    # The export chooses int8 or float by the rows that the rehearsal will request.
    sample = next(part for part in (holdout, held_out, training) if part.n).inputs
    files = export(network, model, sample, training, held_out, request)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    np.savez(folder / "predictions.npz", **network.predict(model, holdout.inputs))
    file_names = [*files, "predictions.npz"]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    fitted = FittedRun(
        created_at=datetime.now(UTC),
        settings=settings,
        history=tuple(history),
        files={name: digest((folder / name).read_bytes()) for name in file_names},
        training_rows=training.n,
        validation_rows=held_out.n,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        seconds=time.monotonic() - began,
        continued_from=start_version,
        as_it_is=not settings.epochs,
    )
    # Renamed into place: a killed process leaves no half result.
    part = folder / (FITTED + ".part")
    part.write_text(fitted.model_dump_json(indent=2))
    part.replace(folder / FITTED)


def export(
    network: NetworkModule,
    model: Any,
    sample: Mapping[str, Array],
    training: Examples,
    held_out: Examples,
    request: Mapping[str, Any],
) -> dict[str, bytes]:
    """The files of a bundle, checked, and the rule of novelty where the model declares it.

    A score that cannot be calibrated on the rows that were held out would cost time and flag
    nothing, so there is none.
    """
    novelty, tensors = requested_novelty(request), training.tensors
    is_scored = novelty is not None and held_out.n >= novelty.rows_needed
    exported = network.export(
        model,
        sample,
        tensors=tensors,
        tolerance=requested_tolerance(request),
        score_rows=training if is_scored else None,
    )
    if tensors is not None:
        check_predictor(exported["predictor.tflite"], tensors)
    if novelty is None:
        return dict(exported)
    rule = novelty_rule(novelty, exported["predictor.tflite"], training, held_out)
    return {**exported, NOVELTY: rule.model_dump_json().encode()}


def print_progress(progress: Progress) -> None:
    """Print progress for the parent process."""
    print(progress.model_dump_json(), flush=True)


def split(
    examples: Examples, settings: TrainingSettings, by: Validation = "automatic"
) -> tuple[Examples, Examples]:
    """Split off the rows that validate; returns training and validation."""
    return validation.split(examples, by=by, share=settings.validation_share, seed=settings.seed)


def requested_tolerance(request: Mapping[str, Any]) -> Tolerances:
    """The tolerance of a request: one, or one by output."""
    tolerance = request.get("tolerance", {})
    if all(isinstance(value, Mapping) for value in tolerance.values()):
        return {output: Tolerance(**fields) for output, fields in tolerance.items()}
    return Tolerance(**tolerance)


def requested_novelty(request: Mapping[str, Any]) -> Novelty | None:
    """When inputs count as unlike the training rows, as the model declares it; or never."""
    declared = request.get("novelty")
    return None if declared is None else Novelty(**declared)


if __name__ == "__main__":
    # Keeps TensorFlow's messages about a missing GPU out of the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    ends_with_parent()
    main(Path(sys.argv[1]))
