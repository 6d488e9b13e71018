"""One trial of a search: fits and prints how it validated.

Run as `python -m overnight.tasks.training.trial_worker FOLDER`.

It prints the progress of its fit, as JSON lines, and keeps nothing: what a trial is for is the
loss of its epochs.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from overnight.models.definition import TrainingSettings
from overnight.tasks.training.child_process import ends_with_parent
from overnight.tasks.training.worker import load, split, tell


def main(folder: Path) -> None:
    """Fit as `request.json` in the folder says, on the rows that it names."""
    request = json.loads((folder / "request.json").read_text())
    settings = TrainingSettings.model_validate(request["settings"])
    network = importlib.import_module(request["network"])
    training, validation = split(load(Path(request["rows"])), settings)
    network.fit(training, validation, settings=settings, report=tell)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    ends_with_parent()
    main(Path(sys.argv[1]))
