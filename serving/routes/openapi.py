"""The page of this server, and the description of its API: OpenAPI 3.1, and a page made of it."""

import re
from typing import cast

from flask import Blueprint, Response, current_app, render_template, request

from serving.description.document import document
from serving.description.reading import sections
from serving.description.scene import PATTERN_VERSION, Scene, Served
from serving.routes.administration import bearer
from serving.routes.bodies import answer, limits, router, slots
from serving.slots import Loaded, Slot
from serving.tokens import Tokens

routes = Blueprint("docs", __name__)

# What a browser or curl sends as Host; anything else must not be repeated into a command.
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_ANY_HOST = "127.0.0.1:8080"


@routes.get("/api/openapi.json")
def openapi() -> Response:
    """The document, with examples that work as they stand for the models that are served."""
    response = answer(document(scene()))
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.get("/docs")
def docs() -> Response:
    """One page, made from the same document that programs read; it needs no script to be read."""
    told = document(scene())
    page = render_template(
        "docs.html", url=told["servers"][0]["url"], info=told["info"], sections=sections(told)
    )
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.get("/")
def page() -> Response:
    """One page for all models; it asks /api/models for everything it shows."""
    response = Response(render_template("page.html"), mimetype="text/html")
    response.headers["Cache-Control"] = "no-cache"
    return response


def scene() -> Scene:
    """What the current request may be told: models only to those who may ask them."""
    keys = cast("Tokens", current_app.extensions["keys"])
    host = request.host if _HOST.fullmatch(request.host) else _ANY_HOST
    scheme = "https" if request.scheme == "https" else "http"
    return Scene(
        url=f"{scheme}://{host}",
        models=_models() if not keys.configured or _has_key(keys) else {},
        limits=limits(),
        keyed=keys.configured,
    )


def _models() -> dict[str, Served]:
    return {
        slot.model: _served(slot, current) for slot in slots().all() if (current := slot.current())
    }


def _served(slot: Slot, current: Loaded) -> Served:
    others = (version for version in router().versions(slot.model) if version != current.version)
    other = next(others, PATTERN_VERSION)
    return Served(current.version, current.manifest.tensors, other)


def _has_key(keys: Tokens) -> bool:
    token = request.headers.get("X-API-Key") or bearer(request.headers.get("Authorization", ""))
    return keys.name_of(token) is not None
