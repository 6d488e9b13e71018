"""What a search for better settings came to."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.tasks.errors import StepFailed


@dataclass(frozen=True)
class Trial:
    """One fit: its settings, and the lowest validation loss of its epochs.

    `state` is complete, given up (its epochs were worse than most), or failed.
    """

    number: int
    settings: Mapping[str, float]
    state: str
    loss: float | None = None
    why: str = ""

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.4g}" for name, value in self.settings.items())
        loss = "" if self.loss is None else f", validation loss {self.loss:.5f}"
        return f"trial {self.number} ({told}): {self.state}{loss}"


@dataclass(frozen=True)
class Search:
    """All trials in the order in which they began; the first had the settings that hold now."""

    trials: tuple[Trial, ...]

    def __str__(self) -> str:
        return str(self.best) if self.complete else "nothing yet"

    @property
    def complete(self) -> list[Trial]:
        """Those that came to a loss."""
        return [trial for trial in self.trials if trial.state == "complete"]

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss; of equal ones the first.

        Raises:
            StepFailed: none came to a loss.
        """
        if not self.complete:
            why = next((trial.why for trial in self.trials if trial.why), "")
            raise StepFailed(f"none of {len(self.trials)} trials came to an end: {why}")
        return min(self.complete, key=lambda trial: (trial.loss, trial.number))

    @property
    def improved(self) -> bool:
        """Whether anything was better than the settings that hold now, when these were tried."""
        return self.trials[0].state == "complete" and self.best.number != 0
