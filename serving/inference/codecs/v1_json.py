"""TensorFlow Serving's REST interface: `instances` by row or `inputs` by column."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from overnight.serving.errors import BadInput, LimitExceeded, UnfitInputs
from overnight.serving.inference.codecs.v2_json import OUT_OF_VOCABULARY, OUT_OF_VOCABULARY_COUNT
from overnight.serving.inference.decoding import check_rows, from_rows
from overnight.serving.inference.error_text import kind_of, names_in
from overnight.serving.inference.limits import Allowance, Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.novelty import wanted
from overnight.serving.inference.pictures import is_base64
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.signatures import fits, sent_columns, sent_rows, signature_of
from overnight.serving.inference.vocabulary import OutOfVocabulary
from overnight.store.encoding.inputs import default_row
from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.schema import Schema, TensorSpec

SIGNATURE = "serving_default"


def predict(
    request: dict[str, Any],
    loaded: ModelVersion,
    limits: Limits,
    *,
    text: bytes | None = None,
    sent_as: str = "instances",
) -> dict[str, Any]:
    """Decode a request, run it and build the response: the first output alone, as bare lists.

    `text` is the JSON of the request, where it came as one; `sent_as` is what its client calls
    `instances`.

    Raises:
        UnfitInputs: its inputs are others than those of the version, by name or shape.
        BadInput: naming the field, its expected and its actual value.
    """
    signature = request.get("signature_name", SIGNATURE)
    if signature not in (SIGNATURE, ""):
        raise BadInput("signature_name", expected=SIGNATURE, found=kind_of(signature))
    by_row = "instances" in request
    if by_row == ("inputs" in request):
        found = "both" if by_row else f"the fields {names_in(request)}"
        raise BadInput("the body", expected="either `instances` or `inputs`", found=found)
    unknown, allowance = OutOfVocabulary(), Allowance(limits, text=text)
    inputs = _inputs(request, loaded, allowance, unknown, rows=sent_as if by_row else None)
    name = loaded.predictor.outputs[0].name
    answers = loaded.predict(inputs, wanted([name], loaded.predictor.novelty))
    # Clients of this protocol parse strictly: a header says which rows are.
    answers.pop(UNLIKE_TRAINING, None)
    rows = answers[name]
    body: dict[str, Any] = {"predictions" if by_row else "outputs": np.ascontiguousarray(rows)}
    if unknown:
        body |= {OUT_OF_VOCABULARY: unknown.entries, OUT_OF_VOCABULARY_COUNT: len(unknown)}
    return body


def classify(
    request: dict[str, Any], loaded: ModelVersion, limits: Limits, *, text: bytes | None = None
) -> dict[str, Any]:
    """Classes and scores of each example: `results` has a pair (label, score) for every class.

    `examples` are objects by name, as `instances`, and `context` has what all of them share. A
    list may be flat, as features of a `tf.Example` are, and hold a single value.

    Raises:
        UnfitInputs, BadInput: as `predict`; or the version has no classes.
    """
    output = classes_of(loaded)
    if output is None:
        expected = ":predict, as the first output has no classes"
        raise BadInput("the path", expected=expected, found=":classify")
    examples, context = request.get("examples"), request.get("context", {})
    if not isinstance(examples, list) or not all(isinstance(row, dict) for row in examples):
        raise BadInput("examples", expected="a list of objects", found=kind_of(examples))
    if not isinstance(context, dict):
        raise BadInput("context", expected="an object", found=kind_of(context))
    specs = {spec.name: spec for spec in loaded.predictor.inputs}
    rows = [_unflattened(context | row, specs) for row in examples]
    signature = {name: request[name] for name in ("signature_name",) if name in request}
    request = signature | {"instances": rows}
    body = predict(request, loaded, limits, text=text, sent_as="examples")
    labels = loaded.manifest.tensors.classes(output)
    scores = body.pop("predictions").reshape(len(rows), -1)
    return {"results": [list(zip(labels, row, strict=True)) for row in scores]} | body


def classes_of(loaded: ModelVersion) -> str | None:
    """The name of the first output where it has a named class for each of its values."""
    tensors = loaded.manifest.tensors
    return tensors.outputs[0].name if has_classes(tensors) else None


def has_classes(tensors: Schema) -> bool:
    """Whether the first output has a named class for each of its values."""
    first = tensors.outputs[0]
    return 0 < len(tensors.classes(first.name)) == math.prod(first.shape)


def _unflattened(row: dict[str, Any], specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """A row whose flat lists are nested as their tensors are; anything else as it is."""
    return {name: _nested(value, specs.get(name)) for name, value in row.items()}


def _nested(value: Any, spec: TensorSpec | None) -> Any:
    if spec is None or spec.lengths or not isinstance(value, list):
        return value
    if len(value) != math.prod(spec.shape) or any(isinstance(inner, list) for inner in value):
        return value
    if not spec.shape:
        return value[0]
    for length in spec.shape[:0:-1]:
        value = [value[start : start + length] for start in range(0, len(value), length)]
    return value


def _inputs(
    request: dict[str, Any],
    loaded: ModelVersion,
    allowance: Allowance,
    unknown: OutOfVocabulary,
    *,
    rows: str | None,
) -> dict[str, Array]:
    """The decoded inputs, all with the same number of rows; errors call `instances` what `rows` is.

    It is None where the request has columns.
    """
    specs, by_row = loaded.predictor.inputs, rows is not None
    sent = request["instances" if by_row else "inputs"]
    if loaded.ignored:
        sent = _without(sent, loaded.ignored)
    try:
        if rows is not None:
            return _by_row(sent, specs, allowance, unknown, named=rows)
        return _by_column(sent, specs, allowance, unknown)
    except LimitExceeded:
        raise
    except BadInput as error:
        first = sent_rows(sent[0]) if by_row and isinstance(sent, list) and sent else None
        signature = sent_columns(sent) if first is None and not by_row else first
        if not signature or fits(signature, signature_of(specs)):
            raise
        raise UnfitInputs(
            error.field, expected=error.expected, found=error.found, sent=signature
        ) from None


def _without(sent: object, names: frozenset[str]) -> object:
    """Rows or columns without the inputs of these names."""
    if isinstance(sent, list):
        return [_without(row, names) for row in sent]
    if isinstance(sent, dict):
        return {name: value for name, value in sent.items() if name not in names}
    return sent


def _by_row(
    rows: Any,
    specs: Sequence[TensorSpec],
    allowance: Allowance,
    unknown: OutOfVocabulary,
    *,
    named: str,
) -> dict[str, Array]:
    """`instances`: one element a row, bare when there is one input, else an object by name."""
    if not isinstance(rows, list) or not rows:
        raise BadInput(named, expected="a list of at least one row", found=kind_of(rows))
    check_rows(len(rows), allowance.limits, field=named)
    if len(specs) == 1 and (not isinstance(rows[0], dict) or is_base64(rows[0])):
        (spec,) = specs
        column = from_rows(spec, rows, field=named, unknown=unknown, allowance=allowance)
        return {spec.name: column}
    names = {spec.name for spec in specs}
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or (row.keys() != names and _misfits(row, specs)):
            found = names_in(row) if isinstance(row, dict) else "no object"
            raise BadInput(f"{named}[{place}]", expected=_expected(specs), found=found)
    columns: dict[str, Array] = {}
    for spec in specs:
        absent = [spec.name not in row for row in rows] if spec.default is not None else []
        if absent and all(absent):
            continue
        values = [row[spec.name] if spec.name in row else default_row(spec) for row in rows]
        field = f"{named}.{spec.name}"
        columns[spec.name] = from_rows(
            spec, values, field=field, unknown=unknown, allowance=allowance
        )
    return columns or _nothing(named, specs)


def _by_column(
    columns: Any, specs: Sequence[TensorSpec], allowance: Allowance, unknown: OutOfVocabulary
) -> dict[str, Array]:
    """`inputs`: all rows of a tensor together, bare when there is one input, else by name."""
    if not isinstance(columns, dict) and len(specs) == 1:
        columns = {specs[0].name: columns}
    names = {spec.name for spec in specs}
    if not isinstance(columns, dict) or (columns.keys() != names and _misfits(columns, specs)):
        found = names_in(columns) if isinstance(columns, dict) else "no object"
        raise BadInput("inputs", expected=_expected(specs), found=found)
    for name, rows in columns.items():
        n = len(rows) if isinstance(rows, list) else 0
        check_rows(n, allowance.limits, field=f"inputs.{name}")
    tensors = {
        spec.name: from_rows(
            spec,
            columns[spec.name],
            field=f"inputs.{spec.name}",
            unknown=unknown,
            allowance=allowance,
        )
        for spec in specs
        if spec.name in columns
    }
    if len({len(rows) for rows in tensors.values()}) > 1:
        raise BadInput("inputs", expected="the same number of rows in each", found="several")
    return tensors or _nothing("inputs", specs)


def _misfits(sent: dict[str, Any], specs: Sequence[TensorSpec]) -> bool:
    """Whether a name is unknown, or one that has no default is missing."""
    needed = {spec.name for spec in specs if spec.default is None}
    return not needed <= sent.keys() <= {spec.name for spec in specs}


def _expected(specs: Sequence[TensorSpec]) -> str:
    needed = sorted(spec.name for spec in specs if spec.default is None)
    optional = sorted(spec.name for spec in specs if spec.default is not None)
    return f"{needed} and optionally {optional}" if optional else f"{needed}"


def _nothing(field: str, specs: Sequence[TensorSpec]) -> NoReturn:
    raise BadInput(field, expected=f"some of {[spec.name for spec in specs]}", found="none of them")
