"""Validate: the rows are what the model was declared for, before an hour is spent on them."""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from models.definition import Array, Examples, ModelDefinition
from store.manifest import Finding
from store.schema import NUMPY_TYPES, TensorSpec
from tasks.snapshot import Snapshot

MINIMUM_CLASS_ROWS = 20


def validate(
    rows: pa.Table, snapshot: Snapshot, definition: ModelDefinition, *, holdout: pa.Table
) -> tuple[Finding, ...]:
    """Hold the rows of a snapshot against the schema that requests are held against too.

    One finding a check, passed or not; a failed one names the offender with figures.
    Of `holdout` only the column `digest` is looked at.
    """
    findings = [*_complete(rows, snapshot, definition), _disjoint(rows, holdout)]
    if any(column.null_count for column in rows.columns):
        return tuple(findings)
    try:
        examples = definition.examples(rows)
    except (KeyError, ValueError) as error:
        findings.append(_finding("readable", "rows", False, f"rows are no examples: {error}"))
        return tuple(findings)
    findings += [_as_declared(examples, spec) for spec in definition.tensors.inputs]
    findings += _classes(examples.labels, definition.tensors.labels)
    return tuple(findings)


def _complete(rows: pa.Table, snapshot: Snapshot, definition: ModelDefinition) -> Iterator[Finding]:
    """All rows, enough of them, and nothing missing in any."""
    n = rows.num_rows
    yield _finding(
        "whole snapshot",
        "rows",
        n == snapshot.rows,
        f"{n:,} rows read of the {snapshot.rows:,} in dataset version {snapshot.dataset_version}",
        value=n,
        bound=snapshot.rows,
    )
    yield _finding(
        "enough rows",
        "rows",
        n >= definition.minimum_rows,
        f"{n:,} rows, at least {definition.minimum_rows:,} are needed",
        value=n,
        bound=definition.minimum_rows,
    )
    nulls = {name: rows.column(name).null_count for name in rows.column_names}
    told = ", ".join(f"{count:,} in {name}" for name, count in nulls.items() if count)
    yield _finding(
        "nothing missing",
        "missing values",
        not told,
        f"missing values: {told or 'none'}",
        value=sum(nulls.values()),
        bound=0,
    )


def _disjoint(rows: pa.Table, holdout: pa.Table) -> Finding:
    """No row that judges may train."""
    shared = sorted(_digests(rows) & _digests(holdout))
    told = f", the first of digest {shared[0]}" if shared else ""
    return _finding(
        "holdout kept out",
        "holdout rows",
        not shared,
        f"{len(shared):,} of {holdout.num_rows:,} holdout rows are among the training rows{told}",
        value=len(shared),
        bound=0,
    )


def _as_declared(examples: Examples, spec: TensorSpec) -> Finding:
    """One tensor has its declared type, shape and range."""
    wrong = _difference(examples.inputs.get(spec.name), spec)
    return _finding(
        "as declared",
        spec.name,
        not wrong,
        f"{spec.name}: {wrong or f'{spec.datatype} {list(spec.v2_shape)}, as declared'}",
        n=examples.n,
    )


def _difference(array: Array | None, spec: TensorSpec) -> str:
    """How an array differs from its declaration, or nothing."""
    if array is None:
        return "no such tensor in the rows"
    if array.dtype != np.dtype(NUMPY_TYPES[spec.datatype]):
        return f"expected {NUMPY_TYPES[spec.datatype]}, found {array.dtype}"
    if array.shape[1:] != spec.shape:
        return f"expected rows of shape {list(spec.shape)}, found {list(array.shape[1:])}"
    return _outside(array, spec) if array.size else ""


def _outside(array: Array, spec: TensorSpec) -> str:
    """How an array leaves its declared range, or nothing."""
    lowest, highest = float(array.min()), float(array.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return f"expected finite values, found {lowest} and {highest}"
    minimum = -math.inf if spec.minimum is None else spec.minimum
    maximum = math.inf if spec.maximum is None else spec.maximum
    if lowest < minimum or highest > maximum:
        return f"expected values from {minimum:g} to {maximum:g}, found {lowest:g} to {highest:g}"
    return ""


def _classes(labels: Array, names: tuple[str, ...]) -> Iterator[Finding]:
    """Every label is in the vocabulary, and every class is there often enough."""
    if not names:
        return
    values, counts = np.unique(labels, return_counts=True)
    found = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    unknown = {value: count for value, count in found.items() if not 0 <= value < len(names)}
    told = ", ".join(f"{value} in {count:,} rows" for value, count in unknown.items())
    yield _finding(
        "known labels",
        "unknown labels",
        not unknown,
        f"labels outside {names[0]}–{names[-1]}: {told or 'none'}",
        value=sum(unknown.values()),
        bound=0,
    )
    for index, name in enumerate(names):
        n = found.get(index, 0)
        yield _finding(
            "every class",
            "rows",
            n >= MINIMUM_CLASS_ROWS,
            f"class {name}: {n:,} rows, at least {MINIMUM_CLASS_ROWS} are needed",
            slice=name,
            value=n,
            bound=MINIMUM_CLASS_ROWS,
        )


def _digests(rows: pa.Table) -> set[str]:
    return set(rows.column("digest").to_pylist())


def _finding(
    gate: str,
    metric: str,
    passed: bool,  # noqa: FBT001 - the answer, between what was asked and what is said
    message: str,
    *,
    slice: str = "",
    value: float | None = None,
    bound: float | None = None,
    n: int | None = None,
) -> Finding:
    return Finding(
        gate=gate,
        metric=metric,
        passed=passed,
        message=message,
        slice=slice,
        value=value,
        bound=bound,
        n=n,
    )
