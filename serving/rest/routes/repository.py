"""The model repository extension of the Open Inference Protocol v2, read-only.

The aliases in the store decide which versions are loaded; requests to load or unload are refused.
"""

from typing import Any

import orjson
from flask import Blueprint, Response

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs.content_types import JSON, json_object
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.rest.bodies import body_bytes
from overnight.serving.rest.errors import error_response
from overnight.serving.rest.resources import resources

routes = Blueprint("repository", __name__, url_prefix="/v2/repository")

READY, UNAVAILABLE = "READY", "UNAVAILABLE"


@routes.post("/index")
def index() -> Response:
    """Loaded versions, and models without one unless `ready` is true."""
    body = body_bytes()
    # MLServer's clients send null for what is not set.
    only_ready = json_object(body).get("ready") if body.strip() else None
    if only_ready is not None and not isinstance(only_ready, bool):
        raise BadInput("ready", expected="true or false", found=str(only_ready)[:40])
    entries = [entry for slot in resources().slots.all() for entry in _entries(slot)]
    listed = [entry for entry in entries if entry["state"] == READY or not only_ready]
    return Response(orjson.dumps(listed), content_type=JSON)


@routes.post("/models/<model>/load")
@routes.post("/models/<model>/unload")
def refuse(model: str) -> Response:
    """Refused: loading a version by request would bypass the gates."""
    resources().slots.find(model)
    return error_response(
        403,
        f"{model}: the aliases in the store decide which versions are loaded; "
        f"`overnight promote {model}` moves them",
    )


def _entries(slot: ModelSlot) -> list[dict[str, Any]]:
    ready = [
        {"name": slot.model, "version": version, "state": READY, "reason": ""}
        for version in resources().router.versions(slot.model)
    ]
    reason = "no verified version yet"
    return ready or [{"name": slot.model, "version": "", "state": UNAVAILABLE, "reason": reason}]
