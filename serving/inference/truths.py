"""The truth of a row, as somebody sends it, checked against the outputs of a version."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from overnight.serving.errors import BadInput
from overnight.serving.inference.error_text import kind_of, names_in
from overnight.store.schema import Schema, TensorSpec

Truth = str | float | list[object]
# Beyond it, a number has no value in 32 bits.
_LARGEST = float(np.finfo(np.float32).max)
_SHOWN_CLASSES = 12


def labelled_outputs(tensors: Schema) -> tuple[TensorSpec, ...]:
    """The outputs that a truth may be of: those with classes, and those with real numbers.

    Whole numbers without names of classes explain an answer, such as what a network saw of it.
    """
    return tuple(
        spec
        for spec in tensors.outputs
        if tensors.classes(spec.name) or spec.datatype.startswith("FP")
    )


def truth_of(sent: Any, tensors: Schema, *, field: str = "truth") -> dict[str, Truth]:
    """The truth by output: the name of a class, a number, or numbers as nested lists.

    `sent` is the truth of the first output; or an object, with the truths of outputs by name.

    Raises:
        BadInput: no truth of these outputs; names the field, and what was expected.
    """
    outputs = {spec.name: spec for spec in labelled_outputs(tensors)}
    if not outputs:
        raise BadInput(field, expected="an output with classes or numbers", found="none")
    if not isinstance(sent, dict):
        name = next(iter(outputs))
        return {name: _of_output(sent, outputs[name], tensors.classes(name), field=field)}
    if not sent or not outputs.keys() >= sent.keys():
        expected = f"the truth by output, of {', '.join(outputs)}"
        raise BadInput(field, expected=expected, found=f"the outputs {names_in(sent)}")
    return {
        name: _of_output(value, outputs[name], tensors.classes(name), field=f"{field}.{name}")
        for name, value in sorted(sent.items())
    }


def expected_truth(tensors: Schema) -> Mapping[str, tuple[str, ...]]:
    """The classes of each output that a truth may be of; none where it is a number."""
    return {spec.name: tensors.classes(spec.name) for spec in labelled_outputs(tensors)}


def _of_output(sent: Any, spec: TensorSpec, classes: tuple[str, ...], *, field: str) -> Truth:
    if classes:
        return _class(sent, classes, field=field)
    # One number is also the truth of several quantiles of it.
    if len(spec.shape) <= 1 and not (spec.shape and isinstance(sent, list)):
        return _number(sent, field=field)
    if not isinstance(sent, list):
        raise BadInput(field, expected=f"numbers [{_shape(spec)}]", found=kind_of(sent))
    return _numbers(sent, spec.shape, field=field)


def _class(sent: Any, classes: tuple[str, ...], *, field: str) -> str:
    """A class by its name, or by its index where it is sent as a whole number."""
    if isinstance(sent, str) and sent in classes:
        return sent
    if type(sent) is int and 0 <= sent < len(classes):
        return classes[sent]
    more = ", …" if len(classes) > _SHOWN_CLASSES else ""
    listed = ", ".join(classes[:_SHOWN_CLASSES]) + more
    expected = f"a class ({listed}) or its index, 0 to {len(classes) - 1}"
    raise BadInput(field, expected=expected, found=kind_of(sent)[:100])


def _number(sent: Any, *, field: str) -> float:
    if isinstance(sent, bool) or not isinstance(sent, int | float):
        raise BadInput(field, expected="a number", found=kind_of(sent))
    # Compared before it is converted: a whole number may be too large for any float.
    if not (-_LARGEST <= sent <= _LARGEST) or not math.isfinite(sent):
        raise BadInput(field, expected="a finite number of 32 bits", found=f"{kind_of(sent)[:40]}")
    return float(sent)


def _numbers(sent: list[Any], shape: tuple[int, ...], *, field: str) -> list[object]:
    """Nested lists of exactly this shape."""
    if len(sent) != shape[0]:
        raise BadInput(field, expected=f"{shape[0]} values", found=f"{len(sent)}")
    places = enumerate(sent)
    if len(shape) == 1:
        return [_number(value, field=f"{field}[{place}]") for place, value in places]
    inner: list[object] = []
    for place, value in places:
        if not isinstance(value, list):
            raise BadInput(f"{field}[{place}]", expected="a list", found=kind_of(value))
        inner.append(_numbers(value, shape[1:], field=f"{field}[{place}]"))
    return inner


def _shape(spec: TensorSpec) -> str:
    return ", ".join(map(str, spec.shape))
