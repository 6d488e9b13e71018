"""TensorFlow Serving's REST API: status and metadata; `:predict` is on the fast path."""

from typing import Any

from flask import Blueprint, Response
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from overnight.serving.inference.codecs import v1_json
from overnight.serving.rest.bodies import json_response
from overnight.serving.rest.resources import resources
from overnight.store.schema import Datatype, TensorSpec

routes = Blueprint("v1", __name__, url_prefix="/v1")


class Name(BaseConverter):
    """A segment without a verb: else `GET …/digits:predict` would be the status of such a model."""

    regex = "[^/:]+"
    part_isolating = True


@routes.record_once
def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["name"] = Name


_TYPES: dict[Datatype, str] = {
    "BOOL": "DT_BOOL",
    "UINT8": "DT_UINT8",
    "INT8": "DT_INT8",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}


@routes.get("/models/<name:model>")
@routes.get("/models/<name:model>/versions/<name:version>")
@routes.get("/models/<name:model>/labels/<name:label>")
def status(model: str, version: str | None = None, label: str | None = None) -> Response:
    """States of the named version, or of all loaded ones, newest first.

    `name` and `ready` are for clients of KServe's v1 protocol, which has this path, too.
    """
    named = version is not None or label is not None
    draining = resources().draining
    draining.note_probe()
    with resources().router.lease(model, version, label=label) as loaded:
        versions = (loaded.version,) if named else resources().router.versions(model)
        states = [_state(loaded_version) for loaded_version in versions]
        body = {"name": model, "ready": not draining.begun, "model_version_status": states}
        return json_response(body, loaded=loaded, status=503 if draining.begun else 200)


@routes.get("/models/<name:model>/metadata")
@routes.get("/models/<name:model>/versions/<name:version>/metadata")
@routes.get("/models/<name:model>/labels/<name:label>/metadata")
def metadata(model: str, version: str | None = None, label: str | None = None) -> Response:
    """The signature, in the form of a SavedModel's."""
    with resources().router.lease(model, version, label=label) as loaded:
        tensors = loaded.manifest.tensors
        signature = {
            "inputs": {spec.name: _signature(spec) for spec in tensors.inputs},
            # `:predict` returns the first output only.
            "outputs": {spec.name: _signature(spec) for spec in tensors.outputs[:1]},
            "method_name": "tensorflow/serving/predict",
        }
        body = {
            "model_spec": {"name": model, "signature_name": "", "version": loaded.version},
            "metadata": {"signature_def": {"signature_def": {v1_json.SIGNATURE: signature}}},
        }
        return json_response(body, loaded=loaded)


# The fast path handles these; Flask gets only their errors, which are counted by this endpoint, and
# other methods than POST.
for _named in ("", "/versions/<name:version>", "/labels/<name:label>"):
    routes.add_url_rule(f"/models/<name:model>{_named}:predict", "predict", methods=["POST"])


def _state(version: str) -> dict[str, Any]:
    status = {"error_code": "OK", "error_message": ""}
    return {"version": version, "state": "AVAILABLE", "status": status}


def _signature(spec: TensorSpec) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in spec.v2_shape]
    shape = {"dim": sides, "unknown_rank": False}
    return {"dtype": _TYPES[spec.datatype], "tensor_shape": shape, "name": spec.name}
