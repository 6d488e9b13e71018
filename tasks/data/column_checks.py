"""Compares rows with their declared columns, by pandera.

pandas and pandera are imported only when rows are checked: a run without arrivals needs neither.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.data_gates.columns import Column
from overnight.store.registry.manifest import Finding
from overnight.store.schema import NUMPY_TYPES
from overnight.tasks.data.categories import is_text

if TYPE_CHECKING:
    import pandera.pandas as pandera

PRESENT, TYPE, MISSING = "column present", "column type", "nothing missing"
RANGE, UNIQUE = "in range", "unique"
# No stored column has this type, so that a size is never chosen for a value.
_SIZE_TYPE = pa.uint32()


@dataclass(frozen=True)
class _BrokenRule:
    """A rule that a column breaks, the number of rows that break it, and an example."""

    rule: str
    rows: int
    example: str


def check_columns(rows: pa.Table, columns: Sequence[Column]) -> Iterator[Finding]:
    """One finding for each column that is as declared, or one for each rule that it breaks.

    A column must be present, have its type, stay in its range, and miss no more values than
    declared; undeclared columns may miss none. Widths of numbers are not compared, because a
    store has fewer of them: each value must fit the declared width.
    """
    declared = {column.name: column for column in columns}
    others = [name for name in rows.column_names if name not in declared]
    broken = _broken_rules(rows, columns, others)
    for name in (*declared, *others):
        column = declared.get(name)
        for rule in broken.get(name, ()):
            yield _failed_finding(name, column, rule, rows.num_rows)
        if column is not None and name not in broken:
            message = f"{name}: {column}, as declared"
            yield Finding(
                gate="as declared", metric=name, passed=True, message=message, n=rows.num_rows
            )


def check_stored(rows: pa.Table, columns: Sequence[Column]) -> Iterator[Finding]:
    """As `check_columns`, for rows of a table to which columns were added since it began.

    Where a column may have gaps, the arrivals that came before it do not count as such.
    """
    declared = {column.name: column for column in columns}
    for finding in check_columns(rows, columns):
        column = declared.get(finding.metric)
        if finding.passed or column is None or finding.gate not in {MISSING, PRESENT}:
            yield finding
            continue
        earlier = before_column(rows, column.name)
        later = rows.filter(pa.array(~earlier))
        if finding.gate == MISSING and column.missing_share and earlier.any():
            yield from (
                each for each in check_columns(later, columns) if each.metric == column.name
            )
        elif earlier.any():
            remedy = (
                f"; {int(earlier.sum()):,} rows came before it: declare "
                f"row_defaults={{{column.name!r}: …}} in the model, the value to read them with"
            )
            yield finding.model_copy(update={"message": finding.message + remedy})
        else:
            yield finding


def before_column(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    """Which of n rows came with arrivals that have no value of a column at all, [n].

    Rows without arrivals came together.
    """
    if name not in rows.column_names:
        return np.ones(rows.num_rows, np.bool_)
    is_missing = pc.is_null(rows.column(name), nan_is_null=True)
    if "arrival" not in rows.column_names:
        nothing = rows.num_rows > 0 and bool(pc.all(is_missing).as_py())
        return np.full(rows.num_rows, nothing, np.bool_)
    with_values = pc.unique(rows.column("arrival").filter(pc.invert(is_missing)))
    lacks = pc.invert(pc.is_in(rows.column("arrival"), with_values))
    return np.asarray(lacks.to_numpy(zero_copy_only=False), np.bool_)


def _broken_rules(
    rows: pa.Table, columns: Sequence[Column], others: Iterable[str]
) -> dict[str, list[_BrokenRule]]:
    """The broken rules by column."""
    import pandas as pd
    from pandera import pandas as pandera

    schema = pandera.DataFrameSchema(
        {column.name: _declared(column, rows) for column in columns}
        | {name: pandera.Column(None, [_missing(0.0)], nullable=True) for name in others}
    )
    comparable = _comparable(rows, columns)
    try:
        schema.validate(comparable.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return _rules_by_column(errors.schema_errors, comparable)
    return {}


def _declared(column: Column, rows: pa.Table) -> "pandera.Column":
    """The column in pandera's terms. A tensor with a shape is checked by its size in bytes, and
    one of varying length by its length.

    Of names of categories only the missing ones are counted: what is not in the vocabulary is new,
    and not broken (`categories`).
    """
    import pandas as pd
    from pandera import pandas as pandera

    if column.holds_names and is_text(rows, column.name):
        return pandera.Column(None, [_missing(column.missing_share)], nullable=True)
    kind = _arrow_type(column)
    checks = [_missing(column.missing_share)]
    if not (pa.types.is_boolean(kind) or pa.types.is_string(kind)):
        checks.append(pandera.Check.in_range(*value_range(column), name=RANGE))
    if column.unique:
        # pandera's own check takes two missing values for duplicates.
        checks.append(pandera.Check(lambda values: ~values.duplicated(keep=False), name=UNIQUE))
    return pandera.Column(pd.ArrowDtype(kind), checks, nullable=True)


def value_range(column: Column) -> tuple[float, float]:
    """The lowest and highest finite value: the declared ones, or those of the type."""
    if column.tensor.lengths:
        return 0, column.tensor.lengths[-1]
    if column.row_bytes is not None:
        return column.row_bytes, column.row_bytes
    dtype = np.dtype(NUMPY_TYPES[column.tensor.datatype])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    low, high = column.tensor.minimum, column.tensor.maximum
    return (float(limits.min) if low is None else low), (
        float(limits.max) if high is None else high
    )


def _missing(share: float) -> "pandera.Check":
    """A check that at most this share of the values is missing."""
    from pandera import pandas as pandera

    return pandera.Check(
        lambda values: bool(values.isna().sum() <= share * len(values)),
        name=MISSING,
        ignore_na=False,
    )


def _arrow_type(column: Column) -> pa.DataType:
    """The type to which all widths of a kind are cast."""
    dtype_kind = np.dtype(NUMPY_TYPES[column.tensor.datatype]).kind
    if column.row_bytes is not None or column.tensor.lengths:
        return _SIZE_TYPE
    if column.tensor.text is not None:
        return pa.string()
    if dtype_kind in "iu":
        return pa.int64()
    return pa.bool_() if dtype_kind == "b" else pa.float64()


def _comparable(rows: pa.Table, columns: Iterable[Column]) -> pa.Table:
    """Rows cast to one type for each kind: bytes and lists become sizes, and NaN becomes null."""
    declared = {column.name: column for column in columns}
    for index, name in enumerate(rows.column_names):
        values, column = rows.column(index), declared.get(name)
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
            values = values.cast(pa.float64())
        elif column is not None:
            values = _in_one_type(values, column)
        rows = rows.set_column(index, name, values)
    return rows


def _in_one_type(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Sizes of bytes and lists, days of dates, and whole numbers and texts in one width."""
    kind = values.type
    if column.tensor.shape and _is_list(kind):
        lengths = pc.list_value_length(values)
        # As bytes would be counted, so that a list of a fixed shape is checked as they are.
        each = 1 if column.row_bytes is None else column.row_bytes // column.tensor.shape[0]
        return pc.multiply(lengths, pa.scalar(each, lengths.type)).cast(_SIZE_TYPE)
    if column.row_bytes is not None and _is_bytes(kind):
        return pc.binary_length(values).cast(_SIZE_TYPE)
    if column.tensor.date and pa.types.is_date(kind):
        return values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    if pa.types.is_integer(kind):
        # Whole numbers are numbers: a table widens them.
        is_floating = _arrow_type(column) == pa.float64()
        return values.cast(pa.float64() if is_floating else pa.int64(), safe=False)
    return values.cast(pa.string()) if pa.types.is_large_string(kind) else values


