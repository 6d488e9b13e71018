"""The Flask application: slots in, answers out. It knows nothing of how versions arrive."""

from flask import Flask, Response, g, request

from serving.challenger import Router
from serving.entrance import Admission, Entrance
from serving.express import Express
from serving.inference.limits import Limits
from serving.limits import Crowd
from serving.rest.headers import ALWAYS, MET_VERSION, REQUEST_ID, VERSION_HEADER, RequestIds
from serving.routes import (
    api,
    challenger,
    failures,
    headers,
    history,
    metrics,
    openapi,
    repository,
    v1,
    v2,
)
from serving.status import Status
from serving.tokens import NOBODY, Tokens
from store.bucket import Bucket

_ROUTES = (v2, v1, api, metrics, history, challenger, repository, openapi)


def create_application(
    router: Router,
    *,
    limits: Limits,
    status: Status,
    administrators: Tokens = NOBODY,
    bucket: Bucket | None = None,
    admission: Admission | None = None,
) -> Flask:
    """An application that answers for whatever the slots hold; without `admission`, to anybody.

    `bucket` is where administrators write alias records; without it there is nothing to administer.
    """
    application = Flask(__name__, static_folder="static", template_folder="templates")
    application.url_map.strict_slashes = False
    # An address with // is another address, and unknown; being sent elsewhere helps no client.
    application.url_map.merge_slashes = False
    application.extensions |= {"router": router, "limits": limits, "status": status}
    admission = admission or Admission()
    application.extensions |= {"administrators": administrators, "bucket": bucket}
    application.extensions |= {"draining": admission.draining, "keys": admission.keys}
    for room in _ROUTES:
        application.register_blueprint(room.routes)
    ids = RequestIds()
    # First: whatever refuses a request, it has an id by then.
    _label_all(application, ids)
    metrics.install(application, status.meter)
    failures.install(application)
    headers.install(application)
    behind = application.wsgi_app
    entrance = Entrance(
        Express(behind, router=router, limits=limits, meter=status.meter, ids=ids),
        refusing=behind,
        limits=limits,
        administrators=administrators,
        admission=admission,
        crowd=Crowd(limits, status.meter.in_flight),
    )
    application.wsgi_app = entrance  # type: ignore[method-assign]
    return application


def _label_all(application: Flask, ids: RequestIds) -> None:
    """Give back the caller's request id, or one of ours, and the version that a request met.

    Content types are not to be guessed.
    """

    def name() -> None:
        g.request_id = ids.of(request.headers.get(REQUEST_ID, ""))

    def label(response: Response) -> Response:
        response.headers[REQUEST_ID] = g.request_id
        response.headers[ALWAYS[0]] = ALWAYS[1]
        if met := request.environ.get(MET_VERSION):
            response.headers.setdefault(VERSION_HEADER, met)
        return response

    application.before_request(name)
    application.after_request(label)
