"""The tensors a model takes and gives, carried in every manifest.

The same declaration checks rows before training and requests while serving, so that the two
cannot drift apart.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

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
    """One tensor. `shape` is that of a single row; the leading batch axis is always free.

    A `vocabulary` names the whole numbers 0, 1, 2 … that are allowed, in that order. `nullable`
    lets a value be missing: NaN in a tensor of floating point, nothing in a row.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    vocabulary: tuple[str, ...] = ()
    nullable: bool = False

    @model_validator(mode="before")
    @classmethod
    def _bounded_by_its_vocabulary(cls, given: Any) -> Any:
        """So that whoever knows only of bounds, like an older reader, keeps to them too."""
        if isinstance(given, dict) and given.get("vocabulary"):
            return {"minimum": 0, "maximum": len(given["vocabulary"]) - 1} | given
        return given

    @model_validator(mode="after")
    def _can_be_held(self) -> Self:
        """Neither words nor gaps are declared where the datatype has no place for them."""
        last = len(self.vocabulary) - 1
        if self.vocabulary and (
            self.datatype.startswith("FP") or (self.minimum, self.maximum) != (0, last)
        ):
            raise ValueError(
                f"{self.name}: a vocabulary of {last + 1} needs whole numbers from 0 to {last}"
            )
        if self.nullable and not self.datatype.startswith("FP"):
            raise ValueError(f"{self.name}: {self.datatype} has no NaN, so nothing can be missing")
        return self

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
