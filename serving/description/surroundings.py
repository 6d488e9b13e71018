"""Health, the repository, metrics, and the pages."""

from collections.abc import Iterator
from typing import Any

from serving.description import samples
from serving.description.operation import (
    BODY,
    ENTRANCE,
    HTML,
    JSON,
    TEXT,
    Answer,
    Operation,
    json_of,
)
from serving.description.prediction import KEY, V2
from serving.description.scene import Scene

HEALTH, PAGES = "Health and metrics", "Pages"
_LIVE = {"type": "object", "required": ["live"], "properties": {"live": {"const": True}}}
_READY = {
    "type": "object",
    "required": ["ready"],
    "properties": {
        "ready": {"type": "boolean"},
        "models": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "trouble": {
            "type": "object",
            "description": "what is wrong with following a model; it answers all the same",
            "additionalProperties": {"type": "string"},
        },
    },
}
_SERVER = {
    "type": "object",
    "required": ["name", "version", "extensions"],
    "properties": {
        "name": {"const": "overnight"},
        "version": {"type": "string"},
        "extensions": {"type": "array", "items": {"type": "string"}},
    },
}
_INDEX = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "version", "state", "reason"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "state": {"enum": ["READY", "UNAVAILABLE"]},
            "reason": {"type": "string"},
        },
    },
}
_ONLY_READY = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
_FAULT = (500,)


def operations(scene: Scene) -> Iterator[Operation]:
    """All that is not about one model."""
    yield _get(scene, "/v2/health/live", "live", HEALTH, "Whether the server lives", _LIVE)
    yield _ready(scene)
    yield _metrics(scene)
    yield _get(scene, "/v2", "server", V2, "Who answers, and what is spoken", _SERVER, keyed=True)
    yield _index(scene)
    for change in ("load", "unload"):
        yield _refused(change)
    yield _page(scene, "/", "page", "The page", {HTML: {"schema": {"type": "string"}}})
    yield _page(scene, "/docs", "docs", "This description, to read", _text(HTML))
    yield _page(scene, "/api/openapi.json", "openapi", "This description", _text(JSON, "object"))


def _text(kind: str, schema: str = "string") -> dict[str, Any]:
    return {kind: {"schema": {"type": schema}}}


def _get(
    scene: Scene,
    path: str,
    name: str,
    tag: str,
    summary: str,
    schema: dict[str, Any],
    *,
    keyed: bool = False,
) -> Operation:
    return Operation(
        method="get",
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        told="",
        answers={200: Answer("As asked.", json_of(schema))},
        refusals=(*ENTRANCE, 401) if keyed else _FAULT,
        security=KEY if keyed else (),
        samples=samples.get(scene, path, open_to_all=not keyed),
    )


def _ready(scene: Scene) -> Operation:
    return Operation(
        method="get",
        path="/v2/health/ready",
        name="ready",
        tag=HEALTH,
        summary="Whether every model that answers here is loaded and verified",
        told="The store may be away: then `trouble` says so, and this host stays ready. Where keys "
        "are needed, only who sends one hears of models and of trouble.",
        answers={
            200: Answer("Ready.", json_of(_READY)),
            503: Answer("Not ready (yet), or about to stop.", json_of(_READY)),
        },
        refusals=_FAULT,
        samples=samples.get(scene, "/v2/health/ready", open_to_all=True),
    )


def _metrics(scene: Scene) -> Operation:
    return Operation(
        method="get",
        path="/metrics",
        name="metrics",
        tag=HEALTH,
        summary="Counters and gauges of all workers of this host, for Prometheus",
        told="",
        answers={200: Answer("Prometheus' text format.", _text(TEXT))},
        refusals=_FAULT,
        samples=samples.get(scene, "/metrics", open_to_all=True),
    )


def _index(scene: Scene) -> Operation:
    return Operation(
        method="post",
        path="/v2/repository/index",
        name="index",
        tag=V2,
        summary="Every loaded version",
        told="Models without one are told as `UNAVAILABLE`, unless `ready` is true.",
        content=json_of(_ONLY_READY, examples={"all": {"value": {}}}),
        is_body_needed=False,
        answers={200: Answer("As asked.", json_of(_INDEX))},
        refusals=(*ENTRANCE, *BODY, 401),
        security=KEY,
        samples=(samples.post_json(scene, "/v2/repository/index", {"ready": True}),),
    )


def _refused(change: str) -> Operation:
    return Operation(
        method="post",
        path=f"/v2/repository/models/{{model}}/{change}",
        name=change,
        tag=V2,
        summary=f"Refused: nobody can {change} a version past the gates",
        told="What is loaded follows the aliases in the store; `overnight promote` moves them.",
        answers={},
        refusals=(*ENTRANCE, *BODY, 401, 403, 404),
        security=KEY,
    )


def _page(scene: Scene, path: str, name: str, summary: str, content: dict[str, Any]) -> Operation:
    return Operation(
        method="get",
        path=path,
        name=name,
        tag=PAGES,
        summary=summary,
        told="Needs no key.",
        answers={200: Answer("As asked.", content)},
        samples=samples.get(scene, path, open_to_all=True),
    )
