"""The addresses where models answer: the Open Inference Protocol v2, TensorFlow Serving's REST."""

from collections.abc import Iterator
from typing import Any

from serving.description import examples, samples
from serving.description.operation import BODY, ENTRANCE, JSON, Answer, Operation, json_of, ref
from serving.description.protocol_schemas import named
from serving.description.scene import Scene
from serving.protocols import binary, image

V2, V1 = "Open Inference Protocol v2", "TensorFlow Serving REST"
KEY: tuple[dict[str, list[str]], ...] = ({}, {"key": []}, {"bearer": []})
VERSION = "X-Model-Version"
_ASKED = (*ENTRANCE, 401, 404)
_STATE = {
    "type": "object",
    "required": ["name", "ready", "model_version_status"],
    "properties": {
        "name": {"type": "string"},
        "ready": {"type": "boolean"},
        "model_version_status": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["version", "state", "status"],
                "properties": {
                    "version": {"type": "string"},
                    "state": {"const": "AVAILABLE"},
                    "status": {"type": "object"},
                },
            },
        },
    },
}
_SIGNATURE = {
    "type": "object",
    "required": ["model_spec", "metadata"],
    "properties": {"model_spec": {"type": "object"}, "metadata": {"type": "object"}},
}
_READY = {
    "type": "object",
    "required": ["name", "ready"],
    "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}},
}


def operations(scene: Scene) -> Iterator[Operation]:
    """Every way to ask a model, and to ask about it."""
    for way, name, told in (
        ("", "", "the current version"),
        ("/versions/{version}", "Version", "a version by name"),
    ):
        yield _infer(scene, way, name, told)
        yield _v2_get(scene, way, f"metadata{name}", f"The tensors of {told}", "V2Metadata")
        yield _v2_get(scene, f"{way}/ready", f"modelReady{name}", f"Whether {told} answers", None)
    for way, name, told in (
        ("", "", "the current version"),
        ("/versions/{version}", "Version", "a version by name"),
        ("/labels/{label}", "Label", "the version of an alias"),
    ):
        yield _predict(scene, way, name, told)
        yield _v1_get(scene, way, f"status{name}", f"The state of {told}", _STATE)
        yield _v1_get(
            scene, f"{way}/metadata", f"signature{name}", f"The signature of {told}", _SIGNATURE
        )


def _infer(scene: Scene, way: str, name: str, told: str) -> Operation:
    model, served = next(iter(scene.shown().items()))
    address = _filled(scene, f"/v2/models/{{model}}{way}/infer")
    return Operation(
        method="post",
        path=f"/v2/models/{{model}}{way}/infer",
        name=f"infer{name}",
        tag=V2,
        summary=f"Ask {told}",
        told="Tensors as JSON, or as JSON with raw tensors behind it, whose place "
        f"`{binary.HEADER}` tells; or one PNG, for a model whose only input is a picture. The body "
        "may be compressed by gzip or deflate. Raw tensors come back when the request asks for "
        "them (`binary_data`, `binary_data_output`), and for a PNG when `Accept` begins with "
        f"`{image.RAW}`. One version answers the whole request, and the answer names it.",
        content=_requests(scene, "v2", {image.RAW: _BINARY, image.PNG: _PICTURE}),
        answers={
            200: Answer(
                "What the model answers.",
                {**json_of(ref("V2Answer")), image.RAW: {"schema": _RAW}},
                (VERSION,),
            )
        },
        headers=("inference_header", "client_key"),
        refusals=(*_ASKED, *BODY),
        security=KEY,
        samples=(
            samples.post_json(scene, address, examples.v2_request(served.tensors)),
            *samples.picture(scene, address, served),
            samples.binary(scene, address, served),
            *(() if way else (samples.triton(scene, model, served),)),
        ),
    )


def _predict(scene: Scene, way: str, name: str, told: str) -> Operation:
    _, served = next(iter(scene.shown().items()))
    path = f"/v1/models/{{model}}{way}:predict"
    columns = examples.v1_columns(served.tensors)
    return Operation(
        method="post",
        path=path,
        name=f"predict{name}",
        tag=V1,
        summary=f"Ask {told}",
        told="By row (`instances`) or by column (`inputs`); the first output alone is answered, "
        "as bare lists, in kind.",
        content=_requests(scene, "v1", {}),
        answers={
            200: Answer(
                "What the model answers.",
                json_of({"oneOf": [ref("V1Rows"), ref("V1Columns")]}),
                (VERSION,),
            )
        },
        headers=("client_key",),
        refusals=(*_ASKED, *BODY),
        security=KEY,
        samples=(
            samples.post_json(
                scene, _filled(scene, path), examples.v1_request(served.tensors), label="by row"
            ),
            samples.post_json(scene, _filled(scene, path), columns, label="by column"),
        ),
    )


def _v2_get(scene: Scene, way: str, name: str, summary: str, schema: str | None) -> Operation:
    content = json_of(ref(schema) if schema else _READY)
    told = _ends(content) if schema is None else {}
    return _get(scene, f"/v2/models/{{model}}{way}", name, V2, summary, content, told)


def _v1_get(scene: Scene, way: str, name: str, summary: str, schema: dict[str, Any]) -> Operation:
    content = json_of(schema)
    told = _ends(content) if schema is _STATE else {}
    return _get(scene, f"/v1/models/{{model}}{way}", name, V1, summary, content, told)


def _ends(content: dict[str, Any]) -> dict[int, Answer]:
    return {503: Answer("It answers still, and this server is about to stop.", content, (VERSION,))}


def _get(
    scene: Scene,
    path: str,
    name: str,
    tag: str,
    summary: str,
    content: dict[str, Any],
    more: dict[int, Answer],
) -> Operation:
    return Operation(
        method="get",
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        told="",
        answers={200: Answer("As asked.", content, (VERSION,)), **more},
        refusals=_ASKED,
        security=KEY,
        samples=samples.get(scene, _filled(scene, path)),
    )


def _requests(scene: Scene, kind: str, more: dict[str, Any]) -> dict[str, Any]:
    """JSON bodies for each model that is served, and the other forms of a body."""
    made = {"v2": examples.v2_request, "v1": examples.v1_request}[kind]
    shown = scene.shown()
    return {
        JSON: {
            "schema": {"anyOf": [named(kind, model) for model in shown]},
            "examples": {
                model: {"summary": f"one row for {model}", "value": made(served.tensors)}
                for model, served in shown.items()
            },
        },
        **more,
    }


_RAW = {"type": "string", "contentMediaType": "application/octet-stream"}
_BINARY = {"schema": {**_RAW, "description": "JSON, and raw tensors behind it"}}
_PICTURE = {"schema": {"type": "string", "contentMediaType": image.PNG}}


def _filled(scene: Scene, path: str) -> str:
    """An address of the first model that is served."""
    model, served = next(iter(scene.shown().items()))
    return path.format(model=model, version=served.version, label="champion")
