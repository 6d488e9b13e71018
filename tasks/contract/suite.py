"""Runs the checks of a model's contract, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overnight.models.definition import ModelDefinition, Places
from overnight.tasks.contract.checks import CHECKS, Check
from overnight.tasks.contract.failure import CheckFailed
from overnight.tasks.contract.first_steps import FirstSteps


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check; `skipped` when one that it needs does not hold."""

    check: str
    passed: bool
    message: str
    remedy: str = ""
    skipped: bool = False

    def __str__(self) -> str:
        mark = "ok" if self.passed else "skipped" if self.skipped else "FAILED"
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{mark:8}{self.check:12}{' '.join(self.message.split())}{remedy}"


def run(
    definition: ModelDefinition, places: Places, folder: Path, *, seconds: float = 300
) -> Iterator[Outcome]:
    """Check one model on the rows that its source has now; whatever is wrong is an outcome.

    Args:
        folder: for what is trained and exported.
        seconds: how long the fit may take, and the rehearsal.
    """
    steps = FirstSteps(definition, places, folder, seconds=seconds)
    failed: set[str] = set()
    for check in CHECKS.values():
        outcome = _outcome(check, steps, failed)
        if not outcome.passed:
            failed.add(check.name)
        yield outcome


def _outcome(check: Check, steps: FirstSteps, failed: set[str]) -> Outcome:
    if missing := [name for name in check.needs if name in failed]:
        return Outcome(check.name, False, f"without {missing[0]}", skipped=True)
    try:
        return Outcome(check.name, True, check.run(steps))
    except CheckFailed as failure:
        return Outcome(check.name, False, failure.message, failure.remedy)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        return Outcome(check.name, False, f"{type(error).__name__}: {error}", check.remedy)
