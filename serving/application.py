"""The Flask application: slots in, answers out. It knows nothing of how versions arrive."""

from flask import Flask, Response, request

from serving.express import ALWAYS, REQUEST_ID, Express, RequestIds
from serving.limits import Limits
from serving.routes import api, failures, metrics, page, v1, v2
from serving.slots import Slots
from serving.story import Story


def create_application(slots: Slots, *, limits: Limits, story: Story) -> Flask:
    """An application that answers for whatever the slots hold."""
    application = Flask(__name__, static_folder="static", template_folder="templates")
    # Werkzeug cuts a stream of unknown length off here without a word; one more byte than is
    # allowed lets us see that there was too much.
    application.config["MAX_CONTENT_LENGTH"] = limits.body_bytes + 1
    application.url_map.strict_slashes = False
    application.extensions |= {"slots": slots, "limits": limits, "story": story}
    for blueprint in (v2.routes, v1.routes, api.routes, metrics.routes, page.routes):
        application.register_blueprint(blueprint)
    failures.install(application)
    metrics.install(application, story.meter)
    ids = RequestIds()
    _label_all(application, ids)
    application.wsgi_app = Express(  # type: ignore[method-assign]
        application.wsgi_app, slots=slots, limits=limits, meter=story.meter, ids=ids
    )
    return application


def _label_all(application: Flask, ids: RequestIds) -> None:
    """Give back the caller's request id, or one of ours, and forbid guessing of content types."""

    def label(response: Response) -> Response:
        response.headers[REQUEST_ID] = ids.of(request.headers.get(REQUEST_ID, ""))
        response.headers[ALWAYS[0]] = ALWAYS[1]
        return response

    application.after_request(label)
