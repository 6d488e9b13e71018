"""The Flask application: slots in, answers out. It knows nothing of how versions arrive."""

from flask import Flask, Response, g, request

from overnight.serving.challenger.router import Router
from overnight.serving.inference.limits import Limits
from overnight.serving.rest import errors
from overnight.serving.rest.headers import (
    ALWAYS,
    MET_VERSION,
    REQUEST_ID,
    VERSION_HEADER,
    RequestIds,
)
from overnight.serving.rest.middleware import security_headers
from overnight.serving.rest.middleware.admission import Admission, AdmissionMiddleware
from overnight.serving.rest.middleware.fast_path import FastPath
from overnight.serving.rest.middleware.rate_limits import ConcurrencyLimiter
from overnight.serving.rest.middleware.token_auth import NOBODY, Tokens
from overnight.serving.rest.routes import admin, docs, history, metrics, models, repository, v1, v2
from overnight.serving.status import Status
from overnight.store.objects.bucket import Bucket

_ROUTES = (v2, v1, models, metrics, history, admin, repository, docs)


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
    application = Flask("overnight.serving", static_folder="static", template_folder="templates")
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
    errors.install(application)
    security_headers.install(application)
    behind = application.wsgi_app
    entrance = AdmissionMiddleware(
        FastPath(behind, router=router, limits=limits, meter=status.meter, ids=ids),
        refusing=behind,
        limits=limits,
        administrators=administrators,
        admission=admission,
        crowd=ConcurrencyLimiter(limits, status.meter.in_flight),
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
