"""Bodies of `/invocations`: rows in the forms of MLflow, SageMaker and Vertex AI.

Each becomes rows or columns of TensorFlow Serving's interface, which checks them, and is answered
by the first output of the version as `predictions`.
"""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v1_json as v1
from overnight.serving.inference.error_text import kind_of, names_in
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.store.schema import TensorSpec

SPLIT, RECORDS = "dataframe_split", "dataframe_records"
FORMS = ("instances", "inputs", SPLIT, RECORDS)
# Parameters of an inference in MLflow and in Vertex AI; no model has any.
_PARAMETERS = ("params", "parameters")
_CONTEXT = ("signature_name",)
CSV, NPY = "text/csv", "application/x-npy"
LINES = frozenset({"application/jsonlines", "application/x-jsonlines", "application/x-ndjson"})
_NPY_VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_FLAGS = {"true": True, "false": False}
# Longer digits are no integer of 64 bits, and `int` refuses to parse the longest.
_DIGITS = 18


def predict(
    request: dict[str, Any], loaded: ModelVersion, limits: Limits, *, text: bytes | None = None
) -> dict[str, Any]:
    """Run a request of `rows_of` or of the other readers; rows and columns are answered alike.

    Raises:
        UnfitInputs, BadInput: as `v1_json.predict`.
    """
    body = v1.predict(request, loaded, limits, text=text)
    if "outputs" in body:
        body = {"predictions": body.pop("outputs")} | body
    return body


def rows_of(sent: Any) -> dict[str, Any]:
    """The request that a JSON body stands for; a bare list has a row in each element.

    Raises:
        BadInput: none of the forms or several of them, or parameters that nobody reads.
    """
    if isinstance(sent, list):
        return {"instances": sent}
    if not isinstance(sent, dict):
        raise BadInput("the body", expected="an object or a list of rows", found=kind_of(sent))
    forms = [form for form in FORMS if form in sent]
    if len(forms) != 1:
        found = f"{forms}" if forms else f"the fields {names_in(sent)}"
        raise BadInput("the body", expected=f"one of {list(FORMS)}", found=found)
    for name in _PARAMETERS:
        if sent.get(name) not in (None, {}):
            expected = "nothing, as models here have no parameters"
            raise BadInput(name, expected=expected, found=kind_of(sent[name]))
    context = {name: sent[name] for name in _CONTEXT if name in sent}
    (form,) = forms
    if form == SPLIT:
        return context | {"instances": _rows_of_split(sent[form])}
    if form == RECORDS:
        records = sent[form]
        if not isinstance(records, list) or not all(isinstance(row, dict) for row in records):
            raise BadInput(form, expected="a list of objects", found=kind_of(records))
        return context | {"instances": records}
    return context | {form: sent[form]}


def _rows_of_split(split: Any) -> list[dict[str, Any]]:
    """Rows by name, of a table that pandas wrote with `orient="split"`; its index is ignored."""
    columns = split.get("columns") if isinstance(split, dict) else None
    rows = split.get("data") if isinstance(split, dict) else None
    if not isinstance(columns, list) or not isinstance(rows, list):
        expected = "an object with the lists `columns` and `data`"
        raise BadInput(SPLIT, expected=expected, found=kind_of(split))
    names = [name for name in columns if isinstance(name, str)]
    if len(names) != len(columns) or len(set(names)) != len(names):
        expected = "the names of inputs, each once"
        raise BadInput(f"{SPLIT}.columns", expected=expected, found=_shown(columns))
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            expected = f"a list of {len(names)}, one value a column"
            raise BadInput(f"{SPLIT}.data[{place}]", expected=expected, found=kind_of(row))
    return [dict(zip(names, row, strict=True)) for row in rows]


def rows_of_lines(body: bytes) -> dict[str, Any]:
    """One row of JSON a line; empty lines are none.

    Raises:
        BadInput: naming the line that is no JSON.
    """
    rows = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise BadInput(f"line {number}", expected="JSON", found=f"{error}") from None
    return {"instances": rows}


