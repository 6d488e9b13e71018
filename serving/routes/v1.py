"""TensorFlow Serving's REST interface."""

from typing import Any

import numpy as np
from flask import Blueprint, Response

from serving.predictor import Array
from serving.routes.bodies import answer, check_rows, json_object, slot
from serving.slots import Loaded
from serving.tensors import from_rows
from store.aliases import CHAMPION
from store.errors import BadInput, NotServed
from store.schema import Datatype, TensorSpec

routes = Blueprint("v1", __name__, url_prefix="/v1")

SIGNATURE = "serving_default"
_TYPES: dict[Datatype, str] = {
    "BOOL": "DT_BOOL",
    "UINT8": "DT_UINT8",
    "INT8": "DT_INT8",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
}


@routes.get("/models/<model>")
@routes.get("/models/<model>/versions/<version>")
@routes.get("/models/<model>/labels/<label>")
def status(model: str, version: str | None = None, label: str | None = None) -> Response:
    """The state of a version; everything that is loaded is AVAILABLE."""
    _check_label(label)
    with slot(model).lease(version) as loaded:
        state = {
            "version": loaded.version,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return answer({"model_version_status": [state]}, loaded=loaded)


@routes.get("/models/<model>/metadata")
@routes.get("/models/<model>/versions/<version>/metadata")
@routes.get("/models/<model>/labels/<label>/metadata")
def metadata(model: str, version: str | None = None, label: str | None = None) -> Response:
    """The signature, in the words of a SavedModel."""
    _check_label(label)
    with slot(model).lease(version) as loaded:
        tensors = loaded.manifest.tensors
        signature = {
            "inputs": {spec.name: _told(spec) for spec in tensors.inputs},
            # Only what `:predict` answers.
            "outputs": {spec.name: _told(spec) for spec in tensors.outputs[:1]},
            "method_name": "tensorflow/serving/predict",
        }
        body = {
            "model_spec": {"name": model, "signature_name": "", "version": loaded.version},
            "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
        }
        return answer(body, loaded=loaded)


@routes.post("/models/<model>:predict")
@routes.post("/models/<model>/versions/<version>:predict")
@routes.post("/models/<model>/labels/<label>:predict")
def predict(model: str, version: str | None = None, label: str | None = None) -> Response:
    """Answer `instances` by row or `inputs` by column, with one version throughout."""
    _check_label(label)
    asked = json_object()
    signature = asked.get("signature_name", SIGNATURE)
    if signature not in (SIGNATURE, ""):
        raise BadInput("signature_name", expected=SIGNATURE, found=str(signature)[:80])
    by_row = "instances" in asked
    if by_row == ("inputs" in asked):
        found = "both" if by_row else f"the fields {sorted(asked)[:10]}"
        raise BadInput("the body", expected="either `instances` or `inputs`", found=found)
    with slot(model).lease(version) as loaded:
        inputs = _by_row(asked, loaded) if by_row else _by_column(asked, loaded)
        name = loaded.predictor.outputs[0].name
        rows = loaded.predictor.answer(inputs, [name])[name]
        key = "predictions" if by_row else "outputs"
        return answer({key: np.ascontiguousarray(rows)}, loaded=loaded)


def _check_label(label: str | None) -> None:
    if label not in {None, CHAMPION}:
        raise NotServed(f"no label {label!r} is known; labels are aliases", (CHAMPION,))


def _told(spec: TensorSpec) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in spec.v2_shape]
    shape = {"dim": sides, "unknown_rank": False}
    return {"dtype": _TYPES[spec.datatype], "tensor_shape": shape, "name": spec.name}


def _by_row(asked: dict[str, Any], loaded: Loaded) -> dict[str, Array]:
    """`instances`: one element a row, bare when there is one input, else an object by name."""
    rows, specs = asked["instances"], loaded.predictor.inputs
    if not isinstance(rows, list) or not rows:
        raise BadInput("instances", expected="a list of at least one row", found=str(rows)[:40])
    check_rows(len(rows), field="instances")
    names = {spec.name for spec in specs}
    if not isinstance(rows[0], dict) and len(specs) == 1:
        return {specs[0].name: from_rows(specs[0], rows, field="instances")}
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != names:
            found = str(sorted(row))[:80] if isinstance(row, dict) else "no object"
            raise BadInput(f"instances[{place}]", expected=f"{sorted(names)}", found=found)
    return {
        spec.name: from_rows(spec, [row[spec.name] for row in rows], field=f"instances.{spec.name}")
        for spec in specs
    }


def _by_column(asked: dict[str, Any], loaded: Loaded) -> dict[str, Array]:
    """`inputs`: all rows of a tensor together, bare when there is one input, else by name."""
    columns, specs = asked["inputs"], loaded.predictor.inputs
    names = {spec.name for spec in specs}
    if not isinstance(columns, dict) and len(specs) == 1:
        columns = {specs[0].name: columns}
    if not isinstance(columns, dict) or columns.keys() != names:
        found = str(sorted(columns))[:80] if isinstance(columns, dict) else "no object"
        raise BadInput("inputs", expected=f"{sorted(names)}", found=found)
    for name, rows in columns.items():
        check_rows(len(rows) if isinstance(rows, list) else 0, field=f"inputs.{name}")
    tensors = {
        spec.name: from_rows(spec, columns[spec.name], field=f"inputs.{spec.name}")
        for spec in specs
    }
    if len({len(rows) for rows in tensors.values()}) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found="several")
    return tensors
