"""`Learner` and `learn`: a schema with what was learned on the training rows."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.encoding.values import is_missing
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema, TensorSpec

Array = NDArray[Any]
Learner = Callable[[Array, TensorSpec], TensorSpec]


def learn(
    tensors: Schema, learned: Mapping[str, Learner], inputs: Mapping[str, Array], *, model: str
) -> Schema:
    """The schema with every learned input declared anew, from published values [n, …] by name.

    Raises:
        ConfigurationError: a learner does not fit its input, changes its signature, or leaves it
            unfit to encode anything.
        ValueError: there are no values to learn from.
    """
    declared = {spec.name: spec for spec in tensors.inputs}
    specs = {}
    for name, learner in learned.items():
        if name not in inputs:
            raise ValueError(f"there is no input {name!r} in the rows to learn from")
        specs[name] = spec = learner(inputs[name], declared[name])
        if _signature(spec) != _signature(declared[name]):
            raise ConfigurationError(
                f"{model}: what was learned of {name!r} has another signature: expected "
                f"{_signature(declared[name])}, got {_signature(spec)}; a learner may change "
                "vocabulary, pieces, replacement and statistics only"
            )
    schema = tensors.with_inputs(specs)
    for spec in schema.inputs:
        if spec.unlearned:
            raise ConfigurationError(
                f"{model}: of the input {spec.name!r}, {spec.unlearned}, and its learner gave none"
            )
    return schema


def present(published: Array) -> Iterator[Any]:
    """The values that are not missing, of rows of lists too."""
    for value in published.reshape(-1).tolist():
        if isinstance(value, list | tuple | np.ndarray):
            yield from present(np.asarray(value, object))
        elif not is_missing(value):
            yield value


def redeclared(spec: TensorSpec, **changed: object) -> TensorSpec:
    """The declaration with some fields changed, and checked as a whole."""
    return TensorSpec.model_validate(dict(spec) | changed)


def _signature(spec: TensorSpec) -> tuple[object, ...]:
    text = spec.text and (spec.text.tokenizer, spec.text.length)
    return (spec.name, spec.datatype, spec.shape, spec.lengths, spec.added_names, text)
