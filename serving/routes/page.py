"""The page: try the model by hand, and see what answered."""

from flask import Blueprint, Response, render_template

routes = Blueprint("page", __name__)

# Nothing from anywhere else, nothing inline, nobody may frame it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@routes.get("/")
def page() -> Response:
    """One page for all models; it asks /api/models for everything it shows."""
    response = Response(render_template("page.html"), mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response
