"""Train a candidate in a process of its own, once for each fingerprint."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from overnight.models.definition import ModelDefinition, Progress, TrainingSettings
from overnight.models.examples import Examples
from overnight.store.local_files import lock
from overnight.store.objects.digests import digest
from overnight.store.objects.keys import new_version
from overnight.store.values import Value
from overnight.tasks.training import child_process

FITTED = "fitted.json"
START = "start.keras"
# Written by a network's `export` next to its files: `manifest.Exported` as JSON.
EXPORTED = "exported.json"


class FittedRun(Value):
    """What a fit left in its folder, written last: the folder is whole when this is."""

    created_at: datetime
    settings: TrainingSettings
    history: tuple[dict[str, float], ...]
    files: dict[str, str]
    training_rows: int
    validation_rows: int
    cpu_seconds: float
    seconds: float
    continued_from: str | None = None


@dataclass(frozen=True)
class Start:
    """The version, and its `network.keras`, whose weights a fit goes on from."""

    version: str
    network: bytes


@dataclass(frozen=True)
class Candidate:
    """A trained network that nobody has seen yet: its folder and what is known of it."""

    model: str
    version: str
    fingerprint: str
    folder: Path
    fitted: FittedRun

    def read(self, name: str) -> bytes:
        """One of its files."""
        return (self.folder / name).read_bytes()


def train(
    definition: ModelDefinition,
    settings: TrainingSettings,
    *,
    fingerprint: str,
    training: Examples,
    holdout: Examples,
    folder: Path,
    seconds: float,
    report: Callable[[Progress], None],
    start: Start | None = None,
    tree: Path | None = None,
) -> Candidate:
    """Fit, or take what an earlier run of the same fingerprint had finished.

    The holdout goes along only to be answered once the network is fixed. With `start` the fit
    goes on from those weights. `tree` is the checkout
    whose code fits, when it is not this one's.

    Raises:
        StepFailed: the training process died or took longer than `seconds`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # One process at a time; the next one finds what the first finished.
    with lock(folder / ".lock"):
        finished = _finished(folder) or _fit(
            definition,
            settings,
            training,
            holdout,
            folder=folder,
            seconds=seconds,
            report=report,
            start=start,
            tree=tree,
        )
    return Candidate(
        model=definition.name,
        version=new_version(fingerprint, finished.created_at.astimezone(UTC)),
        fingerprint=fingerprint,
        folder=folder,
        fitted=finished,
    )


def _fit(
    definition: ModelDefinition,
    settings: TrainingSettings,
    training: Examples,
    holdout: Examples,
    *,
    folder: Path,
    seconds: float,
    report: Callable[[Progress], None],
    start: Start | None,
    tree: Path | None,
) -> FittedRun:
    """Let the training process work in an empty folder, and read what it left."""
    (folder / FITTED).unlink(missing_ok=True)
    save(folder / "training.npz", training)
    save(folder / "holdout.npz", holdout)
    worker, network = _modules(definition.network, tree)
    request = {
        "network": network,
        "settings": settings.model_dump(),
        "continued_from": start.version if start else None,
    }
    if start is not None:
        (folder / START).write_bytes(start.network)
    (folder / "request.json").write_text(json.dumps(request))
    child_process.run(
        worker,
        [str(folder.absolute())],
        log=folder / "fit.log",
        seconds=seconds,
        tree=tree,
        line=lambda line: _told(line, report),
    )
    (folder / "training.npz").unlink()
    fitted = _finished(folder)
    assert fitted is not None, f"the fit in {folder} ended well and left nothing"
    return fitted


def _modules(network: str, tree: Path | None) -> tuple[str, str]:
    """The training process and the network's module, by the names that they have in `tree`."""
    if tree is None or (tree / "overnight").is_dir():
        return "overnight.tasks.training.worker", network
    # Revisions from before there was one package: versions that they trained are reproduced, too.
    # In parts, because a whole module's name in a string belongs to the import closure.
    return ".".join(("tasks", "fit")), network.removeprefix("overnight.")  # noqa: FLY002


def save(path: Path, examples: Examples) -> None:
    arrays: dict[str, Any] = {f"input.{name}": array for name, array in examples.inputs.items()}
    np.savez(path, labels=examples.labels, **arrays)


def _told(line: str, report: Callable[[Progress], None]) -> None:
    """Hand on a line of progress; whatever else a library prints is not ours to read."""
    if line.startswith("{"):
        try:
            report(Progress.model_validate_json(line))
        except ValidationError:
            return


def _finished(folder: Path) -> FittedRun | None:
    """What a fit left behind, when all of it is there and whole."""
    try:
        fitted = FittedRun.model_validate_json((folder / FITTED).read_text())
        whole = all(
            digest((folder / name).read_bytes()) == sha256 for name, sha256 in fitted.files.items()
        )
    except (FileNotFoundError, ValidationError):
        return None
    return fitted if whole else None
