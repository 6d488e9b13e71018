"""The published signature, and the conversion of rows to examples."""

import numpy as np
import pyarrow as pa

from overnight.models.examples import Examples
from overnight.store.schema import Schema, TensorSpec
from tests.support.small_models.strokes.source import PIXELS

CLASSES = ("lying", "standing", "rising", "falling")
IMAGE = TensorSpec(
    name="image",
    datatype="UINT8",
    shape=(8, 8),
    minimum=0,
    maximum=255,
    description="a small picture, bright on dark",
)
TENSORS = Schema(
    inputs=(IMAGE,),
    outputs=(
        TensorSpec(
            name="probabilities",
            datatype="FP32",
            shape=(len(CLASSES),),
            minimum=0,
            maximum=1,
            description="how likely each class is",
        ),
    ),
    labels=CLASSES,
)


def examples(rows: pa.Table) -> Examples:
    """Images, uint8 [n, 8, 8], and labels, int64 [n]."""
    pixels = np.column_stack([rows.column(name).to_numpy() for name in PIXELS])
    labels = rows.column("label").to_numpy().astype(np.int64)
    return Examples({"image": pixels.astype(np.uint8).reshape(-1, 8, 8)}, labels)
