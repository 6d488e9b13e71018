"""The outputs that a v2 request asks for: by name, all by default, or as their likeliest classes.

Classes are those of Triton's classification extension: texts `value:index:label`, the highest value
first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from overnight.serving.errors import BadInput
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.vocabulary import TEXTS
from overnight.store.schema import TensorSpec

CLASSIFICATION = "classification"


class RequestedOutputs(NamedTuple):
    """Outputs of a version, and of how many classes of them the names are wanted, by output."""

    specs: Sequence[TensorSpec]
    classes: dict[str, int]


def requested_outputs(request: dict[str, Any], loaded: ModelVersion) -> RequestedOutputs:
    """The outputs that a request names, each once; all of the version when it names none.

    Raises:
        BadInput: not the name of an output, one of them twice, or no number of classes.
    """
    declared = loaded.predictor.outputs
    outputs = request.get("outputs")
    if outputs is None or outputs == []:
        return RequestedOutputs(declared, {})
    specs = {spec.name: spec for spec in declared}
    if not isinstance(outputs, list):
        raise BadInput("outputs", expected=f"a list of {sorted(specs)}", found=kind_of(outputs))
    requested: dict[str, TensorSpec] = {}
    classes: dict[str, int] = {}
    for place, output in enumerate(outputs):
        name = output.get("name") if isinstance(output, dict) else output
        field = f"outputs[{place}]"
        if not isinstance(name, str) or name not in specs:
            expected = f"one of {sorted(specs)}"
            raise BadInput(f"{field}.name", expected=expected, found=kind_of(name))
        if name in requested:
            expected = "each output once"
            raise BadInput(f"{field}.name", expected=expected, found=f"{name!r} again")
        requested[name] = specs[name]
        wanted = _classification(output, specs[name], field=f"{field}.parameters.{CLASSIFICATION}")
        if wanted is not None:
            classes[name] = wanted
    return RequestedOutputs(list(requested.values()), classes)


def classified(rows: Array, count: int, labels: Sequence[str]) -> dict[str, Any]:
    """The `count` highest values of each row [n, …] as texts: shape, datatype and flat data.

    Of equal values the lower index comes first. `labels` may be empty.
    """
    flat = rows.reshape(len(rows), -1)
    # Sorting is stable, so that equal values keep the order of their indices.
    order = np.argsort(-flat.astype(np.float64), axis=1, kind="stable")[:, :count]
    data = [
        _class(row[index], int(index), labels)
        for row, places in zip(flat, order, strict=True)
        for index in places
    ]
    return {"shape": list(order.shape), "datatype": TEXTS, "data": data}


def _class(value: Any, index: int, labels: Sequence[str]) -> str:
    named = f":{labels[index]}" if index < len(labels) else ""
    return f"{value}:{index}{named}"


def _classification(output: object, spec: TensorSpec, *, field: str) -> int | None:
    """How many classes are wanted; None for the tensor itself.

    Raises:
        BadInput: no number from 1 on, or the output is one of single values.
    """
    parameters = output.get("parameters") if isinstance(output, dict) else None
    count = parameters.get(CLASSIFICATION) if isinstance(parameters, dict) else None
    # Triton's clients send 0 for the tensor itself.
    if count is None or (type(count) is int and count == 0):
        return None
    if type(count) is not int or count < 0:
        raise BadInput(field, expected="a number of classes", found=kind_of(count))
    if not spec.shape:
        expected = f"an output with a value for each class; {spec.name} has one value a row"
        raise BadInput(field, expected=expected, found=f"{count}")
    return count
