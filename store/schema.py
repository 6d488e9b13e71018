"""The input and output tensors of a model, carried in every manifest.

The same declaration validates rows before training and requests in serving, so that the two cannot
diverge.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from overnight.store.input_encodings import Missing, Published, TextEncoding, day_number
from overnight.store.pictures.declaration import Picture
from overnight.store.values import Value

# The datatypes of the Open Inference Protocol v2 that a numpy array can hold; BYTES are texts.
Datatype = Literal["BOOL", "UINT8", "INT8", "INT32", "INT64", "FP32", "FP64", "BYTES"]

NUMPY_TYPES: dict[Datatype, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}

_DAYS = frozenset({"INT32", "INT64"})


def _is_empty(value: object) -> bool:
    return not value


def _is_none(value: object) -> bool:
    return value is None


class TensorSpec(Value):
    """One tensor. `shape` is that of a single row, without the batch axis.

    A `vocabulary` names the categories 0, 1, 2 …, in that order. A value that is not in it is
    encoded as the category `otherwise`, or rejected where that is empty. `date`: whole numbers are
    days since 1970-01-01. `nullable`: a value may be missing, which is NaN in a floating-point
    tensor and null in a row. `bright_on_dark`: the values are a drawing whose ink is bright, so
    that a picture with a light border is inverted before it is sent. `labels` of an output with a
    number for each class are the names of these classes. `picture`: how pictures of other sizes
    become rows; without it only pictures of exactly `shape` do.

    Of an input, the published values are what clients send and rows hold; the network's inputs
    follow from them by `store.encoding`:

    `text`: a text, as numbers, INT32 [`*shape`, `length`]. `missing`: what stands for a value that
    is not there. `lengths`: the first axis of `shape` varies up to the greatest of these lengths;
    a batch is filled up with `padding` to the least of them that holds its longest row, and the
    network's INT32 input `<name>_length` has the lengths themselves. `default`: the value where
    rows or requests have no such column at all. `mean`, `deviation` and `borders` are statistics
    of the training rows, from which the network is built.
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
    # Left out when empty: manifests without them keep their bytes.
    labels: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    picture: Picture | None = Field(default=None, exclude_if=_is_none)
    text: TextEncoding | None = Field(default=None, exclude_if=_is_none)
    missing: Missing | None = Field(default=None, exclude_if=_is_none)
    lengths: tuple[int, ...] = Field(default=(), exclude_if=_is_empty)
    padding: float = Field(default=0, exclude_if=_is_empty)
    default: Published | None = Field(default=None, exclude_if=_is_none)
    mean: float | None = Field(default=None, exclude_if=_is_none)
    deviation: float | None = Field(default=None, exclude_if=_is_none)
    borders: tuple[float, ...] = Field(default=(), exclude_if=_is_empty)

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

    @model_validator(mode="after")
    def _encodings_fit(self) -> Self:
        """Check what is declared of texts, missing values, lengths and statistics."""
        for why in (*_text_problems(self), *_length_problems(self), *_statistic_problems(self)):
            raise ValueError(f"{self.name}: {why}")
        if self.nullable and self.missing is not None:
            raise ValueError(
                f"{self.name}: `nullable` hands NaN to the network and `missing` replaces it; "
                "declare one of them"
            )
        replacement = None if self.missing is None else self.missing.value
        for role, value in (
            ("replacement of missing values", replacement),
            ("default", self.default),
        ):
            if value is not None and (why := _value_problem(self, value)):
                raise ValueError(f"{self.name}: the {role} is {value!r}, {why}")
        return self

    @property
    def accepts_text(self) -> bool:
        """Whether its values may be sent as text: texts, categories of its vocabulary, or dates."""
        return self.text is not None or bool(self.vocabulary) or self.date

    @property
    def accepts_missing(self) -> bool:
        """Whether a value may be missing: null in a row, and in a request."""
        return self.nullable or self.missing is not None

    @property
    def is_encoded(self) -> bool:
        """Whether the network has other inputs for it than the published values."""
        return self.text is not None or self.missing is not None or bool(self.lengths)

    @property
    def added_names(self) -> tuple[str, ...]:
        """The names of the network's further inputs that follow from this one."""
        flag = self.missing is not None and self.missing.flag
        return (f"{self.name}_missing",) * flag + (f"{self.name}_length",) * bool(self.lengths)

    @property
    def unlearned(self) -> str:
        """What the declaration still lacks before anything can be encoded; empty if nothing."""
        if self.text is not None and not self.text.is_learned:
            return f"the tokenizer {self.text.tokenizer!r} has no pieces"
        if self.missing is not None and self.missing.value is None:
            return "missing values have no replacement"
        return ""

    @property
    def exact(self) -> bool:
        """Whether its values are flags or categories, for which a near miss is a wrong answer."""
        bounds = (self.minimum, self.maximum)
        is_flag = None not in bounds and bounds[1] - bounds[0] <= 1  # type: ignore[operator]
        is_categorical = self.datatype == "BOOL" or bool(self.vocabulary) or is_flag
        return is_categorical and not self.datatype.startswith("FP")

    @property
    def v2_shape(self) -> list[int]:
        """The shape in the Open Inference Protocol, with -1 for the batch and what varies."""
        return [-1, -1, *self.shape[1:]] if self.lengths else [-1, *self.shape]


