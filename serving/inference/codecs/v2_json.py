"""The Open Inference Protocol v2: tensors by name, with shape and datatype, flat or nested."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from overnight.serving.errors import BadInput, LimitExceeded, UnfitInputs
from overnight.serving.inference.codecs.v2_binary import parameters_of
from overnight.serving.inference.codecs.v2_outputs import classified, requested_outputs
from overnight.serving.inference.decoding import check_rows, from_flat, from_raw, from_texts
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Allowance, Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.novelty import UNLIKE_TRAINING_COUNT, count, wanted
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.signatures import fits, sent_tensors, signature_of
from overnight.serving.inference.texts import flat_texts
from overnight.serving.inference.vocabulary import TEXTS, OutOfVocabulary
from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.schema import TensorSpec

OUT_OF_VOCABULARY = "out_of_vocabulary"
OUT_OF_VOCABULARY_COUNT = "out_of_vocabulary_count"


def infer(
    request: dict[str, Any], loaded: ModelVersion, limits: Limits, *, text: bytes | None = None
) -> dict[str, Any]:
    """Decode a request, run it and build the response, whose `data` are arrays, or texts.

    `text` is the JSON of the request, where it came as one.

    Raises:
        UnfitInputs: its tensors are others than those of the version, by name, type or shape.
        BadInput: naming the field, its expected and its actual value.
    """
    unknown, sent_id = OutOfVocabulary(), request.get("id")
    if sent_id is not None and not isinstance(sent_id, str):
        raise BadInput("id", expected="a text", found=kind_of(sent_id))
    inputs = _inputs(request, loaded, Allowance(limits, text=text), unknown)
    specs: Sequence[TensorSpec] = loaded.predictor.outputs
    classes: dict[str, int] = {}
    if "outputs" in request:
        specs, classes = requested_outputs(request, loaded)
    body = respond(inputs, specs, loaded)
    if classes:
        body["outputs"] = [_with_classes(output, classes, loaded) for output in body["outputs"]]
    if unknown:
        # The protocol allows only strings, numbers and booleans as parameters, and typed clients
        # rely on it, so the list is JSON within a string.
        listed = json.dumps(unknown.entries, ensure_ascii=False)
        body["parameters"] = body.get("parameters", {}) | {
            OUT_OF_VOCABULARY: listed,
            OUT_OF_VOCABULARY_COUNT: len(unknown),
        }
    if sent_id is not None:
        body["id"] = sent_id
    return body


def respond(
    inputs: dict[str, Array], outputs: Sequence[TensorSpec], loaded: ModelVersion
) -> dict[str, Any]:
    """Run checked arrays [n, …] and build the response."""
    check = loaded.predictor.novelty
    arrays = loaded.predict(inputs, wanted([spec.name for spec in outputs], check))
    manifest = loaded.predictor.manifest
    body: dict[str, Any] = {
        "model_name": manifest.model,
        "model_version": manifest.version,
        "outputs": [_output(spec, arrays[spec.name]) for spec in outputs],
    }
    unlike = arrays.pop(UNLIKE_TRAINING, None)
    if check is not None and unlike is not None:
        # As a text, because parameters are strings, numbers and booleans.
        listed = json.dumps(check.reasons(inputs, unlike), ensure_ascii=False)
        body["parameters"] = {UNLIKE_TRAINING: listed, UNLIKE_TRAINING_COUNT: count(unlike)}
    return body


def _output(spec: TensorSpec, rows: Array) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(rows.shape),
        "datatype": spec.datatype,
        "data": rows.reshape(-1),
    }


def _with_classes(
    output: dict[str, Any], classes: Mapping[str, int], loaded: ModelVersion
) -> dict[str, Any]:
    """The output, as its likeliest classes where they are asked for."""
    name = output["name"]
    if name not in classes:
        return output
    rows = output["data"].reshape(output["shape"])
    return output | classified(rows, classes[name], loaded.manifest.tensors.classes(name))


def _inputs(
    request: dict[str, Any], loaded: ModelVersion, allowance: Allowance, unknown: OutOfVocabulary
) -> dict[str, Array]:
    """The input tensors of a request, in the schema's order, all with the same number of rows.

    Those with a default may be absent.
    """
    tensors = request.get("inputs")
    specs = loaded.predictor.inputs
    if not isinstance(tensors, list) or not set(map(type, tensors)) <= {dict}:
        names = [spec.name for spec in specs]
        raise BadInput(
            "inputs", expected=f"a list of the tensors {names}", found=_no_tensors(tensors)
        )
    if loaded.ignored:
        tensors = [tensor for tensor in tensors if not _is_ignored(tensor, loaded)]
    try:
        if len(tensors) == len(specs) == 1 and tensors[0].get("name") == specs[0].name:
            array = _decoded(specs[0], tensors[0], allowance, unknown, field="inputs[0]")
            return {specs[0].name: array}
        return _by_name(tensors, specs, allowance, unknown)
    except LimitExceeded:
        raise
    except BadInput as error:
        sent = sent_tensors(tensors)
        if not sent or fits(sent, signature_of(specs)):
            raise
        raise UnfitInputs(
            error.field, expected=error.expected, found=error.found, sent=sent
        ) from None


def _no_tensors(sent: object) -> str:
    """What was sent in place of a list of objects."""
    others = [item for item in sent if not isinstance(item, dict)] if isinstance(sent, list) else []
    return f"{kind_of(others[0])} in it" if others else kind_of(sent)


def _is_ignored(tensor: dict[str, Any], loaded: ModelVersion) -> bool:
    name = tensor.get("name")
    return isinstance(name, str) and name in loaded.ignored


def _by_name(
    tensors: list[dict[str, Any]],
    specs: Sequence[TensorSpec],
    allowance: Allowance,
    unknown: OutOfVocabulary,
) -> dict[str, Array]:
    """The tensors of a request by name, decoded."""
    names = [spec.name for spec in specs]
    sent = [tensor.get("name") for tensor in tensors[: len(names) + 1]]
    # Names of any type may have been sent, also such that cannot be in a set.
    is_known = all(isinstance(name, str) and name in names for name in sent)
    missing = [spec.name for spec in specs if spec.default is None and spec.name not in sent]
    if not sent or not is_known or missing or len(set(sent)) != len(tensors):
        raise BadInput("inputs", expected=f"the tensors {names}", found=_difference(sent, specs))
    by_name = {tensor["name"]: (place, tensor) for place, tensor in enumerate(tensors)}
    arrays: dict[str, Array] = {}
    for spec in specs:
        if spec.name in by_name:
            place, tensor = by_name[spec.name]
            field = f"inputs[{place}]"
            arrays[spec.name] = _decoded(spec, tensor, allowance, unknown, field=field)
    rows = {len(array) for array in arrays.values()}
    if len(rows) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found=str(rows))
    return arrays


def _decoded(
    spec: TensorSpec,
    tensor: dict[str, Any],
    allowance: Allowance,
    unknown: OutOfVocabulary,
    *,
    field: str,
) -> Array:
    shape: Any = tensor.get("shape")
    datatype = tensor.get("datatype")
    is_text = datatype == TEXTS and (spec.accepts_text or spec.takes_pictures)
    if datatype != spec.datatype and not is_text:
        also_text = spec.accepts_text or spec.takes_pictures
        expected = f"{spec.datatype} or {TEXTS}" if also_text else spec.datatype
        raise BadInput(f"{field}.datatype", expected=expected, found=kind_of(datatype))
    of_row = _row_shape(spec, shape, is_text=is_text)
    if of_row is None or set(map(type, shape)) != {int} or shape[0] < 1:
        expected = f"{spec.v2_shape} with at least one row"
        raise BadInput(f"{field}.shape", expected=expected, found=_shape_text(shape))
    check_rows(shape[0], allowance.limits, field=f"{field}.shape")
    if "parameters" in tensor:
        _check_size(parameters_of(tensor, field=field), field=field)
    values, named = tensor.get("data"), f"{field}.data"
    if of_row == [1] and not spec.shape:
        values, of_row = _without_axis(values), spec.shape
    if is_text and not spec.lengths:
        return from_texts(spec, values, shape[0], field=named, unknown=unknown, allowance=allowance)
    if is_text and isinstance(values, memoryview):
        # Names of categories in rows of varying length, each after its own length in bytes.
        values = flat_texts(values, max(0, math.prod((shape[0], *of_row))), field=named)
    if isinstance(values, memoryview):
        return from_raw(spec, values, (shape[0], *of_row), field=named)
    return from_flat(
        spec,
        values,
        (shape[0], *of_row),
        field=named,
        unknown=unknown if is_text else None,
        allowance=allowance,
    )


def _row_shape(spec: TensorSpec, shape: Any, *, is_text: bool) -> Sequence[int] | None:
    """The shape of a row as it was sent; None where it may not be so.

    It is that of the tensor. But of pictures as texts each row is one, and rows of varying length
    may be shorter; lists of several lengths have -1 there. Single values may be a column, [n, 1],
    which is all that MLServer's codecs of arrays and tables make.
    """
    if not isinstance(shape, list) or not shape:
        return None
    of_row = shape[1:]
    if of_row == list(spec.shape):
        return spec.shape
    if of_row == [1] and not spec.shape:
        return of_row
    if is_text and spec.takes_pictures and of_row in ([], [1]):
        return of_row
    if spec.lengths and len(of_row) == len(spec.shape) and of_row[1:] == list(spec.shape[1:]):
        fits_length = type(of_row[0]) is int and -1 <= of_row[0] <= spec.shape[0]
        return of_row if fits_length else None
    return None


def _check_size(parameters: dict[str, Any], *, field: str) -> None:
    """Check `binary_data_size` also where the data are in the JSON, and it says nothing."""
    size = parameters.get("binary_data_size", 0)
    if type(size) is not int or size < 0:
        named = f"{field}.parameters.binary_data_size"
        raise BadInput(named, expected="a number of bytes", found=kind_of(size))


def _without_axis(values: Any) -> Any:
    """Values of a column as those of single values: `[[1], [2]]` as `[1, 2]`."""
    if not isinstance(values, list) or not values or not isinstance(values[0], list):
        return values
    return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in values]


def _difference(sent: list[Any], specs: Sequence[TensorSpec]) -> str:
    """How the names of a request differ from those of the model."""
    names = [spec.name for spec in specs]
    needed = [spec.name for spec in specs if spec.default is None]
    missing = ", ".join(repr(name) for name in needed if name not in sent)
    unknown = ", ".join(kind_of(name) for name in sent if name not in names)
    parts = [f"no {missing}"] if missing else []
    parts += [f"{unknown}, which the model does not take"] if unknown else []
    return "; ".join(parts) or ("one of them more than once" if sent else "none of them")


def _shape_text(shape: object) -> str:
    if isinstance(shape, list) and len(shape) <= 8 and all(type(side) is int for side in shape):
        return str(shape)
    return kind_of(shape)
