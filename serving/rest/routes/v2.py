"""The Open Inference Protocol v2, JSON."""

from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response

from overnight.serving.lifecycle.model_slots import ModelSlots
from overnight.serving.rest.bodies import json_response
from overnight.serving.rest.resources import may_list_models, resources
from overnight.store.schema import TensorSpec

EXTENSIONS = ["model_versions", "binary_tensor_data", "model_repository"]
# Read once: it is looked up among all that is installed.
_RELEASE = version("overnight")

routes = Blueprint("v2", __name__, url_prefix="/v2")


@routes.get("")
def server() -> Response:
    """Who answers."""
    return json_response({"name": "overnight", "version": _RELEASE, "extensions": EXTENSIONS})


@routes.get("/health/live")
def live() -> Response:
    return json_response({"live": True})


@routes.get("/health/ready")
def ready() -> Response:
    """Ready once every model that answers is loaded here, verified; the store may be down.

    A server that is about to end is not, though it goes on answering for a while.
    """
    every, ending = resources().slots, resources().draining
    ending.note_asked()
    is_ready = every.ready and not ending.begun
    status = 200 if is_ready else 503
    if not may_list_models():
        return json_response({"ready": is_ready}, status=status)
    models = {one.model: one.ready for one in every.all()}
    missing = [name for name in every.expected if name not in models]
    body = {
        "ready": is_ready,
        "models": models | dict.fromkeys(missing, False),
        "sync_errors": _sync_errors(every),
    }
    return json_response(body, status=status)


@routes.get("/models/<model>")
@routes.get("/models/<model>/versions/<version>")
def metadata(model: str, version: str | None = None) -> Response:
    """The tensors of a model, with -1 for the batch."""
    with resources().router.lease(model, version) as loaded:
        tensors = loaded.manifest.tensors
        body = {
            "name": model,
            "versions": resources().router.versions(model),
            "platform": "litert",
            "inputs": [_told(spec) for spec in tensors.inputs],
            "outputs": [_told(spec) for spec in tensors.outputs],
        }
        return json_response(body, loaded=loaded)


@routes.get("/models/<model>/ready")
@routes.get("/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    """Whether a model, or a version of it, answers here; not when this server is about to end."""
    ending = resources().draining
    ending.note_asked()
    with resources().router.lease(model, version) as loaded:
        status = 503 if ending.begun else 200
        return json_response(
            {"name": model, "ready": not ending.begun}, loaded=loaded, status=status
        )


# Answered by the fast path. To Flask come only failures to be reported, which are counted by this
# endpoint, and other methods than POST.
for _named in ("", "/versions/<version>"):
    routes.add_url_rule(f"/models/<model>{_named}/infer", "infer", methods=["POST"])


def _told(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.v2_shape}


def _sync_errors(every: ModelSlots) -> dict[str, str]:
    """Why models cannot be synchronised with the store, by model; they still answer."""
    errors = {slot.model: resources().status.known(slot.model).trouble for slot in every.all()}
    return {model: error for model, error in errors.items() if error}
