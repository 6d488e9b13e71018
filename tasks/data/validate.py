"""Validates the rows of a snapshot against the model's declaration, before training."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.registry.manifest import Finding
from overnight.store.schema import TensorSpec
from overnight.tasks.data.categories import is_text
from overnight.tasks.data.column_checks import check_stored
from overnight.tasks.data.leakage import check_kept_out
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.data.tensor_checks import missing_share, tensor_mismatch

_DAY_SECONDS = 86_400
_NAMED_ARRIVALS = 5


def validate(
    rows: pa.Table,
    snapshot: Snapshot,
    definition: ModelDefinition,
    *,
    holdout: pa.Table,
    now: datetime,
) -> tuple[Finding, ...]:
    """Check the rows against the declaration that serving checks requests against.

    Returns a finding for each check, passed or not. Of a frozen `holdout` only the column `digest`
    is used; the rows of a moving one are checked like the others.
    """
    gates = definition.data_gates
    arrived = pa.concat_tables([rows, holdout]) if definition.moving_holdout else rows
    findings = [*_completeness(rows, snapshot, gates), *_freshness(arrived, gates, now)]
    columns = tuple(check_stored(arrived, gates.columns))
    findings += columns
    # Wrong columns would fail the checks below, too, or make them raise.
    if not all(finding.passed for finding in columns):
        return tuple(findings)
    findings.append(check_kept_out(rows, holdout))
    try:
        # The model's own code on new data: what it raises is a finding, not a crash.
        examples = definition.examples(rows)
    except (KeyError, ValueError) as error:
        reason = f"rows are no examples: {error}{origin(rows, definition, error)}"
        findings.append(_finding("readable", "rows", False, reason))
        return tuple(findings)
    findings += [_tensor_finding(examples, spec) for spec in definition.tensors.inputs]
    first = definition.tensors.outputs[0].name
    for output, labels in examples.by_output(first).items():
        names = definition.tensors.classes(output)
        findings += _class_findings(labels, names, gates.class_rows)
    return tuple(findings)


def origin(rows: pa.Table, definition: ModelDefinition, error: Exception) -> str:
    """The arrivals, and the column where it can be known, that make a model raise an error."""
    if "arrival" not in rows.column_names:
        return ""
    wrong = []
    for name in sorted(rows.column("arrival").unique().to_pylist()):
        try:
            definition.examples(rows.filter(pc.equal(rows.column("arrival"), name)))
        except (KeyError, ValueError):
            wrong.append(name)
    if not wrong:
        return ""
    columns = [
        name
        for name in rows.column_names
        if isinstance(error, KeyError)
        and is_text(rows, name)
        and pc.any(pc.equal(rows.column(name), str(error.args[0]))).as_py()
    ]
    where = f" in {', '.join(columns)}" if columns else ""
    return (
        f"{where} of {', '.join(wrong[:_NAMED_ARRIVALS])}; `overnight exclude {definition.name} "
        f"{wrong[0]}` leaves it out; a column whose vocabulary is declared is checked when its "
        "rows arrive"
    )


def _completeness(rows: pa.Table, snapshot: Snapshot, gates: DataGates) -> Iterator[Finding]:
    """All rows of the snapshot were read, and there are enough of them."""
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
        n >= gates.minimum_rows,
        f"{n:,} rows, at least {gates.minimum_rows:,} are needed",
        value=n,
        bound=gates.minimum_rows,
    )


def _freshness(rows: pa.Table, gates: DataGates, now: datetime) -> Iterator[Finding]:
    """The newest row is not too old, if the model declares a maximum age."""
    if gates.fresh_days is None:
        return
    name = gates.fresh_by
    newest = pc.max(rows.column(name)).as_py() if name in rows.column_names else None
    if not isinstance(newest, date):
        message = f"{name} has no date or time to compute an age from"
        yield _finding("fresh", name, False, message, bound=gates.fresh_days)
        return
    days = (now - _moment(newest)).total_seconds() / _DAY_SECONDS
    yield _finding(
        "fresh",
        name,
        days <= gates.fresh_days,
        f"the newest {name} is {days:.1f} days old, at most {gates.fresh_days:g} may be",
        value=days,
        bound=gates.fresh_days,
    )


def _moment(value: date) -> datetime:
    """The time of a value: the end of a day, and UTC for times without a zone."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time.max, UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _tensor_finding(examples: Examples, spec: TensorSpec) -> Finding:
    """One tensor has its declared type, shape and range; of one with gaps, how many there are."""
    array = examples.inputs.get(spec.name)
    wrong = tensor_mismatch(array, spec)
    share = missing_share(array) if array is not None and spec.accepts_missing else None
    rate = "" if share is None else f"; {share:.1%} of its values are missing"
    return _finding(
        "tensor",
        spec.name,
        not wrong,
        f"{spec.name}: {wrong or f'{spec.datatype} {list(spec.v2_shape)}, as declared'}{rate}",
        value=share,
        n=examples.n,
    )


def _class_findings(labels: Array, names: tuple[str, ...], class_rows: int) -> Iterator[Finding]:
    """Every label is a known class, and every class has enough rows."""
    if not names:
        return
    values, counts = np.unique(labels, return_counts=True)
    counts_by_label = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    unknown = {
        value: count for value, count in counts_by_label.items() if not 0 <= value < len(names)
    }
    examples = ", ".join(f"{value} in {count:,} rows" for value, count in unknown.items())
    yield _finding(
        "known labels",
        "unknown labels",
        not unknown,
        f"labels outside {names[0]}–{names[-1]}: {examples or 'none'}",
        value=sum(unknown.values()),
        bound=0,
    )
    for index, name in enumerate(names):
        n = counts_by_label.get(index, 0)
        yield _finding(
            "every class",
            "rows",
            n >= class_rows,
            f"class {name}: {n:,} rows, at least {class_rows} are needed",
            slice=name,
            value=n,
            bound=class_rows,
        )


def _finding(
    gate: str,
    metric: str,
    passed: bool,  # noqa: FBT001 - in the order of a finding's fields
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
        direction=None if bound is None else "at least",
        n=n,
    )
