"""JSON schemas of the requests of one model, from the tensors of its current version."""

import itertools
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from overnight.serving.inference.limits import Limits
from overnight.serving.inference.vocabulary import TEXTS
from overnight.store.schema import Datatype, Schema, TensorSpec

_JSON_TYPES: dict[Datatype, str] = {
    "BOOL": "boolean",
    "UINT8": "integer",
    "INT8": "integer",
    "INT32": "integer",
    "INT64": "integer",
    "FP32": "number",
    "FP64": "number",
    "BYTES": "string",
}


_SIGNATURE = {"signature_name": {"enum": ["serving_default", ""]}}
# Bytes as TensorFlow Serving's clients send them: texts in UTF-8, or files of pictures.
_BASE64 = {
    "type": "object",
    "required": ["b64"],
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "additionalProperties": False,
}


def v2_request(general: dict[str, Any], tensors: Schema, limits: Limits) -> dict[str, Any]:
    """The body of `infer`: the general schema with the inputs of the model."""
    request: dict[str, Any] = general["V2Request"]
    needed = [spec for spec in tensors.inputs if spec.default is None]
    inputs = {
        "type": "array",
        "minItems": len(needed) or 1,
        "maxItems": len(tensors.inputs),
        "items": {
            "anyOf": [
                form
                for spec in tensors.inputs
                for form in _v2_forms(general["V2Tensor"], spec, limits)
            ]
        },
    }
    outputs = _outputs(request["properties"]["outputs"], tensors)
    return request | {"properties": request["properties"] | {"inputs": inputs, "outputs": outputs}}


def _outputs(general: dict[str, Any], tensors: Schema) -> dict[str, Any]:
    """The requested outputs, which are those of the model."""
    output: dict[str, Any] = general["items"]
    name = {"enum": [spec.name for spec in tensors.outputs]}
    named = output | {"properties": output["properties"] | {"name": name}}
    return general | {"maxItems": len(tensors.outputs), "items": named}


def v1_request(tensors: Schema) -> dict[str, Any]:
    """The body of `:predict`, by row or by column; all rows of it are of one form."""
    rows, columns = list(_rows_by_name(tensors)), list(_columns_by_name(tensors))
    if len(tensors.inputs) == 1:
        values = _values(tensors.inputs[0])
        rows = [*values, *rows]
        columns = [*map(_list, values), *columns]
    bodies = {"instances": _any([_list(row) for row in rows]), "inputs": _any(columns)}
    return {
        "oneOf": [
            {
                "type": "object",
                "required": [name],
                "not": {"required": [other]},
                "properties": {name: bodies[name]} | _SIGNATURE,
            }
            for name, other in (("instances", "inputs"), ("inputs", "instances"))
        ]
    }


def v1_examples(tensors: Schema) -> dict[str, Any]:
    """The body of `:classify`."""
    examples = _any([_list(row) for row in _rows_by_name(tensors)])
    return {
        "type": "object",
        "required": ["examples"],
        "properties": {"examples": examples} | _SIGNATURE,
    }


def _rows_by_name(tensors: Schema) -> Iterator[dict[str, Any]]:
    """Each form of a row as an object."""
    for values in itertools.product(*map(_values, tensors.inputs)):
        names = [spec.name for spec in tensors.inputs]
        yield _object(dict(zip(names, values, strict=True)), _optional(tensors))


def _columns_by_name(tensors: Schema) -> Iterator[dict[str, Any]]:
    """Each form of all columns as an object."""
    for values in itertools.product(*map(_values, tensors.inputs)):
        names = [spec.name for spec in tensors.inputs]
        yield _object(dict(zip(names, map(_list, values), strict=True)), _optional(tensors))


def _optional(tensors: Schema) -> set[str]:
    return {spec.name for spec in tensors.inputs if spec.default is not None}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


