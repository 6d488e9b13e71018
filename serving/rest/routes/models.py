"""Our own endpoint: what answers here, since when, made from what, by whom and why."""

from typing import Any

from flask import Blueprint, Response

from overnight.serving.challenger.status import challenging
from overnight.serving.errors import NotServed
from overnight.serving.host.alias_state import FollowerState
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.resources import may_list_models, resources
from overnight.store.schema import Schema

routes = Blueprint("api", __name__, url_prefix="/api")

_UNTOLD = ("those that are told to whoever has a key",)


@routes.get("/models")
def models() -> Response:
    """Every model, told for people; `Cache-Control` keeps it fresh."""
    return uncached(json_response({"models": [told(slot) for slot in resources().slots.all()]}))


@routes.get("/models/<model>")
def one_model(model: str) -> Response:
    """One model, told for people."""
    return uncached(json_response(told(resources().slots.find(model))))


@routes.get("/models/<model>/examples")
def examples(model: str) -> Response:
    """Rows that the version has answered in training, as tensors of a request of v2.

    A version without golden examples has none to tell.
    """
    with resources().router.lease(model) as loaded:
        rows = loaded.predictor.examples
        inputs = [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": list(rows[spec.name].shape),
                "data": rows[spec.name].reshape(-1).tolist(),
            }
            for spec in loaded.predictor.inputs
            if spec.name in rows
        ]
        return uncached(json_response({"inputs": inputs}, loaded=loaded))


@routes.post("/models/<model>/refresh")
def refresh(model: str) -> Response:
    """Have the leader of this host check the store at once, whichever worker gets the request.

    Needs no key: requests that arrive together cause one check, and at most twenty a second are
    made. The names of the models are listed only to clients that may use them.
    """
    try:
        found = resources().slots.find(model)
    except NotServed:
        if may_list_models():
            raise
        raise NotServed(f"no model {model!r} is served here", _UNTOLD) from None
    found.board.ask()
    return uncached(json_response({"model": found.model, "refreshing": True}, status=202))


def told(slot: ModelSlot) -> dict[str, Any]:
    """A model as JSON; fields about the version are null while none answers."""
    known, current = resources().status.known(slot.model), slot.current()
    body: dict[str, Any] = {
        "name": slot.model,
        "ready": slot.ready,
        "version": current.version if current else None,
        "loaded": resources().router.versions(slot.model),
        "challenger": challenging(resources().status.challenge(slot.model)),
        "refused": _refused(known),
        "last_sync_age_seconds": slot.board.last_sync_age_seconds,
        "sync_error": known.trouble or None,
        "load_error": next(iter(slot.refused.values()), None),
    }
    return body | (_version(current) if current else {})


def _forecast(tensors: Schema) -> dict[str, Any] | None:
    found = tensors.forecast
    return found.model_dump() | {"middle": found.middle} if found else None


def _refused(known: FollowerState) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json", exclude={"acknowledged"}) for one in known.refused[::-1]]


def _version(current: LoadedVersion) -> dict[str, Any]:
    manifest, record = current.manifest, current.record
    accuracy = manifest.measured("accuracy")
    return {
        "trained_at": manifest.created_at.isoformat(),
        "trained_on_rows": manifest.data.rows,
        "accuracy": accuracy.value if accuracy else None,
        "accuracy_low": accuracy.low if accuracy else None,
        "accuracy_high": accuracy.high if accuracy else None,
        "holdout_rows": manifest.data.holdout_rows,
        "run": manifest.run.name,
        "run_url": manifest.run.url,
        "labels": list(manifest.tensors.labels),
        "inputs": [spec.model_dump() for spec in manifest.tensors.inputs],
        "outputs": [spec.model_dump() for spec in manifest.tensors.outputs],
        "forecast": _forecast(manifest.tensors),
        "alias": record.model_dump(mode="json", exclude={"format", "id", "model"})
        if record
        else None,
    }
