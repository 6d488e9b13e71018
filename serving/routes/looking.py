"""Being told that the log has moved, so that nobody waits for the next poll."""

from typing import cast

from flask import Blueprint, Response, current_app

from serving.routes.bodies import answer, slot
from serving.tokens import Tokens
from store.errors import NotServed

routes = Blueprint("looking", __name__, url_prefix="/api")

_UNTOLD = ("those that are told to whoever has a key",)


@routes.post("/models/<model>/look")
def look(model: str) -> Response:
    """Have the leader of this host look at the store at once, whichever worker is told.

    Anybody may ask, with or without a key: asks that come together are one look, and at most
    twenty a second are made. Which models there are is told only where nobody needs a key.
    """
    try:
        found = slot(model)
    except NotServed:
        if cast("Tokens", current_app.extensions["keys"]).configured:
            raise NotServed(f"no model {model!r} is served here", _UNTOLD) from None
        raise
    found.board.ask()
    response = answer({"model": found.model, "looking": True}, status=202)
    response.headers["Cache-Control"] = "no-store"
    return response
