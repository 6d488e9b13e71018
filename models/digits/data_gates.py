"""Data gates of digits: constraints on rows, and bounds on the drift of a delivery.

Every bound on a shift lies between the distances of sound deliveries and of damaged ones; the table
is in docs/data-gates.md, measured by benchmarks/data/drift.py.
"""

from collections.abc import Mapping

import numpy as np

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.data_gates.drift import SameShares, SameSpread
from overnight.models.digits.schema import TENSORS
from overnight.models.examples import Array
from overnight.store.schema import TensorSpec

LABEL = TensorSpec(
    name="label",
    datatype="INT8",
    shape=(),
    vocabulary=TENSORS.labels,
    description="which digit was meant",
)
# Pixels from this value on, of 0 to 255, count as ink.
_INK = 128


def pixels(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Statistics of each image, [n] each: mean, share of ink, contrast, and centre of mass.

    The contrast is the standard deviation of the pixels; centres are in pixels from the top left,
    those of a blank image in its middle.
    """
    images = inputs["image"].astype(np.float32)
    height, width = images.shape[1:]
    total = images.sum(axis=(1, 2))
    blank = total == 0
    weight = np.where(blank, 1, total)
    row = images.sum(axis=2) @ np.arange(height, dtype=np.float32) / weight
    column = images.sum(axis=1) @ np.arange(width, dtype=np.float32) / weight
    return {
        "mean pixel": images.mean(axis=(1, 2)),
        "share of ink": (images >= _INK).mean(axis=(1, 2)),
        "contrast": images.std(axis=(1, 2)),
        "centre row": np.where(blank, (height - 1) / 2, row),
        "centre column": np.where(blank, (width - 1) / 2, column),
    }


def confidence(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The champion's confidence in each answer: the largest of its probabilities, [n]."""
    return {"champion's confidence": outputs["probabilities"].max(axis=1)}


def outlines(inputs: Mapping[str, Array]) -> list[bytes]:
    """A near-duplicate key of each image: its ink as 784 bits, moved to the top left.

    Pixels of at least half the image's maximum are ink. An image that was moved, or made brighter
    or darker, keeps its key; of 10,000 holdout images 11 share theirs with one of the 60,000
    training images, all of them thin ones.
    """
    images = inputs["image"]
    side = images.shape[1]
    brightest = np.maximum(images.max(axis=(1, 2), keepdims=True).astype(np.uint16), 1)
    ink = images.astype(np.uint16) * 2 >= brightest
    top, left = ink.any(axis=2).argmax(axis=1), ink.any(axis=1).argmax(axis=1)
    packed = np.zeros((len(images), side * side // 8), np.uint8)
    for row, column in np.unique(np.stack([top, left], axis=1), axis=0):
        here = np.flatnonzero((top == row) & (left == column))
        moved = np.zeros((len(here), side, side), np.bool_)
        moved[:, : side - row, : side - column] = ink[here, row:, column:]
        packed[here] = np.packbits(moved.reshape(len(here), -1), axis=1)
    return [outline.tobytes() for outline in packed]


DATA_GATES = DataGates(
    columns=(Column(TENSORS.inputs[0]), Column(LABEL)),
    minimum_rows=1_000,
    class_rows=20,
    shifts=(
        SameShares("label", bound=0.1, names=TENSORS.labels),
        SameSpread("mean pixel", bound=1.0),
        SameSpread("share of ink", bound=1.0),
        SameSpread("contrast", bound=1.5),
        SameSpread("centre row", bound=1.0),
        SameSpread("centre column", bound=1.0),
        SameSpread("champion's confidence", bound=0.5),
        SameShares("champion is right", bound=0.15, names=("wrong", "right")),
    ),
    input_statistics=pixels,
    output_statistics=confidence,
    near_duplicate_keys=outlines,
    # Ten times the share in MNIST itself, and a twentieth of that of a leaked holdout.
    near_duplicate_share=0.01,
)
