"""Tells how far a fit has come, where people look: in the page and the log of its run."""

import time
from uuid import UUID

import numpy as np
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from overnight.models.definition import Progress

TELL_SECONDS = 1.0


class ProgressReporter:
    """Shows a fit's progress in the run's page, once a second, and each epoch in its log."""

    def __init__(self, key: str) -> None:
        found = create_progress_artifact(progress=0.0, key=key, description="Training")
        assert isinstance(found, UUID)
        self._artifact = found
        self._told = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            update_progress_artifact(self._artifact, progress=round(progress.share * 100, 1))
        if progress.step == progress.steps and progress.metrics:
            metrics = {k: float(np.round(v, 4)) for k, v in progress.metrics.items()}
            get_run_logger().info("epoch %s of %s: %s", progress.epoch, progress.epochs, metrics)

    def done(self) -> None:
        update_progress_artifact(self._artifact, progress=100.0)
