"""Models: the version that serves, its training, its promotion, and the state of this host."""

from typing import Any

import numpy as np
from flask import Blueprint, Response

from overnight.serving.challenger.status import challenge_to_json
from overnight.serving.errors import NotServed
from overnight.serving.inference.runtime import Array
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.resources import may_list_models, resources
from overnight.store.objects import keys
from overnight.store.schema import TensorSpec

routes = Blueprint("api", __name__, url_prefix="/api")

_HIDDEN = ("those listed to clients with a key",)


@routes.get("/models")
def models() -> Response:
    """All models."""
    return uncached(json_response({"models": [_to_json(slot) for slot in resources().slots.all()]}))


@routes.get("/models/<model>")
def model_details(model: str) -> Response:
    """One model."""
    return uncached(json_response(_to_json(resources().slots.find(model))))


@routes.get("/models/<model>/examples")
def examples(model: str) -> Response:
    """Inputs of the golden examples of the current version, as tensors of a v2 request.

    Empty for a version without golden examples.
    """
    with resources().router.lease(model) as loaded:
        rows = loaded.predictor.examples
        inputs = [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": _shape(spec, rows[spec.name]),
                "data": _data(spec, rows[spec.name]),
            }
            for spec in loaded.predictor.inputs
            if spec.name in rows
        ]
        return uncached(json_response({"inputs": inputs}, loaded=loaded))


def _shape(spec: TensorSpec, rows: Array) -> list[int]:
    """The shape of a v2 tensor; rows of several lengths have -1 there."""
    return [len(rows), *spec.v2_shape[1:]] if rows.dtype.kind == "O" else list(rows.shape)


def _data(spec: TensorSpec, rows: Array) -> list[Any]:
    """Values as JSON has them: flat, or nested where the length varies; a missing one is null."""
    if spec.lengths:
        return [row if row is None else np.asarray(row).tolist() for row in rows]
    flat: list[Any] = rows.reshape(-1).tolist()
    return flat


@routes.post("/models/<model>/refresh")
def refresh(model: str) -> Response:
    """Have the leader of this host check the store at once.

    Needs no key: simultaneous requests cause one check, and there are at most twenty per second.
    """
    try:
        slot = resources().slots.find(model)
    except NotServed:
        # The error lists the served models, which are hidden from clients without a key.
        if may_list_models():
            raise
        raise NotServed(f"no model {model!r} is served here", _HIDDEN) from None
    slot.shared.request_refresh()
    return uncached(json_response({"model": slot.model, "refreshing": True}, status=202))


def _to_json(slot: ModelSlot) -> dict[str, Any]:
    """A model as JSON; without the fields of its version while none is loaded."""
    state, current = resources().status.follower_state(slot.model), slot.current()
    newest_first = state.refused[::-1]
    body: dict[str, Any] = {
        "name": slot.model,
        "ready": slot.ready,
        "version": current.version if current else None,
        "loaded": resources().router.versions(slot.model),
        "challenger": challenge_to_json(resources().status.challenge(slot.model)),
        "refused": [r.model_dump(mode="json", exclude={"acknowledged"}) for r in newest_first],
        "last_sync_age_seconds": slot.shared.last_sync_age_seconds,
        "sync_error": state.sync_error or None,
        "load_error": next(iter(slot.refused.values()), None),
    }
    return body | (_version(current) if current else {})


def _version(current: LoadedVersion) -> dict[str, Any]:
    manifest, record = current.manifest, current.record
    accuracy, forecast = manifest.measured("accuracy"), manifest.tensors.forecast
    return {
        "number": keys.number_of(manifest.version),
        "trained_at": manifest.created_at.isoformat(),
        "trained_on_rows": manifest.data.rows,
        "accuracy": accuracy.value if accuracy else None,
        "accuracy_low": accuracy.low if accuracy else None,
        "accuracy_high": accuracy.high if accuracy else None,
        "holdout_rows": manifest.data.holdout_rows,
        "run": manifest.run.name,
        "run_url": manifest.run.url,
        "labels": list(manifest.tensors.labels),
        "takes_labels": manifest.logged is not None and manifest.logged.feedback,
        "inputs": [spec.model_dump() for spec in manifest.tensors.inputs],
        "outputs": [spec.model_dump() for spec in manifest.tensors.outputs],
        "forecast": forecast.model_dump() | {"middle": forecast.middle} if forecast else None,
        "alias": record.model_dump(mode="json", exclude={"format", "id", "model", "signed"})
        if record
        else None,
    }
