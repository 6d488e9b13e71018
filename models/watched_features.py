"""What of inputs and answers is compared over time: one number or one name for each row.

The reference of a version is made of the same features as a day of its traffic, so that both can be
compared.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.store.encoding.tokenizers import numbers as piece_numbers
from overnight.store.encoding.values import is_missing
from overnight.store.input_encodings import UNKNOWN
from overnight.store.schema import TensorSpec

Array = NDArray[Any]
FeatureKind = Literal["inputs", "answers", "confidence"]
MISSING = "(missing)"
# Confidences crowd near 1, where quantiles would see differences that no one can act upon.
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
# Words of a text that are counted; the share of unknown ones does not need more.
_MOST_TEXT = 20_000
_ROWS = 5_000


@dataclass(frozen=True)
class WatchedFeature:
    """One feature of n rows.

    Attributes:
        values: [n] numbers, NaN where one is missing; or [n] names.
        borders: of its bins where these are fixed; else they are quantiles of the reference.
    """

    kind: FeatureKind
    name: str
    values: Array
    borders: tuple[float, ...] = ()

    @property
    def is_categorical(self) -> bool:
        """Whether the values are names."""
        return self.values.dtype.kind in "OU"


def input_features(
    definition: ModelDefinition, inputs: Mapping[str, Array]
) -> Iterator[WatchedFeature]:
    """The features of n published inputs; dates have none, because they change by themselves."""
    statistics = definition.data_gates.input_statistics
    own = dict(statistics(inputs)) if _is_complete(definition, inputs) else {}
    for name, values in own.items():
        yield WatchedFeature("inputs", name, np.asarray(values, np.float64))
    for spec in definition.tensors.inputs:
        if spec.name in inputs and not spec.date:
            for name, values in _of_input(spec, inputs[spec.name], described=bool(own)):
                yield WatchedFeature("inputs", name, values)


def answer_features(
    definition: ModelDefinition, outputs: Mapping[str, Array]
) -> Iterator[WatchedFeature]:
    """The features of n answers: predicted classes and confidences, or predicted numbers."""
    forecast = definition.tensors.forecast
    for place, spec in enumerate(definition.tensors.outputs):
        if spec.name not in outputs:
            continue
        values = np.asarray(outputs[spec.name])
        classes = definition.tensors.classes(spec.name)
        if classes:
            confidence, names = values.max(axis=-1), np.array(classes)
            yield WatchedFeature("answers", spec.name, names[values.argmax(axis=-1)])
            yield WatchedFeature("confidence", spec.name, confidence.astype(float), CONFIDENCES)
        elif forecast is not None and place == 0:
            yield WatchedFeature("answers", spec.name, _number(values[:, forecast.middle]))
            width = _number(values[:, -1]) - _number(values[:, 0])
            yield WatchedFeature("confidence", f"{spec.name}: width", width)
        elif spec.datatype.startswith("FP"):
            flat = _flat(values)
            single = flat.shape[1] == 1
            shown = flat[:, 0] if single else np.linalg.norm(flat, axis=1)
            yield WatchedFeature("answers", spec.name if single else f"{spec.name}: length", shown)


def _is_complete(definition: ModelDefinition, inputs: Mapping[str, Array]) -> bool:
    """Whether the model's own statistics of its inputs can be made: all inputs are there."""
    return all(spec.name in inputs for spec in definition.tensors.inputs)


def _of_input(spec: TensorSpec, values: Array, *, described: bool) -> Iterator[tuple[str, Array]]:
    if spec.text is not None:
        yield f"{spec.name}: words", _by_row(values, _word_count)
        if spec.text.is_learned and spec.text.tokenizer != "bytes":
            yield f"{spec.name}: unknown words", _by_row(values, lambda text: _unknown(spec, text))
    elif spec.lengths:
        yield f"{spec.name}: length", _by_row(values, lambda row: float(len(row)))
    elif not spec.shape:
        yield spec.name, _scalars(spec, values)
    elif spec.takes_pictures:
        yield from _of_pictures(spec.name, values, described=described)
    elif not described:
        flat = _flat(values)
        yield f"{spec.name}: mean", _finite(flat, np.nanmean)
        yield f"{spec.name}: deviation", _finite(flat, np.nanstd)


