"""How the columns of an arrival fit into a table that has others, or other types.

A table only grows: new columns are added, types widen, and no column is ever removed. Rows without
a column have no value in it, whether they came before it did or after it had gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from deltalake import Schema

from overnight.store.errors import IncompatibleColumns


@dataclass(frozen=True)
class Fit:
    """How a table has to change for an arrival, and how the arrival's batches have to.

    `added` are columns that the table lacks, `widened` those of it that need a wider type, with
    that type. `schema` has all columns afterwards, as `cast` returns them.
    """

    added: tuple[pa.Field, ...]
    widened: Mapping[str, pa.DataType]
    schema: pa.Schema

    @property
    def changes_table(self) -> bool:
        """Whether the table needs another schema before the rows are appended."""
        return bool(self.added or self.widened)

    def cast(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Rows in the columns and types of the table; columns that they lack are null.

        Raises:
            IncompatibleColumns: a value has no equal in the type of its column.
        """
        if rows.schema.equals(self.schema):
            return rows
        columns = [_cast(rows, field) for field in self.schema]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def fit(table: pa.Schema, arrival: pa.Schema) -> Fit:
    """How the columns of an arrival fit into those of a table.

    Raises:
        IncompatibleColumns: no type holds the values of both, or two names differ by case alone.
    """
    known = {field.name: field.type for field in table}
    added, widened, fields = [], {}, []
    for name, kind in known.items():
        if name not in arrival.names or pa.types.is_null(arrival.field(name).type):
            fields.append(pa.field(name, kind))
            continue
        own = arrival.field(name).type
        wider = _wider(kind, _stored(own))
        if wider is None:
            raise IncompatibleColumns(name, table=str(kind), arrival=str(own))
        if wider != kind:
            widened[name] = wider
        # Of one stored type there may be several in memory, such as bytes of a fixed length.
        fields.append(pa.field(name, own if _stored(own) == wider else wider))
    for field in arrival:
        # A column without a single value has no type, and reads as null in any case.
        if field.name in known or pa.types.is_null(field.type):
            continue
        _check_case(field.name, known)
        added.append(pa.field(field.name, _stored(field.type)))
        fields.append(pa.field(field.name, field.type))
    return Fit(tuple(added), widened, pa.schema(fields))


def storable(schema: pa.Schema) -> pa.Schema:
    """The schema of a new table: every column may be absent from later rows."""
    return pa.schema(
        [
            pa.field(field.name, field.type, nullable=True)
            for field in schema
            if not pa.types.is_null(field.type)
        ]
    )


def cast_columns(rows: pa.RecordBatch, kinds: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """Rows with some of their columns in other types.

    Raises:
        IncompatibleColumns: a value has no equal there.
    """
    fields = [pa.field(field.name, kinds.get(field.name, field.type)) for field in rows.schema]
    columns = [_cast(rows, field) for field in fields]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _cast(rows: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in rows.schema.names:
        return pa.nulls(rows.num_rows, field.type)
    values = rows.column(field.name)
    try:
        return values if values.type == field.type else values.cast(field.type)
    except pa.ArrowInvalid as error:
        raise IncompatibleColumns(
            field.name, table=str(field.type), arrival=f"{values.type}: {error}"
        ) from None


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type in which a table stores this one."""
    return pa.schema(Schema.from_arrow(pa.schema([("column", kind)])).to_arrow()).field(0).type


def _wider(table: pa.DataType, arrival: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds the values of both; None where there is none.

    Whole numbers become floating-point ones of 64 bits, except those of at most 16 bits: each
    value that has no equal there is refused when it is cast.
    """
    if table == arrival:
        return table
    if pa.types.is_list(table) and pa.types.is_list(arrival):
        inner = _wider(table.value_type, arrival.value_type)
        return None if inner is None else pa.list_(inner)
    if not all(map(_is_number, (table, arrival))):
        return None
    if pa.types.is_floating(table) == pa.types.is_floating(arrival):
        return max(table, arrival, key=lambda kind: kind.bit_width)
    floating, whole = (table, arrival) if pa.types.is_floating(table) else (arrival, table)
    return floating if whole.bit_width <= 16 else pa.float64()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _check_case(name: str, known: Mapping[str, pa.DataType]) -> None:
    """Refuse a name that a table, which ignores case, would take for another."""
    for other in known:
        if other.lower() == name.lower():
            raise IncompatibleColumns(name, table=f"the column {other}", arrival="another case")
