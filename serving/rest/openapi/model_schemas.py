"""JSON schemas of the requests of one model, from the tensors of its current version."""

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


def v2_request(general: dict[str, Any], tensors: Schema, limits: Limits) -> dict[str, Any]:
    """The body of `infer`: the general schema with the inputs of the model."""
    request: dict[str, Any] = general["V2Request"]
    count = len(tensors.inputs)
    inputs = {
        "type": "array",
        "minItems": count,
        "maxItems": count,
        "items": {
            "anyOf": [_v2_tensor(general["V2Tensor"], spec, limits) for spec in tensors.inputs]
        },
    }
    return request | {"properties": request["properties"] | {"inputs": inputs}}


def v1_request(tensors: Schema) -> dict[str, Any]:
    """The body of `:predict`, by row or by column."""
    values = {spec.name: _nested(spec) for spec in tensors.inputs}
    columns = {name: {"type": "array", "items": value} for name, value in values.items()}
    row, column = _object(values), _object(columns)
    if len(values) == 1:
        row = {"anyOf": [*values.values(), row]}
        column = {"anyOf": [*columns.values(), column]}
    signature = {"signature_name": {"enum": ["serving_default", ""]}}
    rows = {"type": "array", "minItems": 1, "items": row}
    return {
        "oneOf": [
            {"type": "object", "required": [name], "properties": {name: body} | signature}
            for name, body in (("instances", rows), ("inputs", column))
        ]
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _nested(spec: TensorSpec) -> dict[str, Any]:
    """One row as nested lists, whose lengths stand in descriptions."""
    kind = _JSON_TYPES[spec.datatype]
    kinds = [kind, *(["string"] if spec.accepts_text else []), *(["null"] if spec.nullable else [])]
    schema: dict[str, Any] = {"type": kinds if len(kinds) > 1 else kind}
    if spec.datatype != "BOOL":
        bounds = {"minimum": spec.minimum, "maximum": spec.maximum}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if meaning := _meaning(spec):
        schema["description"] = meaning
    for length in reversed(spec.shape):
        schema = {"type": "array", "items": schema, "description": f"{length} elements"}
    return schema


def _v2_tensor(general: dict[str, Any], spec: TensorSpec, limits: Limits) -> dict[str, Any]:
    rows = {"type": "integer", "minimum": 1, "maximum": limits.batch_rows}
    axes = [rows, *({"const": length} for length in spec.shape)]
    layout = f"{list(spec.shape)} per row, row-major: flat, or nested by row"
    refined = {
        "name": {"const": spec.name},
        "datatype": _datatype(spec),
        "shape": {
            "type": "array",
            "prefixItems": axes,
            "minItems": len(axes),
            "maxItems": len(axes),
        },
        "data": {"type": "array", "description": ". ".join(filter(None, [layout, _meaning(spec)]))},
    }
    return general | {"properties": general["properties"] | refined}


def _datatype(spec: TensorSpec) -> dict[str, Any]:
    """The datatype of the tensor, or text where it has a vocabulary or dates."""
    if not spec.accepts_text:
        return {"const": spec.datatype}
    texts = "dates such as 2026-11-22" if spec.date else "entries of the vocabulary"
    description = f"{TEXTS} for {texts} in place of numbers"
    return {"enum": [spec.datatype, TEXTS], "description": description}


def _meaning(spec: TensorSpec) -> str:
    """What the numbers of a tensor stand for."""
    entries = "; ".join(f"{number} is {entry}" for number, entry in enumerate(spec.vocabulary))
    fallback = f"out of vocabulary is encoded as {spec.otherwise}" if spec.otherwise else ""
    missing = "null for a missing value" if spec.nullable else ""
    return ". ".join(filter(None, (spec.description, entries, fallback, missing)))
