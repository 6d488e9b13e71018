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


def answer(asked: dict[str, Any], loaded: ModelVersion, limits: Limits) -> dict[str, Any]:
    """Infer.

    Raises:
        BadInput: naming the field, what it must be and what it is.
    """
    unknown = OutOfVocabulary()
    body = answered(_inputs(asked, loaded, limits, unknown), _wanted(asked, loaded), loaded)
    if unknown:
        # The protocol allows only texts, numbers and booleans as parameters, and typed clients
        # rely on it, so the list is JSON within a text.
        listed = json.dumps(unknown.entries, ensure_ascii=False)
        body["parameters"] = {OUT_OF_VOCABULARY: listed, OUT_OF_VOCABULARY_COUNT: len(unknown)}
    if isinstance(asked.get("id"), str):
        body["id"] = asked["id"]
    return body


def answered(
    inputs: dict[str, Array], wanted: Sequence[TensorSpec], loaded: ModelVersion
) -> dict[str, Any]:
    """Infer from arrays [n, …] that were held against the schema."""
    found = loaded.answer(inputs, [spec.name for spec in wanted])
    manifest = loaded.predictor.manifest
    return {
        "model_name": manifest.model,
        "model_version": manifest.version,
        "outputs": [_output(spec, found[spec.name]) for spec in wanted],
    }


def _output(spec: TensorSpec, rows: Array) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(rows.shape),
        "datatype": spec.datatype,
        "data": rows.reshape(-1),
    }


def _inputs(
    asked: dict[str, Any], loaded: ModelVersion, limits: Limits, unknown: OutOfVocabulary
) -> dict[str, Array]:
    """The input tensors of a request, in the schema's order, all with the same number of rows."""
    given = asked.get("inputs")
    specs = loaded.predictor.inputs
    names = [spec.name for spec in specs]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadInput("inputs", expected=f"a list of the tensors {names}", found="something else")
    if len(given) == len(names) == 1 and given[0].get("name") == names[0]:
        return {names[0]: _tensor(specs[0], given[0], limits, unknown, field="inputs[0]")}
    found = [one.get("name") for one in given[: len(names) + 1]]
    if not all(isinstance(name, str) for name in found) or sorted(found) != sorted(names):
        raise BadInput("inputs", expected=f"the tensors {names}", found=_told(found, names))
    by_name = {one["name"]: (place, one) for place, one in enumerate(given)}
    tensors: dict[str, Array] = {}
    for spec in specs:
        place, one = by_name[spec.name]
        tensors[spec.name] = _tensor(spec, one, limits, unknown, field=f"inputs[{place}]")
    rows = {len(tensor) for tensor in tensors.values()}
    if len(rows) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found=str(rows))
    return tensors


def _tensor(
    spec: TensorSpec, given: dict[str, Any], limits: Limits, unknown: OutOfVocabulary, *, field: str
) -> Array:
    shape, datatype = given.get("shape"), given.get("datatype")
    in_texts = datatype == TEXTS and spec.in_words
    if datatype != spec.datatype and not in_texts:
        expected = f"{spec.datatype} or {TEXTS}" if spec.in_words else spec.datatype
        raise BadInput(f"{field}.datatype", expected=expected, found=kind_of(datatype))
    if (
        not isinstance(shape, list)
        or not shape
        or shape[1:] != list(spec.shape)
        or type(shape[0]) is not int
        or shape[0] < 1
    ):
        expected = f"{spec.v2_shape} with at least one row"
        raise BadInput(f"{field}.shape", expected=expected, found=_shape_told(shape))
    check_rows(shape[0], limits, field=f"{field}.shape")
    values = given.get("data")
    if in_texts:
        return from_texts(spec, values, shape[0], field=f"{field}.data", unknown=unknown)
    if isinstance(values, memoryview):
        return from_raw(spec, values, shape[0], field=f"{field}.data")
    return from_flat(spec, values, shape[0], field=f"{field}.data")


def _told(found: list[Any], names: list[str]) -> str:
    """How the names of a request differ from those of the model."""
    missing = ", ".join(repr(name) for name in names if name not in found)
    strange = ", ".join(kind_of(name) for name in found if name not in names)
    parts = [f"no {missing}"] if missing else []
    parts += [f"{strange}, which the model does not take"] if strange else []
    return "; ".join(parts) or "one of them more than once"


def _shape_told(shape: object) -> str:
    if isinstance(shape, list) and len(shape) <= 8 and all(type(side) is int for side in shape):
        return str(shape)
    return kind_of(shape)


def _wanted(asked: dict[str, Any], loaded: ModelVersion) -> list[TensorSpec]:
    """The outputs that were asked for; the answer alone when none was.

    Raises:
        BadInput: no output's name, or more than there are: an answer is many times as large as
            the few letters that ask for it.
    """
    outputs = asked.get("outputs")
    if not outputs:
        return [loaded.predictor.outputs[0]]
    specs = {spec.name: spec for spec in loaded.predictor.outputs}
    if not isinstance(outputs, list):
        raise BadInput("outputs", expected=f"a list of {sorted(specs)}", found="something else")
    if len(outputs) > len(specs):
        expected = f"at most {len(specs)} of {sorted(specs)}"
        raise BadInput("outputs", expected=expected, found=f"{len(outputs)}")
    wanted = []
    for place, output in enumerate(outputs):
        name = output.get("name") if isinstance(output, dict) else output
        if not isinstance(name, str) or name not in specs:
            field = f"outputs[{place}].name"
            raise BadInput(field, expected=f"one of {sorted(specs)}", found=kind_of(name))
        wanted.append(specs[name])
    return wanted
