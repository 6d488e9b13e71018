"""A copy of the demonstration's project, and the digits that its clients will send."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.monitoring.demo import writers
from benchmarks.monitoring.demo.traffic import Digits
from overnight.models.definition import Places
from overnight.models.digits import idx, mnist_files

PROJECT = Path(__file__).with_name("project")
_ORDER = 1


@dataclass(frozen=True)
class Size:
    """What the copy's model is trained and judged on; the defaults are those of the project."""

    census_rows: int = 1_000
    holdout_every: int = 1
    network: str = "overnight.models.digits.network"
    epochs: int = 14
    learning_rate: float = 0.02
    least_accuracy: float = 0.95
    labels_per_false_alarm: int = 100_000


def copy_project(folder: Path, size: Size) -> None:
    """Copy the project into a folder that is not there yet."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__", ".overnight"))
    # Its clients share the rule with its source.
    shutil.copy(writers.__file__, folder / "forms")
    constants = {
        "source.py": {"CENSUS_ROWS": size.census_rows, "HOLDOUT_EVERY": size.holdout_every},
        "__init__.py": {
            "NETWORK": size.network,
            "EPOCHS": size.epochs,
            "LEARNING_RATE": size.learning_rate,
            "LEAST_ACCURACY": size.least_accuracy,
            "LABELS_PER_FALSE_ALARM": size.labels_per_false_alarm,
        },
    }
    for file, values in constants.items():
        path = folder / "forms" / file
        text = path.read_text()
        for name, value in values.items():
            text, replaced = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", text)
            if replaced != 1:
                raise ValueError(f"{path} defines {name} {replaced} times")
        path.write_text(text)


@dataclass(frozen=True)
class Writers:
    """Digits that the first champion never saw: of other Census forms, and of students."""

    census: Digits
    students: Digits


def writers_of(places: Places, size: Size) -> Writers:
    """The rest of the Census images of the training file, and the students' of the test file."""
    files = mnist_files.official_files(places)
    later = writers.census_positions()[size.census_rows :]
    # They lie in the file writer by writer, and a day should have digits of many.
    students = np.random.default_rng(_ORDER).permutation(writers.FIRST_CENSUS_TEST)
    return Writers(
        census=_digits(files, mnist_files.TRAIN_IMAGES, mnist_files.TRAIN_LABELS, later),
        students=_digits(files, mnist_files.TEST_IMAGES, mnist_files.TEST_LABELS, students),
    )


def _digits(files: mnist_files.Files, images: str, labels: str, chosen: np.ndarray) -> Digits:
    return Digits(
        images=idx.decode(images, files[images], idx.IMAGES)[chosen],
        labels=idx.decode(labels, files[labels], idx.LABELS)[chosen].astype(np.int8),
    )
