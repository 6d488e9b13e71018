"""Typed rows of any origin in the columns that a source declares, and the rows that are not so."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.errors import UnusableSource
from overnight.models.sources.line_blocks import Limited
from overnight.models.sources.streaming import BadLine, Rejected
from overnight.store.errors import BadFile, ConfigurationError

_BATCH_ROWS = 16_384
DIGEST = pa.field("digest", pa.string())
# Types that Arrow knows of a database alone, and what to write in the query instead.
_CASTS = {"numeric": "double precision", "money": "numeric::double precision"}


@dataclass(frozen=True)
class DeclaredRows:
    """The columns of a source, under which names they come, and what makes two rows the same.

    Attributes:
        columns: the columns by name and type; a row without a value in one that is not nullable is
            rejected.
        same_by: the columns whose values identify a row.
        rename: the declared column for a name at the source.
    """

    columns: pa.Schema
    same_by: tuple[str, ...]
    rename: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the declaration names its own columns.

        Raises:
            ConfigurationError: naming the column.
        """
        for what, names in (("same_by", self.same_by), ("rename", tuple(self.rename.values()))):
            if unknown := [name for name in names if name not in self.columns.names]:
                raise ConfigurationError(
                    f"{what} names {', '.join(unknown)}; expected some of the declared columns "
                    f"{', '.join(self.columns.names)}"
                )
        if not self.same_by:
            raise ConfigurationError("same_by is empty; expected columns that identify a row")
        if "digest" in self.columns.names:
            raise ConfigurationError("a column is called digest, which is ours; rename it")

    @property
    def schema(self) -> pa.Schema:
        """The declared columns and `digest`."""
        return self.columns.append(DIGEST)

    @property
    def source_names(self) -> list[str]:
        """The name at the source of each declared column."""
        at_source = {column: name for name, column in self.rename.items()}
        return [at_source.get(name, name) for name in self.columns.names]

    def require(self, what: str, names: Sequence[str]) -> None:
        """Check that the source has each declared column once.

        Raises:
            BadFile: naming the columns that are not there, and those that are.
        """
        missed = [name for name in self.source_names if name not in names]
        if missed:
            near = get_close_matches(missed[0], names, 1)
            hint = f" (is it {near[0]}? `rename` maps names)" if near else ""
            found = (
                f"no {', '.join(missed)}{hint} among {', '.join(list(names)[:30]) or 'no column'}"
            )
            raise BadFile(what, expected=_listed(self.source_names), found=found)
        for name in self.source_names:
            if (n := list(names).count(name)) > 1:
                found = f"{name} {'twice' if n == 2 else f'{n} times'}"
                raise BadFile(what, expected=_listed(self.source_names), found=found)

    def require_types(self, what: str, schema: pa.Schema) -> None:
        """Check that each declared column comes in a type that can be cast.

        Raises:
            BadFile: naming the column, both types, and how to cast.
        """
        for name, column in zip(self.source_names, self.columns, strict=True):
            kind = schema.field(name).type
            if isinstance(kind, pa.OpaqueType):
                cast = _CASTS.get(kind.type_name, "text")
                raise BadFile(
                    what,
                    expected=f"{column.name} as {column.type}",
                    found=f"{kind.type_name}, which has no exact counterpart; cast it in the "
                    f"query: CAST({name} AS {cast}) AS {name}",
                )
            try:
                pa.nulls(0, _plain(kind)).cast(column.type)
            except pa.ArrowException:
                expected = f"{column.name} as {column.type}"
                raise BadFile(what, expected=expected, found=f"{kind}; cast it there") from None

    def rows(
        self, what: str, batches: Iterable[pa.RecordBatch], rejected: Rejected
    ) -> Iterator[pa.RecordBatch]:
        """The rows in the declared columns with their digests; invalid ones are rejected.

        Raises:
            BadFile: a column is missing or of another type; no row, or too many rows, will do.
        """
        limited, number, n, checked = Limited(what, rejected), 1, 0, False
        for batch in batches:
            if not checked:
                self.require(what, batch.schema.names)
                self.require_types(what, batch.schema)
                checked = True
            chosen = batch.select(self.source_names)
            # A database sends some hundred thousand rows at once, and digests need Python's values.
            for start in range(0, chosen.num_rows, _BATCH_ROWS):
                part = chosen.slice(start, _BATCH_ROWS)
                for valid in self._valid(part, number + start, limited):
                    n += valid.num_rows
                    yield self.with_digests(valid)
            number += batch.num_rows
        if not n and limited.first is not None:
            raise BadFile(what, expected="at least one row as declared", found=f"{limited.first}")

    def with_digests(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Rows in the declared columns with the digest of the values that identify each."""
        values = zip(*(rows.column(name).to_pylist() for name in self.same_by), strict=True)
        digests = [hashlib.sha256(repr(row).encode()).hexdigest() for row in values]
        columns = [*rows.columns, pa.array(digests, pa.string())]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _valid(
        self, rows: pa.RecordBatch, number: int, rejected: Rejected
    ) -> Iterator[pa.RecordBatch]:
        """The valid rows, by bisection: an invalid one costs little more than its batch."""
        if not rows.num_rows:
            return
        try:
            yield from self.cast(rows).combine_chunks().to_batches()
        except pa.ArrowInvalid as error:
            if rows.num_rows == 1:
                text = json.dumps(rows.to_pylist()[0], default=str, ensure_ascii=False)
                rejected(BadLine(number, f"{error}"[:200], text.encode()))
                return
            half = rows.num_rows // 2
            yield from self._valid(rows.slice(0, half), number, rejected)
            yield from self._valid(rows.slice(half), number + half, rejected)

    def cast(self, rows: pa.Table | pa.RecordBatch) -> pa.Table:
        """Rows under the names of the source as the declared columns.

        Raises:
            pa.ArrowInvalid: naming the column and what is wrong in it.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
        columns = []
        for name, column in zip(self.source_names, self.columns, strict=True):
            try:
                columns.append(_castable(table.column(name), column.type).cast(column.type))
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(f"{column.name}: {error}") from None
        cast = pa.Table.from_arrays(columns, names=self.columns.names)
        if problem := missing(cast, self.columns):
            raise pa.ArrowInvalid(problem)
        return pa.Table.from_arrays(columns, schema=self.columns)


def _castable(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_decimal(values.type) and pa.types.is_floating(kind):
        # Arrow's own cast to 32 bits is not the nearest number: 1.5 becomes 1.5000001.
        return values.cast(pa.float64())
    if not isinstance(values.type, pa.BaseExtensionType):
        return values
    return pa.chunked_array([chunk.storage for chunk in values.chunks], values.type.storage_type)


@contextmanager
def as_declared() -> Iterator[None]:
    """Raise BadFile as UnusableSource, where the rows are of no file that could be skipped."""
    try:
        yield
    except BadFile as error:
        raise UnusableSource(
            error.file,
            expected=error.expected,
            found=error.found,
            remedy="correct the source, or the columns that the model declares",
        ) from None


def missing(rows: pa.Table, columns: pa.Schema) -> str:
    """The first column that may miss no value and does."""
    for each in columns:
        values = rows.column(each.name)
        if each.nullable:
            continue
        if values.null_count:
            return f"{each.name}: no value"
        if pa.types.is_floating(each.type) and pc.any(pc.is_nan(values)).as_py():
            return f"{each.name}: not a number"
    return ""


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _listed(columns: Sequence[str]) -> str:
    return f"the columns {', '.join(columns)}"
