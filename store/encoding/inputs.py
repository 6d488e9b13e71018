"""`encode` and `network_inputs`: the published inputs of a schema, and the network's."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.encoding import values
from overnight.store.encoding.arrays import objects
from overnight.store.encoding.lengths import joined, padded
from overnight.store.errors import UnencodableValue
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

Array = NDArray[Any]


def encode(schema: Schema, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Turn published values into the network's inputs: by name, [n, …] each.

    Texts are arrays of `str` objects, in which None is missing; in numbers NaN is. Categories may
    be names or numbers, dates texts or days, and rows of varying length an array of lists. An input
    that is absent has its default. Without any of these the arrays are returned as they are.

    Raises:
        UnencodableValue: naming the input, the row, and what was expected.
    """
    if all(_is_plain(spec, inputs.get(spec.name)) for spec in schema.inputs):
        return inputs if isinstance(inputs, dict) else dict(inputs)
    n = len(next(iter(inputs.values()))) if inputs else 0
    encoded: dict[str, Array] = {}
    for spec in schema.inputs:
        published = inputs.get(spec.name)
        if published is None:
            published = default_rows(spec, n)
        if _is_plain(spec, published):
            encoded[spec.name] = published
        else:
            encoded |= _encoded(spec, published)
    return encoded


def network_inputs(schema: Schema) -> tuple[TensorSpec, ...]:
    """The declaration of the network's inputs: those of the schema where nothing is encoded.

    Where the length varies, `shape` has the greatest and `lengths` all that a batch may have.
    """
    if not schema.is_encoded:
        return schema.inputs
    return tuple(spec for declared in schema.inputs for spec in _network_specs(declared))


def default_rows(spec: TensorSpec, n: int) -> Array:
    """The declared default as n published values: [n, …].

    Raises:
        UnencodableValue: no default is declared.
    """
    if spec.default is None:
        raise UnencodableValue(
            spec.name, None, "it is absent and has no default; send it, or declare default=…"
        )
    if spec.lengths:
        return objects([default_row(spec)] * n, n)
    kind = object if isinstance(spec.default, str) else None
    filled = np.empty((n, *spec.shape), kind or np.float64)
    filled[:] = spec.default
    # A plain number needs no encoding afterwards, so it must be in the datatype already.
    return filled if kind or spec.is_encoded else values.numbers(spec, filled)[0]


def default_row(spec: TensorSpec) -> Any:
    """The declared default as one published row, nested in lists as the row is.

    Where the length varies, a single value stands for a row of length 1.
    """
    if isinstance(spec.default, tuple):
        return list(spec.default)
    sides = (1, *spec.shape[1:]) if spec.lengths else spec.shape
    value: Any = spec.default
    for length in reversed(sides):
        value = [value] * length
    return value


def _is_plain(spec: TensorSpec, published: Array | None) -> bool:
    """Whether an array is already what the network takes."""
    if published is None or spec.is_encoded:
        return False
    return published.dtype == NUMPY_TYPES[spec.datatype]


def _encoded(spec: TensorSpec, published: Array) -> dict[str, Array]:
    """The network's inputs that follow from one published input."""
    if spec.lengths:
        elements, lengths = joined(spec, published)
        try:
            encoded, gaps = values.numbers(spec, elements)
        except UnencodableValue as error:
            row = int(np.searchsorted(np.cumsum(lengths), error.row or 0, side="right"))
            raise UnencodableValue(spec.name, row, error.why) from None
        encoded = padded(spec, encoded, lengths, filler=spec.padding)
        gaps = padded(spec, gaps, lengths, filler=0)
        arrays = {spec.name: encoded, f"{spec.name}_length": lengths}
    else:
        if published.shape[1:] != spec.shape:
            why = f"has rows of shape {published.shape[1:]}, expected {spec.shape}"
            raise UnencodableValue(spec.name, None, why)
        encoder = values.numbers if spec.text is None else values.texts
        encoded, gaps = encoder(spec, published)
        arrays = {spec.name: encoded}
    if spec.missing is not None and spec.missing.flag:
        arrays[f"{spec.name}_missing"] = gaps.astype(np.uint8)
    return arrays


def _network_specs(spec: TensorSpec) -> list[TensorSpec]:
    """The declarations of the network's inputs that follow from one published input."""
    if not spec.is_encoded:
        return [spec]
    if spec.text is not None:
        last = spec.text.size - 1 if spec.text.is_learned else None
        shape = (*spec.shape, spec.text.length)
        main = TensorSpec(name=spec.name, datatype="INT32", shape=shape, minimum=0, maximum=last)
    else:
        fields = dict(spec) | {"missing": None, "default": None} | _bounds(spec)
        main = TensorSpec.model_validate(fields)
    specs = [main]
    if spec.missing is not None and spec.missing.flag:
        specs.append(
            TensorSpec(
                name=f"{spec.name}_missing",
                datatype="UINT8",
                shape=spec.shape,
                minimum=0,
                maximum=1,
                lengths=spec.lengths,
            )
        )
    if spec.lengths:
        specs.append(
            TensorSpec(
                name=f"{spec.name}_length",
                datatype="INT32",
                shape=(),
                minimum=0,
                maximum=spec.lengths[-1],
            )
        )
    return specs


def _bounds(spec: TensorSpec) -> dict[str, float | None]:
    """The bounds of what the network gets: replacements and padding may be outside of those."""
    if spec.vocabulary:
        return {}
    added = [spec.padding] if spec.lengths else []
    value = None if spec.missing is None else spec.missing.value
    # The name of a category has no number before the vocabulary is learned.
    if value is not None and not (isinstance(value, str) and not spec.date):
        added.append(float(values.number_of(spec, value)))
    low, high = spec.minimum, spec.maximum
    return {
        "minimum": None if low is None else min([low, *added]),
        "maximum": None if high is None else max([high, *added]),
    }
