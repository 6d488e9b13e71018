"""Live traffic of all workers of the host together."""

import time

from flask import Blueprint, Response

from serving.routes.bodies import answer, slots, story
from serving.traffic import BUCKET_SECONDS

routes = Blueprint("traffic", __name__, url_prefix="/api")


@routes.get("/traffic")
def traffic() -> Response:
    """The last five minutes by model, in buckets, oldest first."""
    seen, now = story().traffic(), time.time()
    models = {slot.model: seen.told(slot.model, now=now) for slot in slots().all()}
    response = answer({"bucket_seconds": BUCKET_SECONDS, "models": models})
    response.headers["Cache-Control"] = "no-store"
    return response
