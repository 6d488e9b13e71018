"""Being told that the log has moved, so that nobody waits for the next poll."""

from flask import Blueprint, Response

from serving.routes.bodies import answer, slot

routes = Blueprint("looking", __name__, url_prefix="/api")


@routes.post("/models/<model>/look")
def look(model: str) -> Response:
    """Have the leader of this host look at the store at once, whichever worker is told.

    Anybody may ask: asks that come together are one look, and at most twenty a second are made.
    """
    found = slot(model)
    found.board.ask()
    response = answer({"model": found.model, "looking": True}, status=202)
    response.headers["Cache-Control"] = "no-store"
    return response
