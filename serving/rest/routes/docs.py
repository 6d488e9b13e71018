"""The dashboard, the OpenAPI document, and the documentation page made from it."""

import re

from flask import Blueprint, Response, render_template, request

from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from overnight.serving.rest.bodies import json_response
from overnight.serving.rest.openapi.context import PLACEHOLDER_VERSION, ApiContext, Served
from overnight.serving.rest.openapi.docs_page import sections
from overnight.serving.rest.openapi.document import document
from overnight.serving.rest.resources import may_list_models, resources

routes = Blueprint("docs", __name__)

# The host becomes part of shell commands that people copy, so no other characters are accepted.
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_DEFAULT_HOST = "127.0.0.1:8080"


@routes.get("/api/openapi.json")
def openapi() -> Response:
    """The OpenAPI document, with examples for the served models that work without changes."""
    return _tagged(json_response(document(context())))


@routes.get("/docs")
def docs() -> Response:
    """The documentation page, rendered from the OpenAPI document; needs no scripts."""
    shown = context()
    openapi_document = document(shown)
    page = render_template(
        "docs.html",
        url=openapi_document["servers"][0]["url"],
        info=openapi_document["info"],
        sections=sections(openapi_document),
        keyed=shown.keyed,
    )
    return _tagged(Response(page, content_type="text/html; charset=utf-8"))


@routes.get("/")
def page() -> Response:
    """The dashboard of all models for browsers; its scripts read the API.

    Other clients look here whether the server is alive, as KServe's v1 protocol has it.
    """
    wants_page = "text/html" in request.headers.get("Accept", "")
    response = (
        Response(render_template("page.html"), mimetype="text/html")
        if wants_page
        else json_response({"status": "alive"})
    )
    response.vary.add("Accept")
    return _tagged(response)


def _tagged(response: Response) -> Response:
    """The same response, which caches of one person may keep if they ask whether it changed."""
    response.cache_control.private = True
    response.cache_control.no_cache = True
    response.add_etag(weak=True)
    response.make_conditional(request)
    return response


def context() -> ApiContext:
    """What the document depends on; models only for clients that may list them."""
    host = request.host if _HOST.fullmatch(request.host) else _DEFAULT_HOST
    scheme = "https" if request.scheme == "https" else "http"
    return ApiContext(
        url=f"{scheme}://{host}",
        models=_models() if may_list_models() else {},
        limits=resources().limits,
        keyed=resources().keys.configured,
    )


def _models() -> dict[str, Served]:
    return {
        slot.model: _served(slot, current)
        for slot in resources().slots.all()
        if (current := slot.current())
    }


def _served(slot: ModelSlot, current: LoadedVersion) -> Served:
    others = (
        version for version in resources().router.versions(slot.model) if version != current.version
    )
    other = next(others, PLACEHOLDER_VERSION)
    policy = current.manifest.logged
    takes_labels = policy is not None and policy.feedback
    return Served(current.version, current.manifest.tensors, other, takes_labels)
