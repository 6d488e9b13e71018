"""The model repository extension of the Open Inference Protocol v2: what is here, to look at.

Which versions are loaded is decided by the aliases in the store alone: nobody loads or unloads.
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
    """Every loaded version, and every model without one; with `ready` true, what answers alone."""
    body = body_bytes()
    only_ready = json_object(body).get("ready", False) if body.strip() else False
    if not isinstance(only_ready, bool):
        raise BadInput("ready", expected="true or false", found=str(only_ready)[:40])
    told = [one for slot in resources().slots.all() for one in _told(slot)]
    found = [one for one in told if one["state"] == READY or not only_ready]
    return Response(orjson.dumps(found), content_type=JSON)


@routes.post("/models/<model>/load")
@routes.post("/models/<model>/unload")
def refuse(model: str) -> Response:
    """Refuse: whoever could load would decide what answers, past every gate."""
    served = resources().slots.find(model).model
    return error_response(
        403,
        f"{served}: versions are loaded and unloaded as the champion in the store says; "
        f"`overnight promote {model}` moves it",
    )


def _told(slot: ModelSlot) -> list[dict[str, Any]]:
    ready = [
        {"name": slot.model, "version": version, "state": READY, "reason": ""}
        for version in resources().router.versions(slot.model)
    ]
    reason = "no verified version yet"
    return ready or [{"name": slot.model, "version": "", "state": UNAVAILABLE, "reason": reason}]
