"""What a version of digits must show before it serves."""

from collections.abc import Callable, Mapping

import numpy as np

from models.definition import Array, Perturbation
from models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Gate,
    MaximumRegression,
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
    """Move every image by whole pixels; what leaves on one side does not come back on the other."""

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


PERTURBATIONS: Mapping[str, Callable[[Mapping[str, Array]], Mapping[str, Array]]] = {
    f"shifted {_SHIFT_PIXELS} pixels {name}": shifted(
        vertical * _SHIFT_PIXELS, horizontal * _SHIFT_PIXELS
    )
    for name, (vertical, horizontal) in _DIRECTIONS.items()
}

GATES: tuple[Gate, ...] = (
    AtLeast("accuracy", 0.99),
    AtLeast("accuracy", 0.98, slices=DIGITS),
    AtLeast("accuracy", 0.985, slices=WRITERS),
    AtLeast("accuracy", 0.97, slices=tuple(PERTURBATIONS)),
    AtMost("calibration_error", 0.01),
    BetterThan("accuracy", baseline="majority_accuracy"),
    # Two equal networks differ on some 60 of 10,000 rows, so the interval's half-width is about
    # 0.0015: with this margin equals nearly always pass, and one worse by the margin hardly ever.
    MaximumRegression(margin=0.003),
    # Weights of eight bits move probabilities a little and answers hardly ever.
    SamePredictions(tolerance=0.25, changed_share=0.001),
    WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
)
