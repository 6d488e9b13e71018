"""Frames: rows held against their declared columns, by pandera.

pandas and pandera are imported when rows are looked at, not before: a night on which nothing
arrived needs neither.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.columns import Column
from overnight.store.registry.manifest import Finding
from overnight.store.schema import NUMPY_TYPES

if TYPE_CHECKING:
    import pandera.pandas as pandera

PRESENT, TYPE, MISSING = "column present", "column type", "nothing missing"
RANGE, UNIQUE = "in range", "unique"
# Of no column that a store keeps, so that a size is never mistaken for one.
_SIZE = pa.uint32()


@dataclass(frozen=True)
class _Broken:
    """A rule that a column breaks, in how many rows, and what is said of it."""

    rule: str
    rows: int
    found: str


def check_columns(rows: pa.Table, columns: Sequence[Column]) -> Iterator[Finding]:
    """One finding for each column that is as declared, else one for each rule it breaks.

    Every column must be there, be of its type, stay in its range or vocabulary, and miss no more
    than declared; a column that is not declared may miss nothing. Widths of numbers are not
    compared, since stores have fewer of them: a value must fit the declared one.
    """
    declared = {column.name: column for column in columns}
    others = [name for name in rows.column_names if name not in declared]
    broken = _broken(rows, columns, others)
    for name in (*declared, *others):
        column = declared.get(name)
        for rule in broken.get(name, ()):
            yield _refused(name, column, rule, rows.num_rows)
        if column is not None and name not in broken:
            told = f"{name}: {column}, as declared"
            yield Finding(
                gate="as declared", metric=name, passed=True, message=told, n=rows.num_rows
            )


def _broken(
    rows: pa.Table, columns: Sequence[Column], others: Iterable[str]
) -> dict[str, list[_Broken]]:
    """The rules that are broken, by column."""
    import pandas as pd
    from pandera import pandas as pandera

    schema = pandera.DataFrameSchema(
        {column.name: _declared(column) for column in columns}
        | {name: pandera.Column(None, [_missing(0.0)], nullable=True) for name in others}
    )
    comparable = _comparable(rows, columns)
    try:
        schema.validate(comparable.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return _by_column(errors.schema_errors, comparable)
    return {}


def _declared(column: Column) -> "pandera.Column":
    """The column as pandera knows it. A tensor with a shape is told by how many bytes it is."""
    import pandas as pd
    from pandera import pandas as pandera

    kind = _kind(column)
    checks = [_missing(column.missing_share)]
    if not pa.types.is_boolean(kind):
        checks.append(pandera.Check.in_range(*_range(column), name=RANGE))
    if column.unique:
        # pandera's own counts two missing values as equal ones.
        checks.append(pandera.Check(lambda values: ~values.duplicated(keep=False), name=UNIQUE))
    return pandera.Column(pd.ArrowDtype(kind), checks, nullable=True)


def _range(column: Column) -> tuple[float, float]:
    """The lowest and the highest value, at most those that the type can hold; never infinite."""
    if column.row_bytes is not None:
        return column.row_bytes, column.row_bytes
    kind = np.dtype(NUMPY_TYPES[column.tensor.datatype])
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    low, high = column.tensor.minimum, column.tensor.maximum
    return (float(limits.min) if low is None else low), (
        float(limits.max) if high is None else high
    )


def _missing(share: float) -> "pandera.Check":
    """At most this share of the values is missing."""
    from pandera import pandas as pandera

    return pandera.Check(
        lambda values: bool(values.isna().sum() <= share * len(values)),
        name=MISSING,
        ignore_na=False,
    )


def _kind(column: Column) -> pa.DataType:
    """The one type that stands for all widths of a kind."""
    kind = np.dtype(NUMPY_TYPES[column.tensor.datatype]).kind
    if column.row_bytes is not None:
        return _SIZE
    if kind in "iu":
        return pa.int64()
    return pa.bool_() if kind == "b" else pa.float64()


def _comparable(rows: pa.Table, columns: Iterable[Column]) -> pa.Table:
    """Rows in the one type of each kind: sizes for bytes, and nothing where a number is NaN."""
    wanted = {column.name: column for column in columns}
    for place, name in enumerate(rows.column_names):
        values, column = rows.column(place), wanted.get(name)
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
            values = values.cast(pa.float64())
        elif column is not None and column.row_bytes is not None and _is_bytes(values.type):
            values = pc.binary_length(values).cast(_SIZE)
        elif column is not None and pa.types.is_integer(values.type):
            values = values.cast(pa.int64())
        rows = rows.set_column(place, name, values)
    return rows


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _by_column(errors: Iterable[Any], rows: pa.Table) -> dict[str, list[_Broken]]:
    """What pandera found, by column; of one that is of another type, only that."""
    found: dict[str, dict[str, _Broken]] = {}
    for error in errors:
        rule = _rule(error.check)
        name = str(error.failure_cases) if rule == PRESENT else str(error.column_name)
        if rule in found.setdefault(name, {}):
            continue
        if rule == PRESENT:
            found[name][rule] = _Broken(rule, rows.num_rows, ", ".join(rows.column_names))
        elif rule == TYPE:
            found[name][rule] = _Broken(rule, rows.num_rows, str(rows.schema.field(name).type))
        elif rule == MISSING:
            found[name][rule] = _Broken(rule, rows.column(name).null_count, "")
        elif isinstance(error.failure_cases, str):
            # The check itself failed: on values of another type, which is told instead.
            found[name][rule] = _Broken(rule, rows.num_rows, error.failure_cases[:80])
        else:
            cases = error.failure_cases["failure_case"]
            found[name][rule] = _Broken(rule, len(cases), str(cases.iloc[0]))
    return {
        name: [rules[TYPE]] if TYPE in rules else list(rules.values())
        for name, rules in found.items()
    }


def _rule(check: Any) -> str:
    """Our word for a check of pandera's: its own go by text, those we made by the name we gave."""
    if not isinstance(check, str):
        return str(check.name)
    return PRESENT if check == "column_in_dataframe" else TYPE


def _refused(name: str, column: Column | None, broken: _Broken, n: int) -> Finding:
    share = column.missing_share if column is not None else 0.0
    of, unit = f"{broken.rows:,} of {n:,} values", ""
    if column is not None and column.row_bytes is not None:
        unit = " bytes"
    told = {
        PRESENT: f"no such column; there are {broken.found}",
        TYPE: f"expected {column}, found {broken.found}",
        MISSING: f"{of} are missing, at most {share:.1%} may be",
        UNIQUE: f"{of} are there more than once, the first is {broken.found}",
        RANGE: f"{of} are outside {column}, the first is {broken.found}{unit}",
    }[broken.rule]
    return Finding(
        gate=broken.rule,
        metric=name,
        passed=False,
        message=f"{name}: {told}",
        value=broken.rows / n if broken.rule == MISSING else broken.rows,
        bound=share if broken.rule == MISSING else 0,
        n=n,
    )
