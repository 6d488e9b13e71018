"""Checks an exported predictor against the schema, before anything is evaluated or served."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from overnight.store.encoding import network_inputs
from overnight.store.errors import ConfigurationError
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

_MOST_SHAPES = 64


def check_predictor(predictor: bytes, tensors: Schema) -> None:
    """Check that a predictor takes and gives what the schema says, at each declared length.

    Raises:
        ConfigurationError: its inputs are not those that follow from the schema, it lacks an
            output, or it cannot run at a length.
    """
    runner = Interpreter(model_content=predictor, num_threads=1).get_signature_runner()
    specs = network_inputs(tensors)
    expected, inputs = _declared(specs), _actual(runner.get_input_details())
    if expected != inputs:
        raise ConfigurationError(
            f"the network has the inputs {inputs}, expected {expected} as they follow from the "
            "model's tensors; build its inputs from `network_inputs(training.tensors)`"
        )
    missing = _declared(tensors.outputs).items() - _actual(runner.get_output_details()).items()
    if missing:
        raise ConfigurationError(
            f"the network does not give {dict(sorted(missing))}, which the model's tensors declare "
            "as outputs; name and type its outputs so"
        )
    for shapes in itertools.islice(_shapes(specs), _MOST_SHAPES):
        _run(runner, specs, tensors.outputs, shapes)


def _shapes(specs: Sequence[TensorSpec]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """The shapes of a row of each input, at every combination of declared lengths."""
    yield from itertools.product(
        *([(length, *spec.shape[1:]) for length in spec.lengths] or [spec.shape] for spec in specs)
    )


def _run(
    runner: Any,
    specs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    shapes: tuple[tuple[int, ...], ...],
) -> None:
    """Run two rows of zeros, and compare the shapes of the answers."""
    # A flag has the length of what it belongs to; other combinations never occur.
    lengths = {
        spec.name: shape[0] for spec, shape in zip(specs, shapes, strict=True) if spec.lengths
    }
    if any(length != lengths.get(_flagged(name), length) for name, length in lengths.items()):
        return
    zeros = {
        spec.name: np.zeros((2, *shape), NUMPY_TYPES[spec.datatype])
        for spec, shape in zip(specs, shapes, strict=True)
    }
    try:
        answers = runner(**zeros)
    except (ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"the network cannot run rows of the lengths {lengths}, which the model's tensors "
            f"declare: {error}; leave that axis of its inputs open (None)"
        ) from None
    for spec in outputs:
        if answers[spec.name].shape != (2, *spec.shape):
            at = f" at the lengths {lengths}" if lengths else ""
            raise ConfigurationError(
                f"the network answers {spec.name!r} of two rows with the shape "
                f"{answers[spec.name].shape}, expected {(2, *spec.shape)}{at}"
            )


def _flagged(name: str) -> str:
    return name.removesuffix("_missing")


def _declared(specs: Sequence[TensorSpec]) -> dict[str, str]:
    return {spec.name: NUMPY_TYPES[spec.datatype] for spec in sorted(specs, key=lambda s: s.name)}


def _actual(details: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: np.dtype(details[name]["dtype"]).name for name in sorted(details)}