def _is_list(kind: pa.DataType) -> bool:
    is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in is_list)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _rules_by_column(errors: Iterable[Any], rows: pa.Table) -> dict[str, list[_BrokenRule]]:
    """Pandera's errors by column; if a column has another type, only that."""
    rules_by_column: dict[str, dict[str, _BrokenRule]] = {}
    for error in errors:
        rule = _rule_name(error.check)
        name = str(error.failure_cases) if rule == PRESENT else str(error.column_name)
        if rule in rules_by_column.setdefault(name, {}):
            continue
        affected, example = rows.num_rows, ""
        if rule == PRESENT:
            example = ", ".join(rows.column_names)
        elif rule == TYPE:
            example = str(rows.schema.field(name).type)
        elif rule == MISSING:
            affected = rows.column(name).null_count
        elif isinstance(error.failure_cases, str):
            # The check raised on values of another type; the TYPE rule reports that.
            example = error.failure_cases[:80]
        else:
            cases = error.failure_cases["failure_case"]
            affected, example = len(cases), str(cases.iloc[0])
        rules_by_column[name][rule] = _BrokenRule(rule, affected, example)
    return {
        name: [rules[TYPE]] if TYPE in rules else list(rules.values())
        for name, rules in rules_by_column.items()
    }


def _rule_name(check: Any) -> str:
    """The rule of a failed check: pandera's own checks are strings, ours have a name."""
    if not isinstance(check, str):
        return str(check.name)
    return PRESENT if check == "column_in_dataframe" else TYPE


def _failed_finding(name: str, column: Column | None, broken: _BrokenRule, n: int) -> Finding:
    share = column.missing_share if column is not None else 0.0
    affected, unit = f"{broken.rows:,} of {n:,} values", ""
    remedy = "" if column is not None else "; a Column of it with a missing_share allows gaps"
    if column is not None and column.tensor.shape:
        unit = " values" if column.tensor.lengths else " bytes"
    message = {
        PRESENT: f"no such column; there are {broken.example}",
        TYPE: f"expected {column}, found {broken.example}",
        MISSING: f"{affected} are missing, at most {share:.1%} may be{remedy}",
        UNIQUE: f"{affected} occur more than once, the first is {broken.example}",
        RANGE: f"{affected} are outside {column}, the first is {broken.example}{unit}",
    }[broken.rule]
    return Finding(
        gate=broken.rule,
        metric=name,
        passed=False,
        message=f"{name}: {message}",
        value=broken.rows / n if broken.rule == MISSING else broken.rows,
        bound=share if broken.rule == MISSING else 0,
        direction="at most",
        n=n,
    )
