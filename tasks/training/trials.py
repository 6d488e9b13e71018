"""The results of a search for better settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.tasks.errors import StepFailed


@dataclass(frozen=True)
class Trial:
    """One fit: its settings, and the lowest validation loss of its epochs.

    `state` is complete, pruned (its epochs were worse than the median), or failed.
    """

    number: int
    settings: Mapping[str, float]
    state: str
    loss: float | None = None
    why: str = ""

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value:.4g}" for name, value in self.settings.items())
        loss = "" if self.loss is None else f", validation loss {self.loss:.5f}"
        return f"trial {self.number} ({settings}): {self.state}{loss}"


@dataclass(frozen=True)
class Search:
    """All trials in order of their start; the first has the current settings."""

    trials: tuple[Trial, ...]

    def __str__(self) -> str:
        return str(self.best) if self.complete else "no complete trial yet"

    @property
    def complete(self) -> list[Trial]:
        """The trials with a validation loss."""
        return [trial for trial in self.trials if trial.state == "complete"]

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss; the first of equal ones.

        Raises:
            StepFailed: no trial is complete.
        """
        if not self.complete:
            why = next((trial.why for trial in self.trials if trial.why), "")
            raise StepFailed(f"none of {len(self.trials)} trials is complete: {why}")
        return min(self.complete, key=lambda trial: (trial.loss, trial.number))

    @property
    def improved(self) -> bool:
        """Whether a trial was better than the current settings; False if these have no loss."""
        return self.trials[0].state == "complete" and self.best.number != 0
