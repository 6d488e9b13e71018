"""Bodies of the two protocols: in general, and for each model that is served."""

from typing import Any

from serving.description.operation import ref
from serving.inference.limits import Limits
from serving.protocols.v2 import OTHERWISE
from serving.words import TEXTS
from store.schema import Datatype, Schema, TensorSpec

_KINDS: dict[Datatype, str] = {
    "BOOL": "boolean",
    "UINT8": "integer",
    "INT8": "integer",
    "INT32": "integer",
    "INT64": "integer",
    "FP32": "number",
    "FP64": "number",
}
_PARAMETERS = {
    "type": "object",
    "properties": {
        "binary_data_size": {
            "type": "integer",
            "minimum": 0,
            "description": "bytes of this tensor behind the JSON, in place of `data`",
        }
    },
}
_WANTED = {
    "type": "array",
    "description": "the outputs wanted; the first of the model when none is named",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {"binary_data": {"type": "boolean"}},
            },
        },
    },
}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "description": "row-major and flat"},
        "parameters": _PARAMETERS,
    },
}
_OTHERWISE = {
    "type": "string",
    "description": "which elements were no words of their vocabularies, and were answered as other",
}
GENERAL: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "what, and what to do"}},
    },
    "V2Answer": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string", "description": "as the request had it"},
            "outputs": {"type": "array", "minItems": 1, "items": _TENSOR},
            "parameters": {
                "type": "object",
                "properties": {OTHERWISE: _OTHERWISE},
            },
        },
    },
    "V2Metadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"const": "litert"},
            "inputs": {"type": "array", "items": _TENSOR},
            "outputs": {"type": "array", "items": _TENSOR},
        },
    },
    "V1Rows": {
        "type": "object",
        "required": ["predictions"],
        "properties": {
            "predictions": {"type": "array", "description": "one element a row"},
            OTHERWISE: _OTHERWISE,
        },
    },
    "V1Columns": {
        "type": "object",
        "required": ["outputs"],
        "properties": {
            "outputs": {"type": "array", "description": "one element a row"},
            OTHERWISE: _OTHERWISE,
        },
    },
}


def v2_request(tensors: Schema, limits: Limits) -> dict[str, Any]:
    """The body of `infer` for one model."""
    count = len(tensors.inputs)
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {
                "type": "array",
                "minItems": count,
                "maxItems": count,
                "items": {"anyOf": [_v2_tensor(spec, limits) for spec in tensors.inputs]},
            },
            "outputs": _WANTED,
            "parameters": {
                "type": "object",
                "properties": {"binary_data_output": {"type": "boolean"}},
            },
        },
    }


def v1_request(tensors: Schema) -> dict[str, Any]:
    """The body of `:predict` for one model: by row or by column."""
    by_name = {spec.name: nested(spec) for spec in tensors.inputs}
    columns = {name: {"type": "array", "items": one} for name, one in by_name.items()}
    row: dict[str, Any] = _exactly(by_name)
    column: dict[str, Any] = _exactly(columns)
    if len(by_name) == 1:
        (bare,) = by_name.values()
        row = {"anyOf": [bare, row]}
        column = {"anyOf": [{"type": "array", "items": bare}, column]}
    signature = {"signature_name": {"enum": ["serving_default", ""]}}
    rows = {"type": "array", "minItems": 1, "items": row}
    return {
        "oneOf": [
            _object({"instances": rows}, signature),
            _object({"inputs": column}, signature),
        ]
    }


def nested(spec: TensorSpec) -> dict[str, Any]:
    """One row of a tensor as nested lists; their lengths are told in words."""
    kind = _KINDS[spec.datatype]
    kinds = [kind, *(["string"] if spec.in_words else []), *(["null"] if spec.nullable else [])]
    found: dict[str, Any] = {"type": kinds if len(kinds) > 1 else kind}
    if spec.datatype != "BOOL":
        bounds = {"minimum": spec.minimum, "maximum": spec.maximum}
        found |= {name: bound for name, bound in bounds.items() if bound is not None}
    if told := _meaning(spec):
        found["description"] = told
    for side in reversed(spec.shape):
        found = {"type": "array", "items": found, "description": f"{side} of them"}
    return found


def _v2_tensor(spec: TensorSpec, limits: Limits) -> dict[str, Any]:
    rows = {"type": "integer", "minimum": 1, "maximum": limits.batch_rows}
    sides = [rows, *({"const": side} for side in spec.shape)]
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": _datatype(spec),
            "shape": {
                "type": "array",
                "prefixItems": sides,
                "minItems": len(sides),
                "maxItems": len(sides),
            },
            "data": {
                "type": "array",
                "description": ". ".join(
                    part
                    for part in (
                        f"{list(spec.shape)} a row, row-major: flat, or nested by row",
                        _meaning(spec),
                    )
                    if part
                ),
            },
            "parameters": _PARAMETERS,
        },
    }


def _datatype(spec: TensorSpec) -> dict[str, Any]:
    """By number, and by name where the tensor has words or dates."""
    if not spec.in_words:
        return {"const": spec.datatype}
    what = "dates such as 2026-11-22" if spec.date else "words of the vocabulary"
    told = f"{TEXTS} for {what} in place of numbers"
    return {"enum": [spec.datatype, TEXTS], "description": told}


def _meaning(spec: TensorSpec) -> str:
    """What the numbers of a tensor stand for."""
    words = "; ".join(f"{place} is {word}" for place, word in enumerate(spec.vocabulary))
    others = f"any other word is answered as {spec.otherwise}" if spec.otherwise else ""
    missing = "null where nothing is known" if spec.nullable else ""
    return ". ".join(part for part in (spec.description, words, others, missing) if part)


def _exactly(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _object(needed: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(needed), "properties": needed | optional}


def named(kind: str, model: str) -> dict[str, str]:
    """The schema of one model's requests, by reference."""
    return ref(f"{model}.{kind}")
