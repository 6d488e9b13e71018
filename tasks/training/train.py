"""Trains a candidate in a process of its own, once for each fingerprint."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from overnight.models.definition import ModelDefinition, Progress, TrainingSettings
from overnight.models.examples import Examples
from overnight.models.metrics.equivalence import Tolerance, Tolerances
from overnight.store.local_files import lock
from overnight.store.objects.digests import digest
from overnight.store.objects.keys import new_version
from overnight.store.values import Value
from overnight.tasks import child_process
from overnight.tasks.training.examples_file import save

FITTED = "fitted.json"
START = "start.keras"
# Written by a network's `export` next to its files: `manifest.Exported` as JSON.
EXPORTED = "exported.json"
# Written by the training process of a model that declares novelty: `NoveltyRule` as JSON.
NOVELTY = "novelty.json"


class FittedRun(Value):
    """The result of a fit, written last: if it is there, the files of its folder are complete."""

    created_at: datetime
    settings: TrainingSettings
    history: tuple[dict[str, float], ...]
    files: dict[str, str]
    training_rows: int
    validation_rows: int
    cpu_seconds: float
    seconds: float
    continued_from: str | None = None
    as_it_is: bool = False


@dataclass(frozen=True)
class Start:
    """The version whose weights a fit starts from, and its `network.keras`."""

    version: str
    network: bytes


@dataclass(frozen=True)
class Candidate:
    """A trained, unpublished network: its folder and the result of its fit."""

    model: str
    version: str
    fingerprint: str
    folder: Path
    fitted: FittedRun

    def read(self, name: str) -> bytes:
        """The bytes of one of its files."""
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
    checkout: Path | None = None,
) -> Candidate:
    """Fit a network, or return the result of an earlier run with the same fingerprint.

    The worker answers the holdout only after the fit. With `start` the fit continues from those
    weights. `checkout` is the source tree whose code fits, by default this one.

    Raises:
        StepFailed: the training process died or took longer than `seconds`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Two runs of one fingerprint must not fit at once: the second finds what the first left.
    with lock(folder / ".lock"):
        fitted = _finished(folder)
        if fitted is None:
            (folder / FITTED).unlink(missing_ok=True)
            save(folder / "training.npz", training.encoded(definition.tensors))
            save(folder / "holdout.npz", holdout.encoded(definition.tensors))
            if start is not None:
                (folder / START).write_bytes(start.network)
            worker, network = _module_names(definition.network, checkout)
            # Workers of earlier revisions read it, too, so its names stay.
            request = {
                "network": network,
                "settings": settings.model_dump(),
                "continued_from": start.version if start else None,
                "tolerance": _tolerance(definition.tolerance),
                "validation": definition.validation,
                "novelty": asdict(definition.novelty) if definition.novelty else None,
            }
            (folder / "request.json").write_text(json.dumps(request))
            child_process.run(
                worker,
                [str(folder.absolute())],
                log=folder / "fit.log",
                seconds=seconds,
                checkout=checkout,
                on_line=lambda line: _report_progress(line, report),
            )
            # Tens of megabytes that no later step reads.
            (folder / "training.npz").unlink()
            fitted = _finished(folder)
            assert fitted is not None, f"the fit in {folder} exited with 0 and left no result"
    return Candidate(
        model=definition.name,
        version=new_version(fingerprint, fitted.created_at.astimezone(UTC)),
        fingerprint=fingerprint,
        folder=folder,
        fitted=fitted,
    )


def _module_names(network: str, checkout: Path | None) -> tuple[str, str]:
    """The training process and the network's module, by their names in that checkout."""
    is_ours = network.startswith("overnight.")
    if checkout is None or not is_ours or (checkout / "overnight").is_dir():
        return "overnight.tasks.training.worker", network
    # Revisions from before the one package: the versions that they trained are reproduced, too.
    # Not as one literal: the import closure takes a dotted name in a string for a module.
    return ".".join(("tasks", "fit")), network.removeprefix("overnight.")  # noqa: FLY002


def _tolerance(tolerance: Tolerances) -> dict[str, Any]:
    """One tolerance, or one by output, as plain values."""
    if isinstance(tolerance, Tolerance):
        return asdict(tolerance)
    return {output: asdict(own) for output, own in tolerance.items()}


def _report_progress(line: str, report: Callable[[Progress], None]) -> None:
    """Report a line of progress; other lines are output of libraries and are ignored."""
    if line.startswith("{"):
        try:
            report(Progress.model_validate_json(line))
        except ValidationError:
            return


def _finished(folder: Path) -> FittedRun | None:
    """The result of a fit; None if it is missing or a file differs from its digest."""
    try:
        fitted = FittedRun.model_validate_json((folder / FITTED).read_bytes())
        is_complete = all(
            digest((folder / name).read_bytes()) == sha256 for name, sha256 in fitted.files.items()
        )
    except (FileNotFoundError, ValidationError):
        return None
    return fitted if is_complete else None
