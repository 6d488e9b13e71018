"""The contracts of containers: SageMaker's and MLflow's `/ping`, and health as orchestrators ask.

`/invocations` is on the fast path.
"""

from flask import Blueprint, Response

from overnight import __version__
from overnight.serving.rest.resources import resources
from overnight.serving.rest.routes import v2

routes = Blueprint("containers", __name__)

_TEXT = "text/plain; charset=utf-8"


@routes.get("/ping")
@routes.get("/health", endpoint="health")
def ping() -> Response:
    """Nothing but a status: 200 while every served model is loaded, as `/v2/health/ready`."""
    draining = resources().draining
    draining.note_probe()
    is_ready = resources().slots.ready and not draining.begun
    return Response("\n", 200 if is_ready else 503, content_type=_TEXT)


@routes.get("/version")
def version() -> Response:
    """The version of the server, as a text."""
    return Response(__version__, content_type=_TEXT)


routes.add_url_rule("/livez", "livez", v2.live)
routes.add_url_rule("/readyz", "readyz", v2.ready)
# The fast path handles it; Flask gets only its errors, which are counted by this endpoint, and
# other methods than POST.
routes.add_url_rule("/invocations", "invocations", methods=["POST"])