def rows_of_npy(body: bytes) -> dict[str, Any]:
    """The rows of an array as `numpy.save` writes it: numbers or flags, without pickled objects.

    Raises:
        BadInput: another format, other values, or fewer or more bytes than its header says.
    """
    file = io.BytesIO(body)
    try:
        shape, fortran, dtype = _NPY_VERSIONS[np.lib.format.read_magic(file)](file)
    except (ValueError, TypeError, KeyError, EOFError) as error:
        raise BadInput("the body", expected="a file of numpy.save", found=f"{error}"[:80]) from None
    if not shape or dtype.kind not in "biuf":
        found = f"{dtype.name[:40]} of {len(shape)} axes"
        raise BadInput("the body", expected="rows of numbers or flags", found=found)
    # Counted before anything is allocated: a header may promise what does not follow.
    length, left = math.prod(shape) * dtype.itemsize, len(body) - file.tell()
    if min(shape) < 0 or length != left:
        raise BadInput("the body", expected=f"{length} bytes of values", found=f"{left}")
    values = np.frombuffer(body, dtype, offset=file.tell())
    return {"instances": values.reshape(shape, order="F" if fortran else "C").tolist()}


def cells_of(body: bytes) -> list[list[str]]:
    """The lines of a CSV in UTF-8, without empty ones.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        text = body.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput("the body", expected="CSV in UTF-8", found=f"{error}"[:80]) from None
    if not lines:
        raise BadInput("the body", expected="CSV with at least one row", found="none")
    return lines


def rows_of_cells(lines: Sequence[Sequence[str]], loaded: ModelVersion) -> dict[str, Any]:
    """Rows of a CSV, with a header of names, or with the values of all inputs in their order.

    Raises:
        BadInput: naming the line, or the input that no cell can hold.
    """
    specs = {spec.name: spec for spec in loaded.predictor.inputs}
    header = lines[0]
    if set(header) <= specs.keys() | loaded.ignored:
        named = [(name, specs.get(name)) for name in header]
        if any(spec is not None and spec.shape for _, spec in named):
            expected = "columns of single values; lists are sent as JSON, or without a header"
            raise BadInput("the header", expected=expected, found=names_in(header))
        rows = [_row(number, line, named) for number, line in enumerate(lines[1:], 2)]
        return {"instances": rows}
    for spec in specs.values():
        if spec.lengths:
            raise BadInput(spec.name, expected="a list of varying length as JSON", found="CSV")
    return {"instances": [_unnamed(n, line, specs) for n, line in enumerate(lines, 1)]}


def _row(
    number: int, line: Sequence[str], named: Sequence[tuple[str, TensorSpec | None]]
) -> dict[str, Any]:
    _check_width(number, line, len(named))
    return {
        name: cell if spec is None else _value(spec, cell)
        for (name, spec), cell in zip(named, line, strict=True)
    }


def _unnamed(number: int, line: Sequence[str], specs: dict[str, TensorSpec]) -> dict[str, Any]:
    widths = {name: math.prod(spec.shape) for name, spec in specs.items()}
    _check_width(number, line, sum(widths.values()))
    row, start = {}, 0
    for name, spec in specs.items():
        cells = [_value(spec, cell) for cell in line[start : start + widths[name]]]
        row[name] = _nested(cells, spec.shape)
        start += widths[name]
    return row


def _check_width(number: int, line: Sequence[str], width: int) -> None:
    if len(line) != width:
        expected = f"{width} values, one of each column"
        raise BadInput(f"line {number}", expected=expected, found=f"{len(line)}")


def _nested(cells: list[Any], shape: Sequence[int]) -> Any:
    """The cells as nested lists of a shape; the value itself where there is none."""
    if not shape:
        return cells[0]
    for length in reversed(shape[1:]):
        cells = [cells[start : start + length] for start in range(0, len(cells), length)]
    return cells


def _value(spec: TensorSpec, cell: str) -> Any:
    """The value of a cell: a text where the input has it, else a number; empty is a missing one."""
    if cell == "" and (spec.accepts_missing or spec.text is None):
        return None
    if spec.text is not None or cell in spec.vocabulary:
        return cell
    bare = cell.strip()
    if spec.datatype == "BOOL":
        return _FLAGS.get(bare.lower(), cell)
    if bare.lstrip("+-").isdecimal() and len(bare) <= _DIGITS:
        return int(bare)
    try:
        return cell if "_" in bare else float(bare)
    except ValueError:
        return cell


def _shown(columns: list[Any]) -> str:
    return str([name[:40] if isinstance(name, str) else kind_of(name) for name in columns[:10]])
