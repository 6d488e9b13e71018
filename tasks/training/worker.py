"""The training process: reads a request in a folder and leaves a network there.

Run as `python -m overnight.tasks.training.worker FOLDER`.

It prints one line of JSON for each step forward, and nothing else of meaning. TensorFlow is
imported here and nowhere else in a walk.
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
from overnight.models.examples import Array, Examples
from overnight.store.objects.digests import digest
from overnight.tasks.training.child_process import ends_with_parent
from overnight.tasks.training.train import FITTED, START, FittedRun


def main(folder: Path) -> None:
    """Fit as the request says, answer the holdout, export, and sign off with `fitted.json`."""
    began = time.monotonic()
    request = json.loads((folder / "request.json").read_text())
    settings = TrainingSettings.model_validate(request["settings"])
    network = importlib.import_module(request["network"])
    training, validation = split(load(folder / "training.npz"), settings)
    begun = request.get("continued_from")
    start = {"start": folder / START} if begun else {}
    model, history = network.fit(training, validation, settings=settings, report=tell, **start)
    holdout = load(folder / "holdout.npz")
    # int8 or float is decided by the very rows that the rehearsal asks for.
    files = network.export(model, holdout.inputs if holdout.n else validation.inputs)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    np.savez(folder / "predictions.npz", **network.predict(model, holdout.inputs))
    kept = [*files, "predictions.npz"]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    fitted = FittedRun(
        created_at=datetime.now(UTC),
        settings=settings,
        history=tuple(history),
        files={name: digest((folder / name).read_bytes()) for name in kept},
        training_rows=training.n,
        validation_rows=validation.n,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        seconds=time.monotonic() - began,
        continued_from=begun,
    )
    written = folder / (FITTED + ".part")
    written.write_text(fitted.model_dump_json(indent=2))
    written.replace(folder / FITTED)


def tell(progress: Progress) -> None:
    """Say how far we are."""
    print(progress.model_dump_json(), flush=True)


def load(path: Path) -> Examples:
    """Rows as `train` left them."""
    with np.load(path, allow_pickle=False) as arrays:
        inputs: dict[str, Array] = {
            name.removeprefix("input."): arrays[name]
            for name in arrays.files
            if name.startswith("input.")
        }
        return Examples(inputs=inputs, labels=arrays["labels"])


def split(examples: Examples, settings: TrainingSettings) -> tuple[Examples, Examples]:
    """Set a share of the training rows aside for validation, drawn by the seed."""
    order = np.random.default_rng(settings.seed).permutation(examples.n)
    held = max(1, round(examples.n * settings.validation_share))
    return _rows(examples, np.sort(order[held:])), _rows(examples, np.sort(order[:held]))


def _rows(examples: Examples, rows: Array) -> Examples:
    return Examples(
        inputs={name: array[rows] for name, array in examples.inputs.items()},
        labels=examples.labels[rows],
    )


if __name__ == "__main__":
    # Warnings of the runtime belong into the log, once; the GPU that is not there into none.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    ends_with_parent()
    main(Path(sys.argv[1]))
