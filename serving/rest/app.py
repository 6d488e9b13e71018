"""The Flask application and its middleware; independent of how versions are loaded."""

from flask import Flask, Response, g, request

from overnight.serving.challenger.router import Router
from overnight.serving.inference.limits import Limits
from overnight.serving.prediction_log.spool import PredictionSpool
from overnight.serving.rest import errors
from overnight.serving.rest.answering import Answering, RequestIds
from overnight.serving.rest.headers import (
    CHOSEN_VERSION,
    NO_SNIFF,
    REQUEST_ID,
    VERSION_HEADER,
)
from overnight.serving.rest.label_limit import LabelSpool
from overnight.serving.rest.middleware import security_headers
from overnight.serving.rest.middleware.admission import Admission, AdmissionMiddleware
from overnight.serving.rest.middleware.compression import Compression
from overnight.serving.rest.middleware.fast_path import FastPath
from overnight.serving.rest.middleware.rate_limits import ConcurrencyLimiter
from overnight.serving.rest.middleware.token_auth import NO_TOKENS, Tokens
from overnight.serving.rest.resources import Resources
from overnight.serving.rest.routes import (
    admin,
    candidates,
    containers,
    decisions,
    docs,
    feedback,
    history,
    metrics,
    models,
    repository,
    v1,
    v2,
    v2_statistics,
)
from overnight.serving.rest.static_files import CACHE_SECONDS, static_path
from overnight.serving.status import Status
from overnight.store.registry.registry import Registry

_ROUTES = (
    v2,
    v2_statistics,
    v1,
    containers,
    models,
    metrics,
    history,
    candidates,
    admin,
    decisions,
    feedback,
    repository,
    docs,
)


def create_application(
    router: Router,
    *,
    limits: Limits,
    status: Status,
    administrators: Tokens = NO_TOKENS,
    registry: Registry | None = None,
    admission: Admission | None = None,
    predictions: PredictionSpool | None = None,
    labels: LabelSpool | None = None,
    invocations_model: str = "",
    peer_metrics: tuple[str, ...] = (),
) -> Flask:
    """An application that serves the loaded versions; without `admission`, to all clients.

    `predictions` records what they answer.

    `registry` is where administrators write alias records; without it, they can change nothing.
    `labels` is where labels of answers are kept; without it, none are taken.
    `invocations_model` answers at `/invocations`; without it, the only one that is served.
    `peer_metrics` are servers by whose names requests are counted, too (`peer_metrics.PEERS`).
    """
    application = Flask(
        "overnight.serving",
        static_folder="static",
        static_url_path=static_path(),
        template_folder="templates",
    )
    application.config["SEND_FILE_MAX_AGE_DEFAULT"] = CACHE_SECONDS
    application.url_map.strict_slashes = False
    # A path with // is unknown; clients of an inference API do not follow redirects of a POST.
    application.url_map.merge_slashes = False
    admission = admission or Admission()
    answering = Answering(router=router, meter=status.meter, predictions=predictions)
    application.extensions["overnight"] = Resources(
        router=router,
        limits=limits,
        status=status,
        answering=answering,
        keys=admission.keys,
        administrators=administrators,
        draining=admission.draining,
        predictions=predictions,
        registry=registry,
        labels=labels,
        peer_metrics=peer_metrics,
    )
    for module in _ROUTES:
        application.register_blueprint(module.routes)
    # The first hook, so that every error has a request id.
    _add_ids(application, answering.ids)
    metrics.install(application, status.meter)
    errors.install(application)
    security_headers.install(application)
    flask = application.wsgi_app
    middleware = AdmissionMiddleware(
        Compression(
            FastPath(
                flask,
                answering=answering,
                slots=router.slots,
                limits=limits,
                invocations_model=invocations_model,
            )
        ),
        report_error=flask,
        limits=limits,
        administrators=administrators,
        admission=admission,
        concurrency=ConcurrencyLimiter(limits, status.meter.in_flight),
    )
    application.wsgi_app = middleware  # type: ignore[method-assign]
    return application


def _add_ids(application: Flask, ids: RequestIds) -> None:
    """Add the request id and the version to every response."""

    def choose() -> None:
        g.request_id = ids.choose(request.headers.get(REQUEST_ID, ""))

    def label(response: Response) -> Response:
        response.headers[REQUEST_ID] = g.request_id
        response.headers[NO_SNIFF[0]] = NO_SNIFF[1]
        if version := request.environ.get(CHOSEN_VERSION):
            response.headers.setdefault(VERSION_HEADER, version)
        return response

    application.before_request(choose)
    application.after_request(label)
