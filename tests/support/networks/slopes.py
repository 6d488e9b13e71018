"""A network without training whose loss follows from its settings, to test a search."""

import sys
import time

from overnight.models.definition import Progress, TrainingSettings
from overnight.models.examples import Examples


def fit(training: Examples, validation: Examples, *, settings: TrainingSettings, report) -> None:
    """Lose the squared distance of the rate from 0.02; a rate above 0.09 breaks the fit."""
    if settings.learning_rate > 0.09:
        sys.exit("the rate is too high")
    for epoch in range(1, settings.epochs + 1):
        loss = (settings.learning_rate - 0.02) ** 2 + 1 / (100 + epoch)
        time.sleep(0.01)
        report(
            Progress(
                epoch=epoch,
                epochs=settings.epochs,
                step=1,
                steps=1,
                metrics={"validation_loss": loss},
            )
        )
