"""Deployment history, scores, monitor records, runs, versions and reports of models, and traffic.

Read from the copy that the leader of the host keeps on disk; no request waits for the store.
"""

import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response

from overnight.serving.errors import NotServed
from overnight.serving.history.local_copy import VersionSummary, summarise
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.resources import resources
from overnight.serving.telemetry.traffic import BUCKET_SECONDS
from overnight.store.objects import keys
from overnight.store.registry.runs import latest, missed, next_due

# The flow that a schedule starts for each model.
NIGHTLY = "retrain"

routes = Blueprint("history", __name__, url_prefix="/api")

# A report may be made by a model's own code: only its inline images and styles are allowed.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-popups"
)


@routes.get("/models/<model>/history")
def history(model: str) -> Response:
    """Records of the model's aliases, and live scores, newest first."""
    slot = resources().slots.find(model)
    past = resources().status.history(slot.model)
    records = [
        record.model_dump(mode="json", exclude={"format", "id", "model", "signed"})
        for record in past.records
    ]
    scores = [score.model_dump(mode="json", exclude={"format", "model"}) for score in past.scores]
    return uncached(json_response({"records": records, "scores": scores}))


@routes.get("/models/<model>/monitoring")
def monitoring(model: str) -> Response:
    """Records of the monitor, newest first, and why others cannot be read."""
    slot = resources().slots.find(model)
    past = resources().status.history(slot.model)
    records = [
        record.model_dump(mode="json", exclude={"format", "id", "model"})
        for record in past.monitoring
    ]
    return uncached(json_response({"records": records, "damaged": list(past.damaged_monitoring)}))


@routes.get("/models/<model>/runs")
def runs(model: str) -> Response:
    """Runs, newest first, the next and the missed ones, and arrivals that wait for a person."""
    slot = resources().slots.find(model)
    past, now = resources().status.history(slot.model), datetime.now(UTC)
    due = next_due(past.runs, flow=NIGHTLY, now=now)
    body = {
        "runs": [
            record.model_dump(mode="json", exclude={"format", "model", "due"})
            for record in latest(past.runs)
        ],
        "next": due.isoformat() if due else None,
        "missed": [passed.isoformat() for passed in missed(past.runs, flow=NIGHTLY, now=now)],
        "waiting": [review.model_dump(mode="json", exclude={"model"}) for review in past.waiting],
    }
    return uncached(json_response(body))


@routes.get("/models/<model>/versions")
def versions(model: str) -> Response:
    """Recent versions, newest first, and all that are loaded here; damaged ones apart."""
    slot = resources().slots.find(model)
    # Loaded versions are listed even before the leader has synchronised the history.
    loaded = [summarise(loaded.manifest) for loaded in slot.loaded()]
    summaries = {v.version: v.model_copy(update={"report": False}) for v in loaded}
    past = resources().status.history(model)
    summaries |= {v.version: v for v in past.versions}
    newest_first = [summaries[version] for version in sorted(summaries, reverse=True)]
    unreadable = [version.model_dump() for version in past.unreadable]
    body = {"versions": [_to_json(v, slot) for v in newest_first], "unreadable": unreadable}
    return uncached(json_response(body))


@routes.get("/models/<model>/versions/<version>/report")
def report(model: str, version: str) -> Response:
    """The report of a version as its run published it, HTML."""
    slot = resources().slots.find(model)
    status = resources().status
    html = status.report(slot.model, version) if keys.is_version(version) else None
    if html is None:
        reported = tuple(v.version for v in status.history(slot.model).versions if v.report)
        raise NotServed(f"this host has no report of {model} {version!r}", reported)
    response = Response(html, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@routes.get("/traffic")
def traffic() -> Response:
    """Traffic of the last five minutes by model, in buckets, oldest first."""
    samples, now = resources().status.traffic(), time.time()
    models = {slot.model: samples.series(slot.model, now=now) for slot in resources().slots.all()}
    return uncached(json_response({"bucket_seconds": BUCKET_SECONDS, "models": models}))


def _to_json(version: VersionSummary, slot: ModelSlot) -> dict[str, Any]:
    current = slot.current()
    body = version.model_dump(mode="json", exclude={"decision", "report"})
    decision = version.decision
    report = f"/api/models/{slot.model}/versions/{version.version}/report"
    return body | {
        "decision": decision.model_dump(mode="json", exclude={"model", "version", "signed"})
        if decision
        else None,
        "loaded": version.version in resources().router.versions(slot.model),
        "champion": current is not None and current.version == version.version,
        "report": report if version.report else None,
    }
