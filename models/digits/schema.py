"""Published signature of digits, and the conversion of rows to examples."""

import numpy as np
import pyarrow as pa

from overnight.models.digits.rows import CLASSES, SIDE, images_of
from overnight.models.examples import Examples
from overnight.store.schema import Schema, TensorSpec

# The first half of t10k was written by high-school students, the second by Census employees.
_STUDENTS = 5_000

TENSORS = Schema(
    inputs=(
        TensorSpec(
            name="image",
            datatype="UINT8",
            shape=(SIDE, SIDE),
            minimum=0,
            maximum=255,
            description="a handwritten digit, white on black, anywhere in the picture",
            bright_on_dark=True,
        ),
    ),
    outputs=(
        TensorSpec(
            name="probabilities",
            datatype="FP32",
            shape=(CLASSES,),
            minimum=0,
            maximum=1,
            description="how likely each digit is",
        ),
        TensorSpec(
            name="seen",
            datatype="UINT8",
            shape=(SIDE, SIDE),
            minimum=0,
            maximum=255,
            description="what the network saw: the picture centred by mass and scaled",
        ),
    ),
    labels=tuple(str(label) for label in range(CLASSES)),
)


def examples(rows: pa.Table) -> Examples:
    """Images, uint8 [n, 28, 28], and labels, int64 [n], sliced by digit.

    Rows of the holdout have a `position`, from which their writers follow.
    """
    labels = rows.column("label").to_numpy().astype(np.int64)
    slices = {f"digit {label}": labels == label for label in range(CLASSES)}
    if "position" in rows.column_names:
        position = rows.column("position").to_numpy()
        slices |= {"students": position < _STUDENTS, "census": position >= _STUDENTS}
    return Examples(inputs={"image": images_of(rows)}, labels=labels, slices=slices)
