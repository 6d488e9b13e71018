"""All candidates of a model: published versions and refused ones, their gates and manifests.

Read from the copy that the leader of the host keeps on disk; no request waits for the store.
"""

from typing import Any

from flask import Blueprint, Response

from overnight.serving.errors import NotServed
from overnight.serving.history.candidates import ListedCandidate
from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.resources import resources
from overnight.store.objects import keys
from overnight.store.registry.alias_rules import CHAMPION

routes = Blueprint("candidates", __name__, url_prefix="/api")

_SHOWN = 20


@routes.get("/models/<model>/candidates")
def candidates(model: str) -> Response:
    """All candidates, newest first, each with its outcome; damaged ones apart."""
    slot = resources().slots.find(model)
    status, current = resources().status, slot.current()
    past, listed = status.history(slot.model), status.candidates(slot.model)
    served = {record.version for record in past.records if record.alias == CHAMPION}
    reports = {version.version for version in past.versions if version.report}
    champion = current.version if current else None
    body = {
        "candidates": [
            each.model_dump(mode="json")
            | {"outcome": _outcome(each, champion, served)}
            | _links(each, slot.model, reports)
            for each in listed.candidates
        ],
        "damaged": list(listed.damaged),
    }
    return uncached(json_response(body))


@routes.get("/models/<model>/candidates/<candidate>/findings")
def findings(model: str, candidate: str) -> Response:
    """What the gates found of one candidate."""
    slot = resources().slots.find(model)
    recorded = resources().status.findings(slot.model, candidate)
    if recorded is None:
        listed = resources().status.candidates(slot.model).candidates[:_SHOWN]
        raise NotServed(
            f"{candidate!r:.80} is no candidate of {model} that this host knows",
            tuple(each.name for each in listed),
        )
    return uncached(
        json_response({"findings": [each.model_dump(mode="json") for each in recorded]})
    )


@routes.get("/models/<model>/versions/<version>/manifest")
def manifest(model: str, version: str) -> Response:
    """The manifest of a version, byte for byte as it was published and signed."""
    slot = resources().slots.find(model)
    status = resources().status
    body = status.manifest(slot.model, version) if keys.is_version(version) else None
    if body is None:
        listed = [each.name for each in status.candidates(slot.model).candidates]
        known = tuple(name for name in listed if keys.is_version(name))[:_SHOWN]
        raise NotServed(f"this host has no manifest of {model} {version!r:.80}", known)
    response = Response(body, content_type="application/json")
    name = f"{slot.model}-{version}-manifest.json"
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    return response


def _outcome(candidate: ListedCandidate, champion: str | None, served: set[str]) -> str:
    """What became of a candidate, in one word."""
    if candidate.kind == "refused":
        return "refused"
    if candidate.name == champion:
        return "champion"
    if candidate.verdict == "rejected":
        return "rejected"
    if candidate.name in served:
        return "served"
    if candidate.verdict:
        return candidate.verdict
    return "waiting" if candidate.approval == "manual" else "pending"


def _links(candidate: ListedCandidate, model: str, reports: set[str]) -> dict[str, Any]:
    of = f"/api/models/{model}/versions/{candidate.name}"
    is_version = candidate.kind == "version"
    return {
        "report": f"{of}/report" if candidate.name in reports else None,
        "manifest": f"{of}/manifest" if is_version else None,
    }
