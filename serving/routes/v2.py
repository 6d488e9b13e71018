"""The Open Inference Protocol v2, JSON."""

from typing import Any

from flask import Blueprint, Response

from serving.predictor import Array
from serving.routes.bodies import answer, check_rows, json_object, slot, slots
from serving.slots import Loaded
from serving.tensors import from_flat
from store.errors import BadInput
from store.schema import TensorSpec

routes = Blueprint("v2", __name__, url_prefix="/v2")


@routes.get("")
@routes.get("/")
def server() -> Response:
    """Who answers."""
    return answer({"name": "overnight", "version": "0.1.0", "extensions": ["model_versions"]})


@routes.get("/health/live")
def live() -> Response:
    return answer({"live": True})


@routes.get("/health/ready")
def ready() -> Response:
    """Ready once every model that answers is loaded here, verified; the store may be down."""
    every = slots()
    models = {one.model: one.ready for one in every.all()}
    missing = [name for name in every.expected if name not in models]
    body = {"ready": every.ready, "models": models | dict.fromkeys(missing, False)}
    return answer(body, status=200 if every.ready else 503)


@routes.get("/models/<model>")
@routes.get("/models/<model>/versions/<version>")
def metadata(model: str, version: str | None = None) -> Response:
    """The tensors of a model, with -1 for the batch."""
    with slot(model).lease(version) as loaded:
        tensors = loaded.manifest.tensors
        body = {
            "name": model,
            "versions": slot(model).versions(),
            "platform": "litert",
            "inputs": [_told(spec) for spec in tensors.inputs],
            "outputs": [_told(spec) for spec in tensors.outputs],
        }
        return answer(body, loaded=loaded)


@routes.get("/models/<model>/ready")
@routes.get("/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    with slot(model).lease(version) as loaded:
        return answer({"name": model, "ready": True}, loaded=loaded)


@routes.post("/models/<model>/infer")
@routes.post("/models/<model>/versions/<version>/infer")
def infer(model: str, version: str | None = None) -> Response:
    """Answer with one version throughout, even if a newer one arrives meanwhile."""
    asked = json_object()
    with slot(model).lease(version) as loaded:
        inputs = _inputs(asked, loaded)
        wanted = _wanted(asked, loaded)
        found = loaded.predictor.answer(inputs, [spec.name for spec in wanted])
        body: dict[str, Any] = {"model_name": model, "model_version": loaded.version}
        if isinstance(asked.get("id"), str):
            body["id"] = asked["id"]
        body["outputs"] = [_output(spec, found[spec.name]) for spec in wanted]
        return answer(body, loaded=loaded)


def _told(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.v2_shape}


def _output(spec: TensorSpec, rows: Array) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(rows.shape),
        "datatype": spec.datatype,
        "data": rows.reshape(-1),
    }


def _inputs(asked: dict[str, Any], loaded: Loaded) -> dict[str, Array]:
    """The input tensors of a request, in the schema's order, all with the same number of rows."""
    given = asked.get("inputs")
    specs = loaded.predictor.inputs
    names = [spec.name for spec in specs]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadInput("inputs", expected=f"a list of the tensors {names}", found="something else")
    found = [one.get("name") for one in given]
    if sorted(map(str, found)) != sorted(names):
        raise BadInput("inputs", expected=f"the tensors {names}", found=str(found)[:200])
    by_name = {one["name"]: (place, one) for place, one in enumerate(given)}
    tensors: dict[str, Array] = {}
    for spec in specs:
        place, one = by_name[spec.name]
        tensors[spec.name] = _tensor(spec, one, field=f"inputs[{place}]")
    rows = {len(tensor) for tensor in tensors.values()}
    if len(rows) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found=str(rows))
    return tensors


def _tensor(spec: TensorSpec, given: dict[str, Any], *, field: str) -> Array:
    shape, datatype = given.get("shape"), given.get("datatype")
    if datatype != spec.datatype:
        raise BadInput(f"{field}.datatype", expected=spec.datatype, found=str(datatype)[:40])
    if (
        not isinstance(shape, list)
        or shape[1:] != list(spec.shape)
        or type(shape[0]) is not int
        or shape[0] < 1
    ):
        expected = f"{spec.v2_shape} with at least one row"
        raise BadInput(f"{field}.shape", expected=expected, found=str(shape)[:80])
    check_rows(shape[0], field=f"{field}.shape")
    return from_flat(spec, given.get("data"), shape[0], field=f"{field}.data")


def _wanted(asked: dict[str, Any], loaded: Loaded) -> list[TensorSpec]:
    """The outputs that were asked for; the answer alone when none was."""
    outputs = asked.get("outputs")
    if not outputs:
        return [loaded.predictor.outputs[0]]
    specs = {spec.name: spec for spec in loaded.predictor.outputs}
    if not isinstance(outputs, list):
        raise BadInput("outputs", expected=f"a list of {sorted(specs)}", found="something else")
    wanted = []
    for place, output in enumerate(outputs):
        name = output.get("name") if isinstance(output, dict) else output
        if not isinstance(name, str) or name not in specs:
            field = f"outputs[{place}].name"
            raise BadInput(field, expected=f"one of {sorted(specs)}", found=str(name)[:80])
        wanted.append(specs[name])
    return wanted
