"""One trial of a search: `python -m overnight.tasks.training.trial_worker FOLDER`.

It fits as `request.json` in the folder says, prints its progress as lines of JSON with the
validation loss of each epoch, and keeps nothing.
"""

import json
import os
import sys
from pathlib import Path

from overnight.models.definition import TrainingSettings
from overnight.tasks.child_process import ends_with_parent
from overnight.tasks.training.examples_file import load
from overnight.tasks.training.network_module import NetworkModule
from overnight.tasks.training.worker import print_progress, split


def main(folder: Path) -> None:
    """Fit with the requested settings on the rows that the request names."""
    request = json.loads((folder / "request.json").read_text())
    settings = TrainingSettings.model_validate(request["settings"])
    network = NetworkModule(request["network"])
    rows = load(Path(request["rows"]))
    training, validation = split(rows, settings, request["validation"])
    network.fit(training, validation, settings=settings, report=print_progress)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    ends_with_parent()
    main(Path(sys.argv[1]))