def _any(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": schemas} if len(schemas) > 1 else schemas[0]


def _object(properties: dict[str, Any], optional: AbstractSet[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
        "additionalProperties": False,
    }
    return schema if schema["required"] else schema | {"minProperties": 1}


def _values(spec: TensorSpec) -> list[dict[str, Any]]:
    """The forms of one row: nested lists, whose lengths stand in descriptions; or a picture's file.

    Texts may be base64 one by one, pictures all or none.
    """
    nested = _nested(spec)
    if spec.text is not None:
        return [{"anyOf": [nested, _BASE64]}]
    return [nested, _BASE64] if spec.takes_pictures else [nested]


def _nested(spec: TensorSpec) -> dict[str, Any]:
    kind = _JSON_TYPES[spec.datatype]
    # Of a text, that is the only type, and it is there already.
    texts = ["string"] if spec.accepts_text and spec.text is None else []
    kinds = [kind, *texts, *(["null"] if spec.accepts_missing else [])]
    schema: dict[str, Any] = {"type": kinds if len(kinds) > 1 else kind}
    if spec.datatype not in {"BOOL", "BYTES"}:
        bounds = {"minimum": spec.minimum, "maximum": spec.maximum}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if meaning := _meaning(spec):
        schema["description"] = meaning
    for axis, length in reversed([*enumerate(spec.shape)]):
        most = "at most " if axis == 0 and spec.lengths else ""
        schema = {"type": "array", "items": schema, "description": f"{most}{length} elements"}
    return schema


def _v2_forms(
    general: dict[str, Any], spec: TensorSpec, limits: Limits
) -> Iterator[dict[str, Any]]:
    """The forms of a tensor: values, and files of pictures where it takes them."""
    rows = {"type": "integer", "minimum": 1, "maximum": limits.batch_rows}
    axes: list[dict[str, Any]] = [rows, *({"const": length} for length in spec.shape)]
    layout = f"{list(spec.shape)} per row, row-major: flat, or nested by row"
    if spec.lengths:
        axes[1] = {"type": "integer", "minimum": -1, "maximum": spec.shape[0]}
        layout += f"; rows of several lengths are nested, and the shape has -1 for {spec.shape[0]}"
    described = ". ".join(filter(None, [layout, _meaning(spec)]))
    yield _v2_form(general, spec, _datatype(spec), _axes(*axes), described)
    if spec.takes_pictures:
        shape = {"anyOf": [_axes(rows), _axes(rows, {"const": 1}), _axes(*axes)]}
        files = f"each row is a PNG, JPEG or WebP in base64, as {TEXTS}"
        yield _v2_form(general, spec, {"const": TEXTS}, shape, files)


def _v2_form(
    general: dict[str, Any],
    spec: TensorSpec,
    datatype: dict[str, Any],
    shape: dict[str, Any],
    described: str,
) -> dict[str, Any]:
    refined = {
        "name": {"const": spec.name},
        "datatype": datatype,
        "shape": shape,
        "data": {"type": "array", "description": described},
    }
    return general | {"properties": general["properties"] | refined}


def _axes(*axes: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "prefixItems": list(axes),
        "minItems": len(axes),
        "maxItems": len(axes),
    }


def _datatype(spec: TensorSpec) -> dict[str, Any]:
    """The datatype of values, or text where they have a vocabulary or are dates."""
    if not spec.accepts_text or spec.text is not None:
        return {"const": spec.datatype}
    texts = "dates such as 2026-11-22" if spec.date else "entries of the vocabulary"
    description = f"{TEXTS} for {texts} in place of numbers"
    return {"enum": [spec.datatype, TEXTS], "description": description}


def _meaning(spec: TensorSpec) -> str:
    """What the numbers of a tensor stand for."""
    entries = "; ".join(f"{number} is {entry}" for number, entry in enumerate(spec.vocabulary))
    fallback = f"out of vocabulary is encoded as {spec.otherwise}" if spec.otherwise else ""
    missing = "null for a missing value" if spec.accepts_missing else ""
    absent = f"may be absent, which means {spec.default}" if spec.default is not None else ""
    picture = f"other sizes: {spec.picture.resize}" if spec.picture and spec.picture.resize else ""
    return ". ".join(filter(None, (spec.description, entries, fallback, missing, absent, picture)))
