"""The description of everything that can be asked here, for people."""

from flask import Blueprint, Response, render_template

from serving.description.document import document
from serving.description.reading import sections
from serving.routes.openapi import scene

routes = Blueprint("docs", __name__)


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
