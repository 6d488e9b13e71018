"""TensorFlow Serving's REST interface: `instances` by row or `inputs` by column."""

from typing import Any

import numpy as np

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs.v2_json import OUT_OF_VOCABULARY, OUT_OF_VOCABULARY_COUNT
from overnight.serving.inference.decoding import check_rows, from_rows
from overnight.serving.inference.error_text import kind_of, names_in
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.vocabulary import OutOfVocabulary

SIGNATURE = "serving_default"


def predict(request: dict[str, Any], loaded: ModelVersion, limits: Limits) -> dict[str, Any]:
    """Decode a request, run it and build the response: the first output alone, as bare lists.

    Raises:
        BadInput: naming the field, its expected and its actual value.
    """
    signature = request.get("signature_name", SIGNATURE)
    if signature not in (SIGNATURE, ""):
        raise BadInput("signature_name", expected=SIGNATURE, found=kind_of(signature))
    by_row = "instances" in request
    if by_row == ("inputs" in request):
        found = "both" if by_row else f"the fields {names_in(request)}"
        raise BadInput("the body", expected="either `instances` or `inputs`", found=found)
    unknown = OutOfVocabulary()
    read = _by_row if by_row else _by_column
    inputs = read(request, loaded, limits, unknown)
    name = loaded.predictor.outputs[0].name
    rows = loaded.predict(inputs, [name])[name]
    body: dict[str, Any] = {"predictions" if by_row else "outputs": np.ascontiguousarray(rows)}
    if unknown:
        body |= {OUT_OF_VOCABULARY: unknown.entries, OUT_OF_VOCABULARY_COUNT: len(unknown)}
    return body


def _by_row(
    request: dict[str, Any], loaded: ModelVersion, limits: Limits, unknown: OutOfVocabulary
) -> dict[str, Array]:
    """`instances`: one element a row, bare when there is one input, else an object by name."""
    rows, specs = request["instances"], loaded.predictor.inputs
    if not isinstance(rows, list) or not rows:
        raise BadInput("instances", expected="a list of at least one row", found=kind_of(rows))
    check_rows(len(rows), limits, field="instances")
    names = {spec.name for spec in specs}
    if not isinstance(rows[0], dict) and len(specs) == 1:
        return {specs[0].name: from_rows(specs[0], rows, field="instances", unknown=unknown)}
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != names:
            found = names_in(row) if isinstance(row, dict) else "no object"
            raise BadInput(f"instances[{place}]", expected=f"{sorted(names)}", found=found)
    columns = {spec.name: [row[spec.name] for row in rows] for spec in specs}
    return {
        spec.name: from_rows(
            spec, columns[spec.name], field=f"instances.{spec.name}", unknown=unknown
        )
        for spec in specs
    }


def _by_column(
    request: dict[str, Any], loaded: ModelVersion, limits: Limits, unknown: OutOfVocabulary
) -> dict[str, Array]:
    """`inputs`: all rows of a tensor together, bare when there is one input, else by name."""
    columns, specs = request["inputs"], loaded.predictor.inputs
    names = {spec.name for spec in specs}
    if not isinstance(columns, dict) and len(specs) == 1:
        columns = {specs[0].name: columns}
    if not isinstance(columns, dict) or columns.keys() != names:
        found = names_in(columns) if isinstance(columns, dict) else "no object"
        raise BadInput("inputs", expected=f"{sorted(names)}", found=found)
    for name, rows in columns.items():
        check_rows(len(rows) if isinstance(rows, list) else 0, limits, field=f"inputs.{name}")
    tensors = {
        spec.name: from_rows(spec, columns[spec.name], field=f"inputs.{spec.name}", unknown=unknown)
        for spec in specs
    }
    if len({len(rows) for rows in tensors.values()}) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found="several")
    return tensors