def _scalars(spec: TensorSpec, values: Array) -> Array:
    """Names where the input has a vocabulary or is sent as text; else numbers."""
    if spec.vocabulary or spec.datatype == "BOOL" or any(isinstance(v, str) for v in values[:100]):
        return np.array([_name(spec, value) for value in values.tolist()], object)
    if values.dtype.kind == "O":
        values = np.array([np.nan if is_missing(value) else value for value in values])
    return _number(values)


def _name(spec: TensorSpec, value: Any) -> str:
    """The category's name, whether it is published by name or by number."""
    if is_missing(value):
        return MISSING
    if isinstance(value, str):
        known = not spec.vocabulary or not spec.otherwise or value in spec.vocabulary
        return value if known else spec.otherwise
    known = 0 <= value < len(spec.vocabulary)
    return spec.vocabulary[int(value)] if known else str(value)


def _of_pictures(name: str, values: Array, *, described: bool) -> Iterator[tuple[str, Array]]:
    """Mean, contrast and centre of the brightness, and the size of what is drawn, in pixels."""
    parts = [
        _pictured(values[start : start + _ROWS]) for start in range(0, max(len(values), 1), _ROWS)
    ]
    for statistic in parts[0]:
        if not described or statistic in {"height", "width"}:
            yield f"{name}: {statistic}", np.concatenate([part[statistic] for part in parts])


def _pictured(values: Array) -> dict[str, Array]:
    pictures = values.astype(np.float32)
    grey = pictures if pictures.ndim == 3 else pictures[..., :3].mean(axis=-1)
    n, height, width = grey.shape
    # What differs from the border, which is the paper, is drawn.
    border = np.median(grey[:, 0, :], axis=1) if n else np.zeros(0)
    apart = np.abs(grey - border[:, None, None])
    drawn = apart * 2 >= np.maximum(apart.max(axis=(1, 2), initial=0), 1)[:, None, None]
    total = apart.sum(axis=(1, 2))
    weight = np.where(total == 0, 1, total)
    row = apart.sum(axis=2) @ np.arange(height, dtype=np.float32) / weight
    column = apart.sum(axis=1) @ np.arange(width, dtype=np.float32) / weight
    return {
        "mean": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "centre row": np.where(total == 0, (height - 1) / 2, row),
        "centre column": np.where(total == 0, (width - 1) / 2, column),
        "height": _extent(drawn.any(axis=2)),
        "width": _extent(drawn.any(axis=1)),
    }


def _extent(drawn: Array) -> Array:
    """From the first to the last true of each row, [n]; 0 where there is none."""
    first = drawn.argmax(axis=1)
    last = drawn.shape[1] - drawn[:, ::-1].argmax(axis=1)
    return np.where(drawn.any(axis=1), last - first, 0).astype(np.float64)


def _by_row(values: Array, measure: Callable[[Any], float]) -> Array:
    """A number for each row; NaN where the row is missing."""
    measured = [np.nan if is_missing(value) else measure(value) for value in values]
    return np.array(measured, np.float64)


def _word_count(text: str) -> float:
    return float(len(str(text)[:_MOST_TEXT].split()))


def _unknown(spec: TensorSpec, text: str) -> float:
    """The share of a text's pieces that the model does not know; 0 for an empty text."""
    assert spec.text is not None
    pieces = piece_numbers(str(text)[:_MOST_TEXT], spec.text)
    return sum(piece == UNKNOWN for piece in pieces) / len(pieces) if pieces else 0.0


def _finite(flat: Array, statistic: Callable[..., Any]) -> Array:
    """A statistic of each row; NaN where a row has no number."""
    known = np.isfinite(flat).any(axis=1)
    result = np.full(len(flat), np.nan)
    if known.any():
        result[known] = statistic(np.where(np.isfinite(flat[known]), flat[known], np.nan), axis=1)
    return result


def _flat(values: Array) -> NDArray[np.float64]:
    """One row of numbers for each of n rows; n may be 0."""
    return _number(values.reshape(len(values), math.prod(values.shape[1:])))


def _number(values: Array) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = np.asarray(values, np.float64)
    return numbers
