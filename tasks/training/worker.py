"""The training process: `python -m overnight.tasks.training.worker FOLDER`.

It reads `request.json` in the folder, and leaves the network's files and `fitted.json` there. It
prints a line of JSON for each step of progress. No other module of a pipeline run imports
TensorFlow.
"""

import importlib
import json
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from overnight.models.definition import Progress, TrainingSettings
from overnight.models.examples import Examples
from overnight.store.objects.digests import digest
from overnight.tasks.child_process import ends_with_parent
from overnight.tasks.training.examples_file import load
from overnight.tasks.training.predictor_check import check_predictor
from overnight.tasks.training.train import FITTED, START, FittedRun


def main(folder: Path) -> None:
    """Fit as requested, answer the holdout, export, and write `fitted.json` last."""
    began = time.monotonic()
    request = json.loads((folder / "request.json").read_text())
    settings = TrainingSettings.model_validate(request["settings"])
    network = importlib.import_module(request["network"])
    training, validation = split(load(folder / "training.npz"), settings)
    start_version = request.get("continued_from")
    start = {"start": folder / START} if start_version else {}
    model, history = network.fit(
        training, validation, settings=settings, report=print_progress, **start
    )
    holdout = load(folder / "holdout.npz")
    # The export chooses int8 or float by the rows that the rehearsal will request.
    files = network.export(model, holdout.inputs if holdout.n else validation.inputs)
    if training.tensors is not None:
        check_predictor(files["predictor.tflite"], training.tensors)
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
        validation_rows=validation.n,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        seconds=time.monotonic() - began,
        continued_from=start_version,
    )
    # Renamed into place: a killed process leaves no half result.
    part = folder / (FITTED + ".part")
    part.write_text(fitted.model_dump_json(indent=2))
    part.replace(folder / FITTED)


def print_progress(progress: Progress) -> None:
    """Print progress for the parent process."""
    print(progress.model_dump_json(), flush=True)


def split(examples: Examples, settings: TrainingSettings) -> tuple[Examples, Examples]:
    """Split off a random share of the rows for validation; returns training and validation."""
    order = np.random.default_rng(settings.seed).permutation(examples.n)
    validation_rows = max(1, round(examples.n * settings.validation_share))
    training, validation = order[validation_rows:], order[:validation_rows]
    return examples.take(np.sort(training)), examples.take(np.sort(validation))


if __name__ == "__main__":
    # Keeps TensorFlow's messages about a missing GPU out of the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    ends_with_parent()
    main(Path(sys.argv[1]))
