"""The tensors a model takes and gives, carried in every manifest.

The same declaration checks rows before training and requests while serving, so that the two
cannot drift apart.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

# The datatypes of the Open Inference Protocol v2 that a numpy array can hold.
Datatype = Literal["BOOL", "UINT8", "INT8", "INT32", "INT64", "FP32", "FP64"]

NUMPY_TYPES: dict[Datatype, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "FP32": "float32",
    "FP64": "float64",
}


class Value(BaseModel):
    """A frozen value that ignores fields it does not know, so old readers read new records."""

    # JSON has no NaN: written as a string, it is read back as the number that it was.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")


class TensorSpec(Value):
    """One tensor. `shape` is that of a single row; the leading batch axis is always free."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""

    @property
    def v2_shape(self) -> list[int]:
        """The shape as the Open Inference Protocol tells it, -1 for the batch."""
        return [-1, *self.shape]


class Schema(Value):
    """What goes into a model and what comes out. `labels` name the classes, when there are any.

    The first output is the answer; further ones only explain it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
