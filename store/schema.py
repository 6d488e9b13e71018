"""The tensors a model takes and gives, carried in every manifest.

The same declaration checks rows before training and requests while serving, so that the two
cannot drift apart.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import model_validator

from overnight.store.values import Value

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


_DAYS = frozenset({"INT32", "INT64"})


class TensorSpec(Value):
    """One tensor. `shape` is that of a single row; the leading batch axis is always free.

    A `vocabulary` names the whole numbers 0, 1, 2 … that are allowed, in that order; `otherwise` is
    the one of its words by which a word that is not in it is answered, and without it such a word
    is refused. `date` says that whole numbers are days since 1970-01-01. `nullable` lets a value be
    missing: NaN in a tensor of floating point, nothing in a row.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    vocabulary: tuple[str, ...] = ()
    nullable: bool = False
    otherwise: str = ""
    date: bool = False

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
        if self.otherwise and self.otherwise not in self.vocabulary:
            raise ValueError(f"{self.name}: {self.otherwise!r} is no word of its vocabulary")
        if self.date and (self.vocabulary or self.datatype not in _DAYS):
            raise ValueError(f"{self.name}: days need whole numbers of 32 or 64 bits and no words")
        return self

    @property
    def in_words(self) -> bool:
        """Whether its values may be sent as texts: as words of its vocabulary, or as dates."""
        return bool(self.vocabulary) or self.date

    @property
    def exact(self) -> bool:
        """Whether its whole numbers are flags or words: the next one is another answer."""
        ends = (self.minimum, self.maximum)
        is_flag = None not in ends and ends[1] - ends[0] <= 1  # type: ignore[operator]
        is_told_apart = self.datatype == "BOOL" or bool(self.vocabulary) or is_flag
        return is_told_apart and not self.datatype.startswith("FP")

    @property
    def v2_shape(self) -> list[int]:
        """The shape as the Open Inference Protocol tells it, -1 for the batch."""
        return [-1, *self.shape]


class Forecast(Value):
    """Which tensors of a forecast are which, so that it can be drawn and asked for day by day.

    `history` is the input with one value a day, oldest first; its last day lies as many days
    before the input `day` as the input `lead` says. The first output has the `quantiles` of the
    value on that day, in rising order; `middle` of them is the forecast, the outer two are the
    ends of its interval.
    """

    history: str
    lead: str
    day: str
    quantiles: tuple[float, ...]

    @property
    def middle(self) -> int:
        """Place of the quantile that is the forecast."""
        return len(self.quantiles) // 2

    def check(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Hold the names against the tensors.

        Raises:
            ValueError: a tensor is missing or cannot be what it is said to be.
        """
        shapes = {spec.name: spec.shape for spec in inputs}
        dates = [spec.name for spec in inputs if spec.date]
        whole = {spec.name for spec in inputs if spec.datatype in _DAYS}
        rising = sorted({share for share in self.quantiles if 0 < share < 1})
        found = {
            f"{self.history!r} has a value a day": len(shapes.get(self.history, ())) == 1,
            f"{self.lead!r} is a number of days": shapes.get(self.lead) == ()
            and self.lead in whole,
            f"{self.day!r} is a date": self.day in dates and shapes[self.day] == (),
            f"{self.quantiles} rise between 0 and 1, and have a middle": len(rising) % 2 == 1
            and rising == [*self.quantiles],
            "the first output has one number for each of them": bool(outputs)
            and outputs[0].shape == (len(self.quantiles),),
        }
        for claim, holds in found.items():
            if not holds:
                raise ValueError(f"forecast: expected that {claim}, and it is not so")


class Schema(Value):
    """What goes into a model and what comes out. `labels` name the classes, when there are any.

    The first output is the answer; further ones only explain it. `forecast` says which tensors
    are which, where the answer is a forecast.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    forecast: Forecast | None = None

    @model_validator(mode="after")
    def _forecast_is_of_its_tensors(self) -> Self:
        """What is said of a forecast can be drawn."""
        if self.forecast is not None:
            self.forecast.check(self.inputs, self.outputs)
        return self