def _text_problems(spec: TensorSpec) -> list[str]:
    """What contradicts the declaration of a text, or of a tensor that is none."""
    if (spec.datatype == "BYTES") != (spec.text is not None):
        expected = "a text is declared by datatype='BYTES' together with text=TextEncoding(…)"
        return [f"{expected}; categories are INT32 with a vocabulary"]
    bounds = (spec.minimum, spec.maximum, spec.mean, spec.deviation)
    if spec.text and (spec.vocabulary or spec.lengths or any(x is not None for x in bounds)):
        return ["a text has neither bounds nor vocabulary, lengths and statistics of its own"]
    return []


def _length_problems(spec: TensorSpec) -> list[str]:
    """What contradicts the declaration of a varying first axis."""
    if not spec.lengths:
        return ["padding needs `lengths`"] if spec.padding else []
    if sorted(set(spec.lengths)) != [*spec.lengths] or spec.lengths[0] < 1:
        return [f"its lengths are {spec.lengths}, expected rising numbers from 1 on"]
    if spec.shape[:1] != spec.lengths[-1:]:
        return [f"its shape is {spec.shape}, expected the greatest length {spec.lengths[-1]} first"]
    why = _number_problem(spec, spec.padding)
    return [f"its padding is {spec.padding:g}, {why}"] if why else []


def _statistic_problems(spec: TensorSpec) -> list[str]:
    """What contradicts means, deviations and borders."""
    numbers = [x for x in (spec.mean, spec.deviation, *spec.borders) if x is not None]
    if not all(map(math.isfinite, numbers)):
        return ["its mean, deviation and borders must be finite"]
    if spec.deviation is not None and spec.deviation <= 0:
        return [f"its deviation is {spec.deviation:g}, expected more than 0"]
    if sorted(set(spec.borders)) != [*spec.borders]:
        return [f"its borders are {spec.borders}, expected rising numbers"]
    return []


def _value_problem(spec: TensorSpec, value: Published) -> str:
    """Why a value cannot be published for this tensor; empty where it can."""
    if isinstance(value, tuple):
        fits = spec.text is None and len(spec.shape) == 1
        if not fits or not (spec.lengths or spec.shape == (len(value),)):
            return f"expected one value for each row of shape {spec.shape}"
        return next((why for each in value if (why := _number_problem(spec, each))), "")
    if isinstance(value, str):
        return _text_problem(spec, value)
    return "expected a text" if spec.text is not None else _number_problem(spec, value)


def _text_problem(spec: TensorSpec, value: str) -> str:
    """Why this is no text, date or category of the tensor; empty where it is."""
    if spec.date:
        try:
            day_number(value)
        except ValueError:
            return "expected a date such as 2026-11-22"
        return ""
    # Before the vocabulary is learned, any name may come to be in it.
    may_be_category = not spec.vocabulary and spec.datatype.startswith("INT")
    if spec.text is not None or value in spec.vocabulary or may_be_category:
        return ""
    return "which is not in its vocabulary" if spec.vocabulary else "expected a number"


def _number_problem(spec: TensorSpec, value: float) -> str:
    """Why a number does not fit the datatype or the vocabulary; empty where it does."""
    if not math.isfinite(value):
        return "expected a finite number"
    bits = spec.datatype.removeprefix("U").removeprefix("INT")
    if spec.datatype.startswith("FP"):
        return ""
    low, high = (0, 1) if spec.datatype == "BOOL" else _limits(spec.datatype, int(bits))
    if spec.vocabulary:
        low, high = 0, len(spec.vocabulary) - 1
    fits = value == int(value) and low <= value <= high
    return "" if fits else f"expected a whole number of {low} to {high}"


def _limits(datatype: str, bits: int) -> tuple[int, int]:
    return (0, 2**bits - 1) if datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


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

    @model_validator(mode="after")
    def _encodings_are_of_inputs_and_named_apart(self) -> Self:
        for spec in self.outputs:
            if spec.is_encoded or spec.default is not None:
                raise ValueError(
                    f"the output {spec.name}: texts, missing values, lengths and defaults are of "
                    "inputs only"
                )
        names = {spec.name for spec in self.inputs}
        for spec in self.inputs:
            for added in spec.added_names:
                if added in names:
                    raise ValueError(
                        f"the network has another input {added!r} because of {spec.name!r}, and "
                        "an input is called so already; rename one"
                    )
                names.add(added)
        return self

    @property
    def is_encoded(self) -> bool:
        """Whether the network has other inputs than the published ones."""
        return any(spec.is_encoded for spec in self.inputs)

    def with_inputs(self, learned: Mapping[str, TensorSpec]) -> "Schema":
        """The same schema with some inputs declared anew, by name."""
        inputs = tuple(learned.get(spec.name, spec) for spec in self.inputs)
        return Schema(
            inputs=inputs, outputs=self.outputs, labels=self.labels, forecast=self.forecast
        )
