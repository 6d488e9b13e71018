"""Training progress as a Prefect progress artifact and log lines."""

import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from overnight.models.definition import Progress

# Each update is a request to the Prefect server; a step of a fit takes milliseconds.
_UPDATE_SECONDS = 1.0


def progress_line(progress: Progress) -> str:
    """The epoch and its metrics as text: `epoch 3 of 12, loss 0.0412, accuracy 0.9871`."""
    metrics = (f"{name} {value:.4g}" for name, value in progress.metrics.items())
    return ", ".join((f"epoch {progress.epoch} of {progress.epochs}", *metrics))


class ProgressReporter:
    """Updates the progress artifact of a run once a second, and logs each epoch's metrics."""

    def __init__(self, key: str, *, description: str = "Training") -> None:
        artifact = create_progress_artifact(progress=0.0, key=key, description=description)
        assert isinstance(artifact, UUID)
        self._artifact = artifact
        self._updated = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._updated >= _UPDATE_SECONDS:
            self._updated = now
            update_progress_artifact(
                self._artifact,
                progress=round(progress.share * 100, 1),
                description=f"Training: {progress_line(progress)}",
            )
        if progress.step == progress.steps and progress.metrics:
            get_run_logger().info("%s", progress_line(progress))

    def done(self) -> None:
        update_progress_artifact(self._artifact, progress=100.0)
