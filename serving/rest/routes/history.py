"""The past of a model (aliases, scores, versions, reports) and the live traffic of this host.

Told from what the leader of the host remembers on disk; the store is never asked in a request.
"""

import time
from typing import Any

from flask import Blueprint, Response

from overnight.serving.errors import NotServed
from overnight.serving.history.local_copy import Summary, summary
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.resources import resources
from overnight.serving.telemetry.traffic import BUCKET_SECONDS
from overnight.store.objects import keys

routes = Blueprint("history", __name__, url_prefix="/api")

# A report is a page of its own: it may show its own pictures and styles, and do nothing else.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-popups"
)


@routes.get("/models/<model>/history")
def history(model: str) -> Response:
    """Every remembered record of the model's aliases, and every live score, newest first."""
    slot = resources().slots.find(model)
    past = resources().status.past(slot.model)
    records = [
        record.model_dump(mode="json", exclude={"format", "id", "model"}) for record in past.records
    ]
    scores = [one.model_dump(mode="json", exclude={"format", "model"}) for one in past.scores]
    return uncached(json_response({"records": records, "scores": scores}))


@routes.get("/models/<model>/versions")
def versions(model: str) -> Response:
    """Every remembered version, newest first; those loaded here are always among them."""
    slot = resources().slots.find(model)
    known = {
        one.version: one for one in _loaded(slot) + list(resources().status.past(model).versions)
    }
    told = [_told(known[version], slot) for version in sorted(known, reverse=True)]
    return uncached(json_response({"versions": told}))


@routes.get("/models/<model>/versions/<version>/report")
def report(model: str, version: str) -> Response:
    """What the run that made a version told of it, as it was published."""
    slot = resources().slots.find(model)
    found = resources().status.report(slot.model, version) if keys.is_version(version) else None
    if found is None:
        reported = [
            one.version for one in resources().status.past(slot.model).versions if one.report
        ]
        raise NotServed(f"no report of {model} {version!r} is remembered here", tuple(reported))
    response = Response(found, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@routes.get("/traffic")
def traffic() -> Response:
    """The last five minutes by model, in buckets, oldest first."""
    seen, now = resources().status.traffic(), time.time()
    models = {slot.model: seen.told(slot.model, now=now) for slot in resources().slots.all()}
    return uncached(json_response({"bucket_seconds": BUCKET_SECONDS, "models": models}))


def _loaded(slot: ModelSlot) -> list[Summary]:
    """What is loaded tells of itself, before the leader has gathered anything."""
    here = (summary(one.manifest) for one in slot.loaded())
    return [one.model_copy(update={"report": False}) for one in here]


def _told(one: Summary, slot: ModelSlot) -> dict[str, Any]:
    current = slot.current()
    body = one.model_dump(mode="json", exclude={"decision", "report"})
    decision = one.decision
    return body | {
        "decision": decision.model_dump(mode="json", exclude={"model", "version"})
        if decision
        else None,
        "loaded": one.version in resources().router.versions(slot.model),
        "champion": current is not None and current.version == one.version,
        "report": f"/api/models/{slot.model}/versions/{one.version}/report" if one.report else None,
    }
