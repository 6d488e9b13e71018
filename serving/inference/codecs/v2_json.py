"""The Open Inference Protocol v2: tensors by name, with shape and datatype, flat or nested."""

import json
from collections.abc import Sequence
from typing import Any

from overnight.serving.errors import BadInput
from overnight.serving.inference.decoding import check_rows, from_flat, from_raw, from_texts
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.vocabulary import TEXTS, OutOfVocabulary
from overnight.store.schema import TensorSpec

OUT_OF_VOCABULARY = "out_of_vocabulary"
OUT_OF_VOCABULARY_COUNT = "out_of_vocabulary_count"


def infer(request: dict[str, Any], loaded: ModelVersion, limits: Limits) -> dict[str, Any]:
    """Decode a request, run it and build the response, whose `data` are arrays.

    Raises:
        BadInput: naming the field, its expected and its actual value.
    """
    unknown = OutOfVocabulary()
    body = respond(_inputs(request, loaded, limits, unknown), _outputs(request, loaded), loaded)
    if unknown:
        # The protocol allows only strings, numbers and booleans as parameters, and typed clients
        # rely on it, so the list is JSON within a string.
        listed = json.dumps(unknown.entries, ensure_ascii=False)
        body["parameters"] = {OUT_OF_VOCABULARY: listed, OUT_OF_VOCABULARY_COUNT: len(unknown)}
    if isinstance(request.get("id"), str):
        body["id"] = request["id"]
    return body


def respond(
    inputs: dict[str, Array], outputs: Sequence[TensorSpec], loaded: ModelVersion
) -> dict[str, Any]:
    """Run checked arrays [n, …] and build the response."""
    arrays = loaded.predict(inputs, [spec.name for spec in outputs])
    manifest = loaded.predictor.manifest
    return {
        "model_name": manifest.model,
        "model_version": manifest.version,
        "outputs": [_output(spec, arrays[spec.name]) for spec in outputs],
    }


def _output(spec: TensorSpec, rows: Array) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(rows.shape),
        "datatype": spec.datatype,
        "data": rows.reshape(-1),
    }


def _inputs(
    request: dict[str, Any], loaded: ModelVersion, limits: Limits, unknown: OutOfVocabulary
) -> dict[str, Array]:
    """The input tensors of a request, in the schema's order, all with the same number of rows."""
    tensors = request.get("inputs")
    specs = loaded.predictor.inputs
    names = [spec.name for spec in specs]
    if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
        raise BadInput("inputs", expected=f"a list of the tensors {names}", found="something else")
    if len(tensors) == len(names) == 1 and tensors[0].get("name") == names[0]:
        return {names[0]: _decoded(specs[0], tensors[0], limits, unknown, field="inputs[0]")}
    sent = [tensor.get("name") for tensor in tensors[: len(names) + 1]]
    if not all(isinstance(name, str) for name in sent) or sorted(sent) != sorted(names):
        raise BadInput("inputs", expected=f"the tensors {names}", found=_difference(sent, names))
    by_name = {tensor["name"]: (place, tensor) for place, tensor in enumerate(tensors)}
    arrays: dict[str, Array] = {}
    for spec in specs:
        place, tensor = by_name[spec.name]
        arrays[spec.name] = _decoded(spec, tensor, limits, unknown, field=f"inputs[{place}]")
    rows = {len(array) for array in arrays.values()}
    if len(rows) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found=str(rows))
    return arrays


def _decoded(
    spec: TensorSpec,
    tensor: dict[str, Any],
    limits: Limits,
    unknown: OutOfVocabulary,
    *,
    field: str,
) -> Array:
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    in_texts = datatype == TEXTS and spec.accepts_text
    if datatype != spec.datatype and not in_texts:
        expected = f"{spec.datatype} or {TEXTS}" if spec.accepts_text else spec.datatype
        raise BadInput(f"{field}.datatype", expected=expected, found=kind_of(datatype))
    if (
        not isinstance(shape, list)
        or not shape
        or shape[1:] != list(spec.shape)
        or type(shape[0]) is not int
        or shape[0] < 1
    ):
        expected = f"{spec.v2_shape} with at least one row"
        raise BadInput(f"{field}.shape", expected=expected, found=_shape_text(shape))
    check_rows(shape[0], limits, field=f"{field}.shape")
    values = tensor.get("data")
    if in_texts:
        return from_texts(spec, values, shape[0], field=f"{field}.data", unknown=unknown)
    if isinstance(values, memoryview):
        return from_raw(spec, values, shape[0], field=f"{field}.data")
    return from_flat(spec, values, shape[0], field=f"{field}.data")


def _difference(sent: list[Any], names: list[str]) -> str:
    """How the names of a request differ from those of the model."""
    missing = ", ".join(repr(name) for name in names if name not in sent)
    unknown = ", ".join(kind_of(name) for name in sent if name not in names)
    parts = [f"no {missing}"] if missing else []
    parts += [f"{unknown}, which the model does not take"] if unknown else []
    return "; ".join(parts) or "one of them more than once"


def _shape_text(shape: object) -> str:
    if isinstance(shape, list) and len(shape) <= 8 and all(type(side) is int for side in shape):
        return str(shape)
    return kind_of(shape)


def _outputs(request: dict[str, Any], loaded: ModelVersion) -> list[TensorSpec]:
    """The requested outputs; by default the first of the model.

    Raises:
        BadInput: not the name of an output, or more names than there are outputs.
    """
    outputs = request.get("outputs")
    if not outputs:
        return [loaded.predictor.outputs[0]]
    specs = {spec.name: spec for spec in loaded.predictor.outputs}
    if not isinstance(outputs, list):
        raise BadInput("outputs", expected=f"a list of {sorted(specs)}", found="something else")
    # A name repeated a thousand times would make a response far larger than its request.
    if len(outputs) > len(specs):
        expected = f"at most {len(specs)} of {sorted(specs)}"
        raise BadInput("outputs", expected=expected, found=f"{len(outputs)}")
    requested = []
    for place, output in enumerate(outputs):
        name = output.get("name") if isinstance(output, dict) else output
        if not isinstance(name, str) or name not in specs:
            field = f"outputs[{place}].name"
            raise BadInput(field, expected=f"one of {sorted(specs)}", found=kind_of(name))
        requested.append(specs[name])
    return requested
