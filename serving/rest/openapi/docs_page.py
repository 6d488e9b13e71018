"""View model of the documentation page: operations by tag, bodies as tables of fields."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from overnight.serving.rest.invoked_model import INVOCATIONS
from overnight.serving.rest.openapi.document import operations

# Deeper levels of a body are shown by the OpenAPI document only.
_MAXIMUM_DEPTH = 4
_PREDICTIONS = ("/infer", ":predict", ":classify")

Schema = Mapping[str, Any]


class Field(NamedTuple):
    """One field of a body, named by its path within it."""

    name: str
    kind: str
    required: bool
    description: str


class SampleRequest(NamedTuple):
    """A request that the page sends: `target` names a model that the path does not.

    `explores`: it is a prediction, which the prediction log need not have.
    """

    method: str
    path: str
    body: str
    target: str
    explores: bool


def sections(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The tags in their order, each with its operations, references resolved."""
    entries = [_entry(document, *operation) for operation in operations(document)]
    return [
        tag
        | {
            "anchor": "-".join(tag["name"].lower().split()),
            "operations": [entry for entry in entries if entry["tags"] == [tag["name"]]],
        }
        for tag in document["tags"]
    ]


def _entry(
    document: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> dict[str, Any]:
    parameters = [_resolved(document, parameter) for parameter in operation["parameters"]]
    responses = {
        status: _resolved(document, response) for status, response in operation["responses"].items()
    }
    return operation | {
        "path": path,
        "description": operation.get("description", ""),
        "method": method.upper(),
        "requires": _requirement(operation["security"]),
        "parameters": [
            Field(
                parameter["name"],
                _kind(parameter["schema"]),
                parameter.get("required", False),
                parameter["description"],
            )
            for parameter in parameters
        ],
        "bodies": _tables(document, operation.get("requestBody", {"content": {}})),
        "samples": operation["x-codeSamples"],
        "trial": _trial(path, method, operation, parameters),
        "responses": [
            (status, response["description"], _tables(document, response))
            for status, response in responses.items()
        ],
    }


def _trial(
    path: str, method: str, operation: Schema, parameters: list[Schema]
) -> SampleRequest | None:
    """A request that changes nothing, with the examples of the document; None for all others."""
    is_prediction = path == INVOCATIONS or path.endswith(_PREDICTIONS)
    if not (method == "get" or is_prediction) or operation["tags"] == ["Pages"]:
        return None
    content = operation["responses"].get("200", {"content": {}})["content"]
    if not content.keys() & {"application/json", "text/plain"}:
        return None
    model = ""
    for parameter in parameters:
        if parameter["in"] == "path":
            examples = parameter.get("examples", {})
            if not examples:
                return None
            named = next((name for name in examples if f"/{name}/" in path), None)
            value = examples[named or next(iter(examples))]["value"]
            path = path.replace(f"{{{parameter['name']}}}", value)
    body = ""
    if "requestBody" in operation:
        bodies = operation["requestBody"]["content"]["application/json"]["examples"]
        model, example = next(iter(bodies.items()))
        body = json.dumps(example["value"], separators=(",", ":"), ensure_ascii=False)
    return SampleRequest(
        method.upper(), path, body, model if path == INVOCATIONS else "", is_prediction
    )


def _requirement(security: list[Schema]) -> str:
    if not security:
        return ""
    return "a key, if this server requires one" if {} in security else "an administrator's token"


def _tables(document: Schema, body: Schema) -> dict[str, list[Field]]:
    """Fields by media type."""
    return {
        media_type: list(_fields(document, media["schema"]))
        for media_type, media in body["content"].items()
    }


def _resolved(document: Schema, schema: Schema) -> Schema:
    """The target of a reference; anything else is itself."""
    while "$ref" in schema:
        target: Any = document
        for key in schema["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        schema = target
    return schema


def _fields(
    document: Schema, schema: Schema, name: str = "", *, required: bool = True, depth: int = 0
) -> Iterator[Field]:
    """A field and the fields within it, each name once."""
    schema = _resolved(document, schema)
    if name:
        yield Field(name, _kind(schema), required, schema.get("description", ""))
    if depth == _MAXIMUM_DEPTH or {"type": "null"} in schema.get("anyOf", ()):
        return
    shown = {name}
    for inner, inner_name, is_required in _within(schema, name):
        for field in _fields(document, inner, inner_name, required=is_required, depth=depth + 1):
            if field.name not in shown:
                shown.add(field.name)
                yield field


def _within(schema: Schema, name: str) -> Iterator[tuple[Schema, str, bool]]:
    for choice in _choices(schema):
        yield choice, name, True
    required = schema.get("required", ())
    for key, inner in schema.get("properties", {}).items():
        yield inner, f"{name}.{key}" if name else key, key in required
    items = schema.get("items", {})
    if not items.keys().isdisjoint({"properties", "anyOf", "$ref"}):
        yield items, f"{name}[]", True


def _choices(schema: Schema) -> list[Schema]:
    return [choice for kind in ("allOf", "oneOf", "anyOf") for choice in schema.get(kind, ())]


def _kind(schema: Schema) -> str:
    """A type as the table shows it, such as `string or null` or `integer 0 to 255`."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind is None:
        kinds = [_kind(choice) for choice in _choices(schema) if "type" in choice]
        return " or ".join(dict.fromkeys(kinds)) or "object"
    if axes := schema.get("prefixItems"):
        return f"[{', '.join(_kind(axis).removeprefix('integer ') for axis in axes)}]"
    low, high = schema.get("minimum"), schema.get("maximum")
    return f"{kind} {low:g} to {high:g}" if low is not None and high is not None else str(kind)
