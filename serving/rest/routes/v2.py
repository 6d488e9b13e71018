"""The Open Inference Protocol v2: metadata and health; `infer` is on the fast path."""

from typing import Any

from flask import Blueprint, Response

from overnight import __version__
from overnight.serving.lifecycle.model_slots import ModelSlots
from overnight.serving.rest.bodies import json_response
from overnight.serving.rest.model_config import PLATFORM
from overnight.serving.rest.resources import may_list_models, resources
from overnight.store.schema import TensorSpec

EXTENSIONS = [
    "model_versions",
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]

routes = Blueprint("v2", __name__, url_prefix="/v2")


@routes.get("")
def server() -> Response:
    """Name, version and extensions of the server."""
    return json_response({"name": "overnight", "version": __version__, "extensions": EXTENSIONS})


@routes.get("/health/live")
def live() -> Response:
    return json_response({"live": True})


@routes.get("/health/ready")
def ready() -> Response:
    """Ready while every served model is loaded, with or without the store, until it drains."""
    slots, draining = resources().slots, resources().draining
    draining.note_probe()
    is_ready = slots.ready and not draining.begun
    status = 200 if is_ready else 503
    if not may_list_models():
        return json_response({"ready": is_ready}, status=status)
    models = {slot.model: slot.ready for slot in slots.all()}
    missing = [name for name in slots.expected if name not in models]
    body = {
        "ready": is_ready,
        "models": models | dict.fromkeys(missing, False),
        "sync_errors": _sync_errors(slots),
    }
    return json_response(body, status=status)


@routes.get("/models")
def models() -> Response:
    """The names of all models, as KServe lists them."""
    return json_response({"models": [slot.model for slot in resources().slots.all()]})


@routes.get("/models/<model>")
@routes.get("/models/<model>/versions/<version>")
def metadata(model: str, version: str | None = None) -> Response:
    """The tensors of a model, with -1 for the batch."""
    with resources().router.lease(model, version) as loaded:
        tensors = loaded.manifest.tensors
        body = {
            "name": model,
            "versions": resources().router.versions(model),
            "platform": PLATFORM,
            "inputs": [_tensor(spec) for spec in tensors.inputs],
            "outputs": [_tensor(spec) for spec in tensors.outputs],
        }
        return json_response(body, loaded=loaded)


@routes.get("/models/<model>/ready")
@routes.get("/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    """Whether a model, or a version of it, is loaded; not ready while the server is draining."""
    draining = resources().draining
    draining.note_probe()
    with resources().router.lease(model, version) as loaded:
        status = 503 if draining.begun else 200
        return json_response(
            {"name": model, "ready": not draining.begun}, loaded=loaded, status=status
        )


# The fast path handles these; Flask gets only their errors, which are counted by this endpoint, and
# other methods than POST.
for _named in ("", "/versions/<version>"):
    routes.add_url_rule(f"/models/<model>{_named}/infer", "infer", methods=["POST"])


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.v2_shape}


def _sync_errors(slots: ModelSlots) -> dict[str, str]:
    """Why models cannot be synchronised with the store, by model; they still answer."""
    errors = {
        slot.model: resources().status.follower_state(slot.model).sync_error for slot in slots.all()
    }
    return {model: error for model, error in errors.items() if error}
