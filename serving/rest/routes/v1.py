"""TensorFlow Serving's REST API: status and metadata; inference is on the fast path.

Status and metadata have exactly the fields of its protocol buffers, and versions are numbers.
"""

from typing import Any

from flask import Blueprint, Response, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v1_json
from overnight.serving.rest.bodies import json_response
from overnight.serving.rest.headers import PROTOCOL
from overnight.serving.rest.resources import resources
from overnight.store.objects import keys
from overnight.store.schema import Datatype, TensorSpec

_KSERVE = "python-httpx/"

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

    KServe's v1 protocol has this path, too, and other fields. Nothing but the library that it
    sends by tells its client apart, which reads `ready` alone.
    """
    named = version is not None or label is not None
    draining = resources().draining
    draining.note_probe()
    with resources().router.lease(model, version, label=label) as loaded:
        versions = (loaded.version,) if named else resources().router.versions(model)
        body: dict[str, Any] = {"model_version_status": [_state(name) for name in versions]}
        if request.user_agent.string.startswith(_KSERVE):
            body |= {"name": model, "ready": not draining.begun}
        response = json_response(body, loaded=loaded, status=503 if draining.begun else 200)
        response.vary.add("User-Agent")
        return response


@routes.get("/models/<name:model>/metadata")
@routes.get("/models/<name:model>/versions/<name:version>/metadata")
@routes.get("/models/<name:model>/labels/<name:label>/metadata")
def metadata(model: str, version: str | None = None, label: str | None = None) -> Response:
    """The signature, in the form of a SavedModel's."""
    with resources().router.lease(model, version, label=label) as loaded:
        tensors = loaded.manifest.tensors
        # `:predict` returns the first output only, `Predict` over gRPC all of them.
        outputs = tensors.outputs if PROTOCOL in request.environ else tensors.outputs[:1]
        signature = {
            "inputs": {spec.name: _signature(spec) for spec in tensors.inputs},
            "outputs": {spec.name: _signature(spec) for spec in outputs},
            "method_name": "tensorflow/serving/predict",
        }
        body = {
            "model_spec": {"name": model, "signature_name": "", "version": _number(loaded.version)},
            "metadata": {"signature_def": {"signature_def": {v1_json.SIGNATURE: signature}}},
        }
        return json_response(body, loaded=loaded)


@routes.get("/models")
def models() -> Response:
    """The names of all models, as KServe lists them."""
    return json_response({"models": [slot.model for slot in resources().slots.all()]})


def regress(model: str, version: str | None = None, label: str | None = None) -> Response:
    """Refused: no version has the signature of a regression."""
    return _without_signature(model, version, label, verb="regress")


def explain(model: str, version: str | None = None, label: str | None = None) -> Response:
    """Refused: no version has an explainer."""
    return _without_signature(model, version, label, verb="explain")


# The fast path handles the first two; Flask gets only their errors, which are counted by this
# endpoint, and other methods than POST.
for _named in ("", "/versions/<name:version>", "/labels/<name:label>"):
    for _verb, _view in (
        ("predict", None),
        ("classify", None),
        ("regress", regress),
        ("explain", explain),
    ):
        _rule = f"/models/<name:model>{_named}:{_verb}"
        routes.add_url_rule(_rule, _verb, _view, methods=["POST"])


def _without_signature(
    model: str, version: str | None, label: str | None, *, verb: str
) -> Response:
    with resources().router.lease(model, version, label=label) as loaded:
        verbs = ":predict or :classify" if v1_json.classes_of(loaded) else ":predict"
        raise BadInput("the path", expected=verbs, found=f":{verb}, which {model} has not")


def _state(version: str) -> dict[str, Any]:
    status = {"error_code": "OK", "error_message": ""}
    return {"version": _number(version), "state": "AVAILABLE", "status": status}


def _number(version: str) -> str:
    """An int64 as the JSON of protocol buffers has it: a text."""
    return str(keys.number_of(version))


def _signature(spec: TensorSpec) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in spec.v2_shape]
    shape = {"dim": sides, "unknown_rank": False}
    return {"dtype": _TYPES[spec.datatype], "tensor_shape": shape, "name": spec.name}
