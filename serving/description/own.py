"""Our own addresses: what answers and why, its past and its traffic, and changing it by hand."""

from collections.abc import Iterator
from typing import Any

from serving.description import samples
from serving.description.operation import (
    BODY,
    ENTRANCE,
    HTML,
    Answer,
    Operation,
    Sample,
    json_of,
    ref,
)
from serving.description.prediction import KEY
from serving.description.scene import Scene

MODELS, ADMINISTRATION = "Models", "Administration"
TOKEN: tuple[dict[str, list[str]], ...] = ({"bearer": []},)
_ASKED = (*ENTRANCE, 401)
_REFRESHING = {
    "type": "object",
    "required": ["model", "refreshing"],
    "properties": {"model": {"type": "string"}, "refreshing": {"const": True}},
}
_CHANGED = (*ENTRANCE, *BODY, 401, 403, 404, 409)


def operations(scene: Scene) -> Iterator[Operation]:
    """All under `/api` but this description."""
    yield from _told(scene)
    yield from _changing(scene)


def _told(scene: Scene) -> Iterator[Operation]:
    yield _get(scene, "/models", "models", "Every model: what answers, and why", "Models")
    yield _get(scene, "/models/{model}", "model", "One model: what answers, and why", "Model")
    yield _get(
        scene,
        "/models/{model}/history",
        "history",
        "Who served when, by whom and why, and how well on what arrived, newest first",
        "History",
    )
    yield _get(
        scene,
        "/models/{model}/versions",
        "versions",
        "The versions that are remembered, with their gates, newest first",
        "Versions",
    )
    yield _report(scene)
    yield _get(
        scene,
        "/models/{model}/examples",
        "examples",
        "Rows that the version has answered in training, as tensors of a request of v2",
        "Examples",
    )
    yield _get(
        scene, "/traffic", "traffic", "Requests and latency of the last five minutes", "Traffic"
    )
    yield _refresh(scene)


def _refresh(scene: Scene) -> Operation:
    path = "/api/models/{model}/refresh"
    return Operation(
        method="post",
        path=path,
        name="refresh",
        tag=MODELS,
        summary="Check the store for a new champion now",
        told="For clients that just promoted a version and do not want to wait for the next poll. "
        "Needs no key; requests that arrive together cause one check.",
        answers={202: Answer("The check was scheduled.", json_of(_REFRESHING))},
        refusals=(*ENTRANCE, 404),
        samples=samples.post_nothing(scene, path.format(model=next(iter(scene.shown())))),
    )


def _changing(scene: Scene) -> Iterator[Operation]:
    model, served = next(iter(scene.shown().items()))
    base = f"/api/models/{model}"
    back = {"reason": "the new version misreads sevens"}
    yield _change(
        "post",
        "/rollback",
        "rollBack",
        "Point the champion at what served before it, or at `to`",
        "`expected` is the version that should be champion now: when it no longer is, nothing "
        "changes. One more record is written; nothing is lost.",
        ("Rollback", back),
        200,
        samples.administer(scene, "POST", f"{base}/rollback", back),
    )
    challenge = {
        "version": served.other,
        "mode": "shadow",
        "share": 0.1,
        "reason": "to see how it answers live traffic",
    }
    yield _change(
        "post",
        "/challenger",
        "challenge",
        "Let a version challenge the champion",
        "In `shadow` its answers are compared and never returned; as a `canary` it answers a share "
        "of the clients, each always by the same version (`X-Client-Key`).",
        ("Challenge", challenge),
        201,
        samples.administer(scene, "POST", f"{base}/challenger", challenge),
    )
    enough = {"reason": "seen enough"}
    yield _change(
        "delete",
        "/challenger",
        "stopChallenge",
        "Stop the challenger",
        "The champion answers everything again.",
        ("Stop", enough),
        200,
        samples.administer(scene, "DELETE", f"{base}/challenger", enough),
    )


def _get(scene: Scene, path: str, name: str, summary: str, schema: str) -> Operation:
    is_of_model = "{model}" in path
    return Operation(
        method="get",
        path=f"/api{path}",
        name=name,
        tag=MODELS,
        summary=summary,
        told="",
        answers={200: Answer("As asked; never from a cache.", json_of(ref(schema)))},
        refusals=(*_ASKED, 404) if is_of_model else _ASKED,
        security=KEY,
        samples=samples.get(scene, f"/api{path}".format(model=next(iter(scene.shown())))),
    )


def _report(scene: Scene) -> Operation:
    model, served = next(iter(scene.shown().items()))
    path = "/api/models/{model}/versions/{version}/report"
    return Operation(
        method="get",
        path=path,
        name="report",
        tag=MODELS,
        summary="The report of the run that made a version",
        told="A page of its own, without scripts.",
        answers={200: Answer("The report.", {HTML: {"schema": {"type": "string"}}})},
        refusals=(*_ASKED, 404),
        security=KEY,
        samples=samples.get(scene, path.format(model=model, version=served.version)),
    )


def _change(
    method: str,
    path: str,
    name: str,
    summary: str,
    told: str,
    body: tuple[str, dict[str, Any]],
    status: int,
    shown: tuple[Sample, ...],
) -> Operation:
    schema, example = body
    return Operation(
        method=method,
        path=f"/api/models/{{model}}{path}",
        name=name,
        tag=ADMINISTRATION,
        summary=summary,
        told=told,
        content=json_of(ref(schema), examples={"one": {"value": example}}),
        answers={status: Answer("The record that was written.", json_of(ref("Written")))},
        refusals=_CHANGED,
        security=TOKEN,
        samples=shown,
    )
