"""Categories that are new: named with arrival and column when they come, and never in the way.

A column of text is compared with the vocabulary of the tensor of its name, whether that is an
input or declared by the data gates alone. A vocabulary that is learned has the new category from
the next version on, and one with an entry for others (`otherwise`) counts it as that. Of any other
vocabulary, rows with the new category are set aside: they are in no snapshot until it has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.store.datasets.delta_table import Dataset
from overnight.store.registry.manifest import Finding
from overnight.store.schema import Schema

GATE = "known categories"
# The known values of each categorical column.
Categories = Mapping[str, tuple[str, ...]]
# Pairs of a column and a value of it.
Values = tuple[tuple[str, str], ...]
# More in one arrival mean that the column holds something else.
MOST_UNKNOWN = 100
_NAMED = 3


def categories(definition: ModelDefinition) -> Categories:
    """The vocabularies that rows must keep to: neither learned nor with an entry for others."""
    declared = (column.tensor for column in definition.data_gates.columns)
    return {
        spec.name: spec.vocabulary
        for spec in (*declared, *definition.tensors.inputs)
        if spec.vocabulary and not spec.otherwise and spec.name not in definition.learned
    }


def open_categories(definition: ModelDefinition, champion: Schema | None = None) -> Categories:
    """The vocabularies that take new categories: learned by the champion, or with `otherwise`."""
    learned = {} if champion is None else {spec.name: spec for spec in champion.inputs}
    specs = [
        learned.get(spec.name, spec) if spec.name in definition.learned else spec
        for spec in definition.tensors.inputs
    ]
    closed = categories(definition)
    return {
        spec.name: spec.vocabulary for spec in specs if spec.vocabulary and spec.name not in closed
    }


def unknown_values(rows: pa.Table, known: Categories) -> Values:
    """The values of text columns that are in no vocabulary, sorted."""
    return tuple(
        (name, value)
        for name in sorted(known)
        if is_text(rows, name)
        for value in sorted(pc.unique(pc.drop_null(rows.column(name))).to_pylist())
        if value not in known[name]
    )


def without_values(rows: pa.Table, values: Values) -> pa.Table:
    """The rows that have none of some values."""
    for name in sorted({name for name, _ in values}):
        has_value = _has_value(rows, name, [value for each, value in values if each == name])
        rows = rows.filter(pc.invert(has_value))
    return rows


def is_text(rows: pa.Table, name: str) -> bool:
    """Whether rows have a column of text of this name."""
    if name not in rows.column_names:
        return False
    kind = rows.schema.field(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


@dataclass
class UnknownCategories:
    """Collects unknown values of an arrival, batch by batch, with their first row and count."""

    known: Categories
    _rows: int = 0
    _first: dict[tuple[str, str], int] = field(default_factory=dict)
    _count: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Add the next rows."""
        for name, value in unknown_values(rows, self.known):
            # A column may have as many new values as rows, and each is looked for in all of them.
            if self.too_many:
                break
            has_value = _has_value(rows, name, [value])
            first = self._rows + pc.index(has_value, True).as_py()
            self._first.setdefault((name, value), first)
            count = pc.sum(has_value).as_py()
            self._count[name, value] = self._count.get((name, value), 0) + count
        self._rows += rows.num_rows

    @property
    def too_many(self) -> bool:
        """Whether they are so many that the rows are broken, and not new."""
        return len(self._first) > MOST_UNKNOWN

    def notices(self, arrival: str, *, file: str, so: str) -> tuple[str, ...]:
        """What is new in each column, and what follows from it."""
        return tuple(
            f"{arrival}: {name}: {self._examples(name, file)} new: {so}"
            for name in sorted({name for name, _ in self._first})
        )

    def findings(self, arrival: str, *, file: str) -> tuple[Finding, ...]:
        """A failed finding for each column with unknown values."""
        return tuple(
            Finding(
                gate=GATE,
                metric=name,
                slice=arrival,
                passed=False,
                message=f"{name}: {self._examples(name, file)} not in its vocabulary "
                f"({', '.join(self.known[name])})",
                value=sum(count for (each, _), count in self._count.items() if each == name),
                bound=0,
                direction="at most",
                n=self._rows,
            )
            for name in sorted({name for name, _ in self._first})
        )

    def _examples(self, name: str, file: str) -> str:
        values = [value for each, value in self._first if each == name]
        named = ", ".join(
            f"{value!r} ({self._count[name, value]:,} rows, the first is row "
            f"{self._first[name, value] + 1:,} of {file})"
            for value in values[:_NAMED]
        )
        more = f" and {len(values) - _NAMED:,} more" if len(values) > _NAMED else ""
        return f"{named}{more} {'is' if len(values) == 1 else 'are'}"


def left_out_findings(rows: Dataset, version: int, values: Values) -> tuple[Finding, ...]:
    """A finding for each column on the rows that a snapshot leaves out, with their arrivals."""
    findings = []
    for name in sorted({name for name, _ in values}):
        unknown = [value for each, value in values if each == name]
        table = rows.read(version, [name, "arrival"])
        table = table.filter(_has_value(table, name, unknown))
        arrivals = sorted(table.column("arrival").unique().to_pylist())
        message = (
            f"{name}: {table.num_rows:,} rows are left out, because {', '.join(unknown[:_NAMED])} "
            f"{'is' if len(unknown) == 1 else 'are'} not in its vocabulary; they came with "
            f"{', '.join(arrivals[:_NAMED])}"
        )
        findings.append(
            Finding(
                gate=GATE,
                metric=name,
                passed=True,
                applicable=False,
                message=message,
                value=table.num_rows,
            )
        )
    return tuple(findings)


def _has_value(rows: pa.Table, name: str, values: list[str]) -> pa.ChunkedArray:
    column = rows.column(name)
    return pc.is_in(column, pa.array(values, column.type))
