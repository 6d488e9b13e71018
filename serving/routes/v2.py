"""The Open Inference Protocol v2, JSON."""

from typing import Any

from flask import Blueprint, Response, request

from serving.express import JSON, VERSION_HEADER, client_of
from serving.protocols import binary, v2
from serving.routes.bodies import answer, body_bytes, json_object, limits, slot, slots
from store.schema import TensorSpec

RAW = "application/octet-stream"
EXTENSIONS = ["model_versions", "binary_tensor_data"]

routes = Blueprint("v2", __name__, url_prefix="/v2")


@routes.get("")
@routes.get("/")
def server() -> Response:
    """Who answers."""
    return answer({"name": "overnight", "version": "0.1.0", "extensions": EXTENSIONS})


@routes.get("/health/live")
def live() -> Response:
    return answer({"live": True})


@routes.get("/health/ready")
def ready() -> Response:
    """Ready once every model that answers is loaded here, verified; the store may be down."""
    every = slots()
    models = {one.model: one.ready for one in every.all()}
    missing = [name for name in every.expected if name not in models]
    body = {"ready": every.ready, "models": models | dict.fromkeys(missing, False)}
    return answer(body, status=200 if every.ready else 503)


@routes.get("/models/<model>")
@routes.get("/models/<model>/versions/<version>")
def metadata(model: str, version: str | None = None) -> Response:
    """The tensors of a model, with -1 for the batch."""
    with slot(model).lease(version) as loaded:
        tensors = loaded.manifest.tensors
        body = {
            "name": model,
            "versions": slot(model).versions(),
            "platform": "litert",
            "inputs": [_told(spec) for spec in tensors.inputs],
            "outputs": [_told(spec) for spec in tensors.outputs],
        }
        return answer(body, loaded=loaded)


@routes.get("/models/<model>/ready")
@routes.get("/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    with slot(model).lease(version) as loaded:
        return answer({"name": model, "ready": True}, loaded=loaded)


@routes.post("/models/<model>/infer")
@routes.post("/models/<model>/versions/<version>/infer")
def infer(model: str, version: str | None = None) -> Response:
    """Answer with one version throughout, even if a newer one arrives meanwhile."""
    length = request.headers.get(binary.HEADER)
    body, raw = (body_bytes(), None) if length is None else binary.split(body_bytes(), length)
    asked = json_object(body)
    if raw is not None:
        binary.attach(asked, raw)
    (encoded, json_length), loaded = slot(model).answered(
        lambda loaded: binary.joined(asked, v2.answer(asked, loaded, limits())),
        version=version,
        client=client_of(request.environ),
    )
    response = Response(encoded, content_type=JSON if json_length is None else RAW)
    response.headers[VERSION_HEADER] = loaded.version
    if json_length is not None:
        response.headers[binary.HEADER] = str(json_length)
    return response


def _told(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.v2_shape}
