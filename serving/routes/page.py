"""The page: try the model by hand, and see what answered."""

from flask import Blueprint, Response, render_template

routes = Blueprint("page", __name__)


@routes.get("/")
def page() -> Response:
    """One page for all models; it asks /api/models for everything it shows."""
    response = Response(render_template("page.html"), mimetype="text/html")
    response.headers["Cache-Control"] = "no-cache"
    return response
