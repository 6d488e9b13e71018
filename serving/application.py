"""The Flask application: slots in, answers out. It knows nothing of how versions arrive."""

import re
import uuid

from flask import Flask, Response, request

from serving.limits import Limits
from serving.routes import api, failures, page, v1, v2
from serving.slots import Slots
from serving.story import Story

REQUEST_ID = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_application(slots: Slots, *, limits: Limits, story: Story) -> Flask:
    """An application that answers for whatever the slots hold."""
    application = Flask(__name__, static_folder="static", template_folder="templates")
    # Werkzeug cuts a stream of unknown length off here without a word; one more byte than is
    # allowed lets us see that there was too much.
    application.config["MAX_CONTENT_LENGTH"] = limits.body_bytes + 1
    application.url_map.strict_slashes = False
    application.extensions |= {"slots": slots, "limits": limits, "story": story}
    for blueprint in (v2.routes, v1.routes, api.routes, page.routes):
        application.register_blueprint(blueprint)
    failures.install(application)
    application.after_request(_label)
    return application


def _label(response: Response) -> Response:
    """Give back the caller's request id, or one of ours, and forbid guessing of content types."""
    asked = request.headers.get(REQUEST_ID, "")
    headers = response.headers
    headers[REQUEST_ID] = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
    headers["X-Content-Type-Options"] = "nosniff"
    return response
