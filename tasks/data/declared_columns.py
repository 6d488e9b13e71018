"""The columns of rows that a model declares now, and those of a table that it reads.

Columns come and go under one name. One that is declared is appended when it first arrives, and
earlier rows are read with its default. One that is no longer declared stays in the table. Of the
columns that a model never declared, those without a gap are read: the first rows that lack one show
that it has gone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.columns import Column
from overnight.models.definition import ModelDefinition, RowValue
from overnight.models.moving_holdout import DAY
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import ConfigurationError
from overnight.store.schema import NUMPY_TYPES
from overnight.store.values import Value
from overnight.tasks.data.column_checks import before_column
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS

# What every source gives, and what ingest adds.
_OWN = frozenset({"digest", DAY, *ARRIVAL_COLUMNS})


class ExpectedColumns(Value):
    """The columns that ingest takes from an arrival: all where `chosen` is None.

    Those that are `not_yet` delivered by any arrival may be absent.
    """

    chosen: frozenset[str] | None = None
    not_yet: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DeclaredColumns:
    """The names that a model declares, defaults of earlier rows, and types where gaps may be."""

    names: frozenset[str] = _OWN
    defaults: Mapping[str, RowValue] = field(default_factory=dict)
    gaps: Mapping[str, pa.DataType] = field(default_factory=dict)

    @classmethod
    def of(cls, definition: ModelDefinition) -> Self:
        """Those of a definition: its data gates, its inputs, and their defaults.

        What a request without an input is answered with, earlier rows without it are read with,
        unless `row_defaults` say otherwise.
        """
        gates, inputs = definition.data_gates, definition.tensors.inputs
        single = {spec.name: spec.default for spec in inputs if not spec.shape}
        of_inputs = {
            name: value for name, value in single.items() if isinstance(value, str | int | float)
        }
        return cls(
            names=_OWN
            | {column.name for column in gates.columns}
            | {spec.name for spec in inputs}
            | {*definition.row_defaults, gates.fresh_by},
            defaults={**of_inputs, **definition.row_defaults},
            gaps={column.name: _type(column) for column in gates.columns if column.missing_share},
        )

    def expected(self, rows: Dataset) -> ExpectedColumns:
        """What ingest takes from the next arrival of a table."""
        may_be_absent = frozenset({*self.defaults, *self.gaps})
        if rows.version() is None:
            return ExpectedColumns(not_yet=may_be_absent)
        known = frozenset(rows.schema().names)
        return ExpectedColumns(
            chosen=(known - self.unread(rows)) | self.names, not_yet=may_be_absent - known
        )

    def unread(self, rows: Dataset, version: int | None = None) -> frozenset[str]:
        """The columns of a table that are not declared, and that some rows lack."""
        undeclared = set(rows.schema(version).names) - self.names
        return frozenset(rows.columns_with_gaps(undeclared, version) if undeclared else ())

    def filled(self, rows: pa.Table) -> pa.Table:
        """Rows with every declared column that may be absent from earlier ones.

        A column is filled in the arrivals that have no value of it at all: these came before it
        did. Other gaps stay.

        Raises:
            ConfigurationError: a default does not fit into its column.
        """
        for name, kind in self.gaps.items():
            if name not in rows.column_names and name not in self.defaults:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
        for name, value in self.defaults.items():
            rows = _with_default(rows, name, value)
        return rows


def _with_default(rows: pa.Table, name: str, value: RowValue) -> pa.Table:
    if name not in rows.column_names:
        return rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
    earlier = before_column(rows, name)
    if not earlier.any():
        return rows
    column = rows.column(name)
    try:
        default = pa.scalar(value).cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigurationError(
            f"row_defaults[{name!r}]: expected a value of the column, which is {column.type}, "
            f"found {value!r} ({error}); correct the model's row_defaults"
        ) from None
    filled = pc.if_else(pa.array(earlier), default, column)
    return rows.set_column(rows.column_names.index(name), name, filled)


def _type(column: Column) -> pa.DataType:
    """The type of a declared column of which no row has a value yet."""
    spec = column.tensor
    if column.holds_names or spec.datatype == "BYTES":
        return pa.string()
    number = pa.from_numpy_dtype(np.dtype(NUMPY_TYPES[spec.datatype]))
    if spec.lengths:
        return pa.list_(number)
    return pa.binary() if spec.shape else number


def left_out(arrival: pa.Schema, chosen: Collection[str] | None) -> tuple[str, ...]:
    """The columns of an arrival that are not chosen, sorted."""
    return () if chosen is None else tuple(sorted(set(arrival.names) - set(chosen)))


def column_notices(
    arrival: str,
    names: Collection[str],
    *,
    left_out: Collection[str],
    known: Collection[str],
    declared: DeclaredColumns,
) -> tuple[str, ...]:
    """What a person should know about the columns of an arrival, compared with the table's.

    `names` are the columns that were chosen, `known` those of the table before.
    """
    notices = []
    if new := sorted(set(left_out) - set(known)):
        notices.append(
            f"{arrival}: left out {_listed(new)}, which the model does not declare; declared in "
            "its data gates or `row_defaults`, it is learned from the next arrival on"
        )
    if gone := sorted(set(known) - set(names) - set(left_out) - declared.names):
        notices.append(
            f"{arrival} has no {_listed(gone)}, which earlier arrivals have and the model does not "
            "declare: it is not read from now on"
        )
    if not_yet := sorted({*declared.defaults, *declared.gaps} - set(names)):
        read_as = ", ".join(
            f"{name} as {declared.defaults[name]!r}"
            if name in declared.defaults
            else f"{name} as missing"
            for name in not_yet
        )
        notices.append(f"{arrival} has no {_listed(not_yet)} yet: it reads {read_as}")
    return tuple(notices)


def _listed(names: Collection[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {', '.join(names)}"
