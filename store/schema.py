"""The input and output tensors of a model, carried in every manifest.

The same declaration validates rows before training and requests in serving, so that the two cannot
diverge.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from overnight.store.pictures.declaration import Picture
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
    """One tensor. `shape` is that of a single row, without the batch axis.

    A `vocabulary` names the categories 0, 1, 2 …, in that order. A value that is not in it is
    encoded as the category `otherwise`, or rejected where that is empty. `date`: whole numbers are
    days since 1970-01-01. `nullable`: a value may be missing, which is NaN in a floating-point
    tensor and null in a row. `bright_on_dark`: the values are a drawing whose ink is bright, so
    that a picture with a light border is inverted before it is sent. `labels` of an output with a
    number for each class are the names of these classes. `picture`: how pictures of other sizes
    become rows; without it only pictures of exactly `shape` do.
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
    bright_on_dark: bool = False
    # Left out when empty: manifests of models with one output keep their bytes.
    labels: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    picture: Picture | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="before")
    @classmethod
    def _bounded_by_its_vocabulary(cls, fields: Any) -> Any:
        """Derive the bounds from the vocabulary: readers that know only bounds keep to it too."""
        if isinstance(fields, dict) and fields.get("vocabulary"):
            return {"minimum": 0, "maximum": len(fields["vocabulary"]) - 1} | fields
        return fields

    @model_validator(mode="after")
    def _fits_its_datatype(self) -> Self:
        """Check that the datatype can represent the vocabulary, dates and missing values."""
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
            raise ValueError(f"{self.name}: {self.otherwise!r} is not in its vocabulary")
        if self.date and (self.vocabulary or self.datatype not in _DAYS):
            raise ValueError(
                f"{self.name}: dates need whole numbers of 32 or 64 bits and no vocabulary"
            )
        return self

    @model_validator(mode="after")
    def _is_of_pixels(self) -> Self:
        if self.picture is not None and not self.takes_pictures:
            raise ValueError(
                f"{self.name}: pictures need UINT8 [h, w], or [h, w, 1, 3 or 4], found "
                f"{self.datatype} {list(self.shape)}"
            )
        return self

    @property
    def takes_pictures(self) -> bool:
        """Whether a row is a picture: grey, grey, colour, or colour with opacity."""
        channels = {(), (1,), (3,), (4,)}
        return self.datatype == "UINT8" and len(self.shape) >= 2 and self.shape[2:] in channels

    @property
    def accepts_text(self) -> bool:
        """Whether its values may be sent as text: categories of its vocabulary, or dates."""
        return bool(self.vocabulary) or self.date

    @property
    def exact(self) -> bool:
        """Whether its values are flags or categories, for which a near miss is a wrong answer."""
        bounds = (self.minimum, self.maximum)
        is_flag = None not in bounds and bounds[1] - bounds[0] <= 1  # type: ignore[operator]
        is_categorical = self.datatype == "BOOL" or bool(self.vocabulary) or is_flag
        return is_categorical and not self.datatype.startswith("FP")

    @property
    def v2_shape(self) -> list[int]:
        """The shape in the Open Inference Protocol, with -1 for the batch."""
        return [-1, *self.shape]


class Forecast(Value):
    """The roles of the tensors of a forecast, by which it is drawn and requested day by day.

    `history` is the input with one value a day, oldest first. Its last day is `lead` days before
    the day in the input `day`. The first output holds the `quantiles` of the value on that day, in
    rising order: the middle one is the forecast, the outer two are the ends of its interval.
    """

    history: str
    lead: str
    day: str
    quantiles: tuple[float, ...]

    @property
    def middle(self) -> int:
        """Index of the quantile that is the forecast."""
        return len(self.quantiles) // 2

    def check(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Check that the named tensors exist and can have their roles.

        Raises:
            ValueError: names the first condition that does not hold.
        """
        shapes = {spec.name: spec.shape for spec in inputs}
        dates = [spec.name for spec in inputs if spec.date]
        whole = {spec.name for spec in inputs if spec.datatype in _DAYS}
        rising = sorted({share for share in self.quantiles if 0 < share < 1})
        conditions = {
            f"{self.history!r} has a value a day": len(shapes.get(self.history, ())) == 1,
            f"{self.lead!r} is a number of days": shapes.get(self.lead) == ()
            and self.lead in whole,
            f"{self.day!r} is a date": self.day in dates and shapes[self.day] == (),
            f"{self.quantiles} rise between 0 and 1, and have a middle": len(rising) % 2 == 1
            and rising == [*self.quantiles],
            "the first output has one number for each of them": bool(outputs)
            and outputs[0].shape == (len(self.quantiles),),
        }
        for condition, holds in conditions.items():
            if not holds:
                raise ValueError(f"forecast: expected that {condition}, which does not hold")


class Schema(Value):
    """The inputs and outputs of a model, and the `labels` of its classes, if any.

    The first output is the prediction, and `labels` name its classes; further outputs explain it,
    or are predictions of their own, with `labels` of their own. `forecast` names the roles of the
    tensors where the prediction is a forecast.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    forecast: Forecast | None = None

    def classes(self, output: str) -> tuple[str, ...]:
        """The names of the classes of an output, in order; empty where it has none."""
        is_first = bool(self.outputs) and output == self.outputs[0].name
        own = next((spec.labels for spec in self.outputs if spec.name == output), ())
        return own or (self.labels if is_first else ())

    @model_validator(mode="after")
    def _forecast_is_of_its_tensors(self) -> Self:
        if self.forecast is not None:
            self.forecast.check(self.inputs, self.outputs)
        return self
