"""Checks the rows of a frozen holdout, before they are frozen and before they judge anything.

What they may contain is what training rows may: the same columns, tensors and classes. Nothing of
a frozen holdout can be corrected later, so that a single wrong value is refused.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.columns import Column
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.registry.manifest import Finding
from overnight.store.schema import Schema
from overnight.tasks.data.categories import UnknownCategories, categories
from overnight.tasks.data.column_checks import MISSING, RANGE, check_stored, value_range
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.tensor_checks import tensor_mismatch

GATE = "holdout"
_FROZEN = (
    "; it is frozen as it is: remove everything under datasets/{model}/holdout with the store's "
    "own tools, and the next ingest freezes the corrected rows; versions that the old ones judged "
    "cannot be compared with later ones"
)


def check_holdout(
    rows: pa.Table, definition: ModelDefinition, *, file: str = "the holdout", frozen: bool = False
) -> tuple[Finding, ...]:
    """The failed findings on a frozen holdout, and one on classes without a row.

    Rows are numbered from one, as in their file; one that is `frozen` has lost their order.
    """
    if definition.moving_holdout is not None:
        return ()
    rows = DeclaredColumns.of(definition).filled(rows)
    findings = _findings(rows, definition, file, numbered=not frozen)
    if not frozen:
        return findings
    remedy = _FROZEN.format(model=definition.name)
    return tuple(
        each if each.passed else each.model_copy(update={"message": each.message + remedy})
        for each in findings
    )


def _findings(
    rows: pa.Table, definition: ModelDefinition, name: str, *, numbered: bool
) -> tuple[Finding, ...]:
    if rows.num_rows == 0:
        return (_failed(name, "rows", "there is no row in it, and nothing could be judged"),)
    columns = {column.name: column for column in definition.data_gates.columns}
    failures = tuple(
        _failed(
            name, finding.metric, finding.message + _row(rows, finding, columns, numbered=numbered)
        )
        for finding in check_stored(rows, tuple(columns.values()))
        if not finding.passed
    )
    unknown = UnknownCategories(categories(definition))
    unknown.add(rows)
    failures += unknown.findings(name, file=name)
    if failures:
        return failures
    try:
        examples = definition.examples(rows)
    except Exception as error:  # noqa: BLE001 - the model's own code on new data
        reason = f"its rows are no examples: {type(error).__name__}: {error}"
        return (_failed(name, "rows", reason),)
    return (
        *_check_inputs(examples, definition, name),
        *_check_labels(examples, definition.tensors, name, numbered=numbered),
    )


def _check_inputs(examples: Examples, definition: ModelDefinition, name: str) -> Iterator[Finding]:
    for spec in definition.tensors.inputs:
        if wrong := tensor_mismatch(examples.inputs.get(spec.name), spec):
            yield _failed(name, spec.name, f"{spec.name}: {wrong}")


def _check_labels(
    examples: Examples, tensors: Schema, name: str, *, numbered: bool
) -> Iterator[Finding]:
    """The findings on the labels of each output that has some."""
    first = tensors.outputs[0].name
    for output, labels in examples.by_output(first).items():
        label = "label" if output == first else f"label of {output}"
        yield from _check_labels_of(
            labels, tensors.classes(output), label, name=name, numbered=numbered
        )


def _check_labels_of(
    labels: Array, classes: tuple[str, ...], label: str, *, name: str, numbered: bool
) -> Iterator[Finding]:
    numbers = np.asarray(labels, np.float64)
    low, high = (0, len(classes) - 1) if classes else (-np.inf, np.inf)
    is_good = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
    is_bad = ~is_good.reshape(len(numbers), -1).all(axis=1)
    if is_bad.any():
        expected = f"a class from 0 to {high} ({', '.join(classes)})" if classes else "a number"
        first = int(is_bad.argmax())
        where = f"row {first + 1}" if numbered else f"{int(is_bad.sum()):,} rows"
        yield _failed(
            name, "label", f"{label}: expected {expected}, found {labels[first]} in {where}"
        )
        return
    counts = np.bincount(numbers.astype(np.int64), minlength=len(classes)) if classes else ()
    missing = [each for each, count in zip(classes, counts, strict=False) if not count]
    if missing:
        message = f"{name} has no row of {', '.join(missing)}: nothing judges a version there"
        yield Finding(gate=GATE, metric="classes", passed=True, applicable=False, message=message)


def _row(rows: pa.Table, finding: Finding, columns: dict[str, Column], *, numbered: bool) -> str:
    """Where the first value is that breaks a rule, if it can be known."""
    if not numbered or finding.metric not in rows.column_names:
        return ""
    values, column = rows.column(finding.metric), columns.get(finding.metric)
    if finding.gate == MISSING:
        is_bad = pc.is_null(values, nan_is_null=True)
    elif finding.gate == RANGE and column is not None and not column.tensor.shape:
        low, high = value_range(column)
        is_bad = pc.or_(pc.less(values, low), pc.greater(values, high))
    else:
        return ""
    return f"; the first in row {pc.index(is_bad, True).as_py() + 1}"


def _failed(name: str, metric: str, message: str) -> Finding:
    return Finding(gate=GATE, metric=metric, slice=name, passed=False, message=message)
