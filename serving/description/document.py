"""The OpenAPI 3.1 document, put together from all operations."""

from importlib.metadata import version
from itertools import chain
from typing import Any

from serving.description import (
    own,
    own_schemas,
    prediction,
    protocol_schemas,
    surroundings,
)
from serving.description.operation import Operation, refusal_responses
from serving.description.scene import Scene

VERSION = version("overnight")
TAGS = {
    prediction.V2: "Tensors by name, as JSON, raw bytes or a picture.",
    prediction.V1: "Rows or columns as nested lists; clients of TensorFlow Serving work unchanged.",
    own.MODELS: "What answers here, since when, by whom and why.",
    own.ADMINISTRATION: "Changing what answers by hand, with a token and a reason.",
    surroundings.HEALTH: "For orchestrators and dashboards; answered in any crowd, without a key.",
    surroundings.PAGES: "For people.",
}


def operations(scene: Scene) -> list[Operation]:
    """Everything that can be asked, in the order of the tags."""
    every = chain(
        prediction.operations(scene), own.operations(scene), surroundings.operations(scene)
    )
    order = list(TAGS)
    return sorted(every, key=lambda one: order.index(one.tag))


def document(scene: Scene) -> dict[str, Any]:
    """The description as a program reads it."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations(scene):
        paths.setdefault(operation.path, {})[operation.method] = operation.told_as_openapi()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "overnight",
            "version": VERSION,
            "description": "Answers of models that are retrained every night. Every answer names "
            "the version that gave it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": scene.url}],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(scene),
            "parameters": _parameters(scene),
            "headers": _HEADERS,
            "responses": refusal_responses(),
            "securitySchemes": _SECURITY,
        },
    }


def _schemas(scene: Scene) -> dict[str, Any]:
    found = protocol_schemas.GENERAL | own_schemas.schemas()
    for model, served in scene.shown().items():
        found[f"{model}.v2"] = protocol_schemas.v2_request(served.tensors, scene.limits)
        found[f"{model}.v1"] = protocol_schemas.v1_request(served.tensors)
    return found


def _parameters(scene: Scene) -> dict[str, Any]:
    shown = scene.shown()
    versions = {model: {"value": served.version} for model, served in shown.items()}
    return {
        "model": _in_path("model", "its name", {model: {"value": model} for model in shown}),
        "version": _in_path("version", "its name; it must be loaded here", versions),
        "label": _in_path(
            "label",
            "an alias: `champion`, or `challenger` while there is one",
            {"champion": {"value": "champion"}},
        ),
        "inference_header": {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "bytes of the JSON, when raw tensors follow it",
            "schema": {"type": "integer", "minimum": 0},
        },
        "client_key": {
            "name": "X-Client-Key",
            "in": "header",
            "description": "whoever sends the same is answered by the same side of a canary",
            "schema": {"type": "string", "maxLength": 200},
        },
    }


def _in_path(name: str, told: str, examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": told,
        "schema": {"type": "string", "minLength": 1},
        "examples": examples,
    }


def _header(told: str) -> dict[str, Any]:
    return {"description": told, "required": True, "schema": {"type": "string"}}


_HEADERS = {
    "X-Model-Version": _header("The version that answered."),
    "X-Request-Id": _header("The caller's own, if it sent a decent one; else one of ours."),
    "Retry-After": _header("Seconds after which to ask again."),
    "WWW-Authenticate": _header("How to say who asks."),
}
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An administrator's token, or a key for predictions.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key for predictions, where this server asks for one.",
    },
}
