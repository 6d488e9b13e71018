"""Which column of a table holds a tensor, when its type has changed since the table began.

A column takes values of wider types, and the table is rewritten. Values of another family (texts
where numbers were, lists where single values were) get a column of their own, which is named after
the family: `input.town` and `input.town@text`. Nothing recorded is ever converted or lost.
"""

import itertools
from collections.abc import Iterator

import pyarrow as pa


def family(kind: pa.DataType) -> str:
    """The kind of values, whatever their width: `number`, `whole`, `flag`, `text`, `…-list`.

    Whole numbers of 64 bits have no equal among floating-point ones, so they are a family of their
    own; narrower ones are numbers.
    """
    if pa.types.is_list(kind):
        return f"{family(kind.value_type)}-list"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_integer(kind) and kind.bit_width == 64:
        return "whole"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "text"


def placed(table: pa.Schema, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows whose columns have the names under which this table can hold them."""
    known: dict[str, pa.Field] = {field.name.lower(): field for field in table}
    names = []
    for field in rows.schema:
        names.append(_place(known, field))
        known.setdefault(names[-1].lower(), field.with_name(names[-1]))
    return rows.rename_columns(names)


def columns_of(table: pa.Schema, name: str) -> list[str]:
    """The columns that hold values of a tensor, such as `input.town`, the oldest first."""
    return [each for each in table.names if each == name or each.startswith(f"{name}@")]


def _place(known: dict[str, pa.Field], field: pa.Field) -> str:
    if pa.types.is_null(field.type):
        return str(field.name)
    for name in _candidates(field):
        other = known.get(name.lower())
        if other is None or (other.name == name and _takes(other.type, field.type)):
            return name
    raise AssertionError("candidates never end")


def _candidates(field: pa.Field) -> Iterator[str]:
    yield field.name
    named = f"{field.name}@{family(field.type)}"
    yield named
    # Two tensors whose names differ by case alone; engines ignore it.
    for number in itertools.count(2):
        yield f"{named}-{number}"


def _takes(column: pa.DataType, kind: pa.DataType) -> bool:
    """Whether every value of a type can be stored in a column, which may be widened for it."""
    of_column, of_kind = family(column), family(kind)
    if of_column == of_kind:
        return True
    # Among whole numbers the narrower fits the wider, in either order.
    mixed = {of_column.removesuffix("-list"), of_kind.removesuffix("-list")} == {"number", "whole"}
    same_depth = of_column.endswith("-list") == of_kind.endswith("-list")
    return mixed and same_depth and _is_whole(column) and _is_whole(kind)


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind.value_type if pa.types.is_list(kind) else kind))
