"""The Open Inference Protocol v2, JSON."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, g, request

from serving.express import JSON, VERSION_HEADER, client_of
from serving.loaded import ModelVersion
from serving.protocols import binary, image, v2
from serving.routes.administration import may_hear_names
from serving.routes.bodies import (
    answer,
    body_bytes,
    draining,
    json_object,
    limits,
    noting,
    router,
    slots,
    story,
)
from serving.slots import Slots
from store.schema import TensorSpec

EXTENSIONS = ["model_versions", "binary_tensor_data", "model_repository"]
# Read once: it is looked up among all that is installed.
_RELEASE = version("overnight")

routes = Blueprint("v2", __name__, url_prefix="/v2")


@routes.get("")
def server() -> Response:
    """Who answers."""
    return answer({"name": "overnight", "version": _RELEASE, "extensions": EXTENSIONS})


@routes.get("/health/live")
def live() -> Response:
    return answer({"live": True})


@routes.get("/health/ready")
def ready() -> Response:
    """Ready once every model that answers is loaded here, verified; the store may be down.

    A server that is about to end is not, though it goes on answering for a while.
    """
    every, ending = slots(), draining()
    ending.note_asked()
    is_ready = every.ready and not ending.begun
    status = 200 if is_ready else 503
    if not may_hear_names():
        return answer({"ready": is_ready}, status=status)
    models = {one.model: one.ready for one in every.all()}
    missing = [name for name in every.expected if name not in models]
    body = {
        "ready": is_ready,
        "models": models | dict.fromkeys(missing, False),
        "trouble": _trouble(every),
    }
    return answer(body, status=status)


@routes.get("/models/<model>")
@routes.get("/models/<model>/versions/<version>")
def metadata(model: str, version: str | None = None) -> Response:
    """The tensors of a model, with -1 for the batch."""
    with router().lease(model, version) as loaded:
        tensors = loaded.manifest.tensors
        body = {
            "name": model,
            "versions": router().versions(model),
            "platform": "litert",
            "inputs": [_told(spec) for spec in tensors.inputs],
            "outputs": [_told(spec) for spec in tensors.outputs],
        }
        return answer(body, loaded=loaded)


@routes.get("/models/<model>/ready")
@routes.get("/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    """Whether a model, or a version of it, answers here; not when this server is about to end."""
    ending = draining()
    ending.note_asked()
    with router().lease(model, version) as loaded:
        status = 503 if ending.begun else 200
        return answer({"name": model, "ready": not ending.begun}, loaded=loaded, status=status)


@routes.post("/models/<model>/infer")
@routes.post("/models/<model>/versions/<version>/infer")
def infer(model: str, version: str | None = None) -> Response:
    """Answer with one version throughout, even if a newer one arrives meanwhile."""
    body = body_bytes(image.RAW, image.PNG)
    answering = _of_image(body) if request.mimetype == image.PNG else _of_tensors(body)
    (encoded, json_length), loaded = router().predict(
        model,
        noting(answering),
        version=version,
        client=client_of(request.environ),
        request_id=g.request_id,
    )
    response = Response(encoded, content_type=JSON if json_length is None else image.RAW)
    response.headers[VERSION_HEADER] = loaded.version
    if json_length is not None:
        response.headers[binary.HEADER] = str(json_length)
    return response


def _of_tensors(body: bytes) -> Callable[[ModelVersion], binary.Encoded]:
    """JSON, with raw tensors behind it when a header says where they begin."""
    length = request.headers.get(binary.HEADER)
    text, raw = (body, None) if length is None else binary.split(body, length)
    asked = json_object(text)
    if raw is not None:
        binary.attach(asked, raw)
    return lambda loaded: binary.joined(asked, v2.answer(asked, loaded, limits()))


def _of_image(body: bytes) -> Callable[[ModelVersion], binary.Encoded]:
    """One picture, and the answer in the form that the client would like best."""
    raw = image.accepts_raw(request.headers.get("Accept", ""))
    return lambda loaded: image.answer(body, loaded, limits(), raw=raw)


def _told(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.v2_shape}


def _trouble(every: Slots) -> dict[str, str]:
    """What is wrong with following each model, though what is loaded goes on answering."""
    known = {one.model: story().known(one.model).trouble for one in every.all()}
    return {model: trouble for model, trouble in known.items() if trouble}
