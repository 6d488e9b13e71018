"""Paths by which a platform asks its containers for health and predictions, such as Vertex AI."""

from collections.abc import Mapping

from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.rest.invoked_model import INVOCATIONS

PING = "/ping"
# By method and path: the path that answers here.
ContainerRoutes = Mapping[tuple[str, str], str]
# These name a model or a check of their own, and answer so.
_OWN = ("/v1/models/", "/v2/")


def container_routes(health: str, predict: str) -> ContainerRoutes:
    """The routes of a platform: `health` for checks, `predict` for rows; empty for none."""
    routes = {("GET", health): PING, ("POST", predict): INVOCATIONS}
    return {
        (method, path): target
        for (method, path), target in routes.items()
        if path and not path.startswith(_OWN)
    }


def rename_path(environ: Environ, routes: ContainerRoutes) -> None:
    """Give a request of such a route the path by which all that follows decides."""
    path = environ["PATH_INFO"]
    target = routes.get((environ["REQUEST_METHOD"], path.rstrip("/") or path))
    if target is not None:
        environ["PATH_INFO"] = target
