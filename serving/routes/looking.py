"""Refresh on request: checks the alias log at once instead of at the next poll."""

from typing import cast

from flask import Blueprint, Response, current_app

from serving.routes.bodies import answer, slot
from serving.tokens import Tokens
from store.errors import NotServed

routes = Blueprint("looking", __name__, url_prefix="/api")

_UNTOLD = ("those that are told to whoever has a key",)


@routes.post("/models/<model>/refresh")
def refresh(model: str) -> Response:
    """Have the leader of this host check the store at once, whichever worker gets the request.

    Needs no key: requests that arrive together cause one check, and at most twenty a second are
    made. The names of the models are listed only where no prediction key is required.
    """
    try:
        found = slot(model)
    except NotServed:
        if cast("Tokens", current_app.extensions["keys"]).configured:
            raise NotServed(f"no model {model!r} is served here", _UNTOLD) from None
        raise
    found.board.ask()
    response = answer({"model": found.model, "refreshing": True}, status=202)
    response.headers["Cache-Control"] = "no-store"
    return response
