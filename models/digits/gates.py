"""Gates of digits: what a version must satisfy before it is promoted."""

from collections.abc import Mapping

import numpy as np

from overnight.models.definition import Perturbation
from overnight.models.examples import Array
from overnight.models.gates import (
    AtLeast,
    BetterThan,
    Calibrated,
    Gate,
    MaximumRegression,
    Robust,
    SamePredictions,
    WithinBudget,
)

DIGITS = tuple(f"digit {digit}" for digit in range(10))
WRITERS = ("students", "census")
_SHIFT_PIXELS = 4
_DIRECTIONS = {
    "up": (-1, 0),
    "down": (1, 0),
    "left": (0, -1),
    "right": (0, 1),
    "up left": (-1, -1),
    "up right": (-1, 1),
    "down left": (1, -1),
    "down right": (1, 1),
}


def shifted(rows: int, columns: int) -> Perturbation:
    """A perturbation that moves every image by whole pixels, and fills with black."""

    def perturb(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        image = inputs["image"]
        height, width = image.shape[1:]
        moved = np.zeros_like(image)
        moved[
            :, max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)
        ] = image[
            :, max(-rows, 0) : height - max(rows, 0), max(-columns, 0) : width - max(columns, 0)
        ]
        return {"image": moved}

    return perturb


SHIFTS: Mapping[str, Perturbation] = {
    f"shifted {_SHIFT_PIXELS} pixels {name}": shifted(
        vertical * _SHIFT_PIXELS, horizontal * _SHIFT_PIXELS
    )
    for name, (vertical, horizontal) in _DIRECTIONS.items()
}


def inverted(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Invert every image to black on white, as some clients send it."""
    return {"image": np.asarray(255 - inputs["image"].astype(np.int16), np.uint8)}


PERTURBATIONS: Mapping[str, Perturbation] = {**SHIFTS, "inverted": inverted}

GATES: tuple[Gate, ...] = (
    AtLeast("accuracy", 0.99),
    AtLeast("accuracy", 0.98, slices=DIGITS),
    AtLeast("accuracy", 0.985, slices=WRITERS),
    Robust(at_least=0.97, perturbations=tuple(PERTURBATIONS)),
    Calibrated(at_most=0.01),
    BetterThan("accuracy", baseline="majority_accuracy"),
    # Networks of two seeds differ on some 30 to 60 of 10,000 rows: with this margin equals hardly
    # ever fail, and of candidates worse by it one in forty passes.
    MaximumRegression(margin=0.003),
    # A thousand rows of one digit prove little: they refuse only what is significantly worse.
    MaximumRegression(margin=0, slices=(*DIGITS, *WRITERS), presumed="no worse"),
    # Against candidates that are overconfident when wrong; the margin is half the usual log loss.
    MaximumRegression(metric="log_loss", margin=0.01),
    # int8 weights move probabilities a little, and change hardly any answer.
    SamePredictions(tolerance=0.25, changed_share=0.001),
    WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
)
