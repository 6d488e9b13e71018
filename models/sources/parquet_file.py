"""Parquet files of strangers: what their metadata claim is compared with limits before any is read.

A few bytes of Parquet can stand for any number of equal rows, and a few more for values of any
length, so rows are read in batches, and texts as a dictionary until their lengths are known.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overnight.store.errors import BadFile

_BATCH_ROWS = 65_536


class ParquetReader:
    """One file, in memory or open, of at most `most_rows` rows that take `most_bytes` of memory.

    A text or other value of variable length may have `value_bytes`.
    """

    def __init__(
        self,
        file: str,
        body: "bytes | pa.NativeFile",
        *,
        most_rows: int,
        most_bytes: int,
        value_bytes: int = 1_000,
    ) -> None:
        """Open a file.

        Raises:
            BadFile: it is no Parquet, or has more rows.
        """
        self._file, self._body = file, body
        self._most_bytes, self._value_bytes = most_bytes, value_bytes
        try:
            self._metadata = pq.read_metadata(self._opened())
            self.schema: pa.Schema = self._metadata.schema.to_arrow_schema()
        except (pa.ArrowException, OSError) as error:
            raise BadFile(file, expected="a Parquet file", found=f"{error}"[:200]) from None
        if (rows := self._metadata.num_rows) > most_rows:
            raise BadFile(file, expected=f"at most {most_rows:,} rows", found=f"{rows:,}")

    def batches(
        self, columns: Sequence[str], *, values_per_row: int = 1, rows: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows in these columns, with at most `values_per_row` values each, some at a time.

        Raises:
            BadFile: a column is there twice, has more values or longer texts, or is damaged, or
                the rows are larger than declared.
        """
        for name in columns:
            if (n := self.schema.names.count(name)) != 1:
                where = {0: "is not there", 2: "is there twice"}.get(n, f"is there {n} times")
                raise BadFile(self._file, expected=f"one column {name}", found=f"{name} {where}")
        self._check_counts(columns, values_per_row)
        texts = self._texts(columns)
        try:
            with pq.ParquetFile(
                self._opened(), metadata=self._metadata, read_dictionary=texts
            ) as parquet:
                size_bytes = 0
                for batch in parquet.iter_batches(rows, columns=list(columns), use_threads=False):
                    plain = self._plain(batch.select(list(columns)))
                    size_bytes += plain.nbytes
                    if size_bytes > self._most_bytes:
                        expected = f"at most {self._most_bytes:,} bytes when unpacked"
                        raise BadFile(self._file, expected=expected, found="more")
                    yield plain
        except (pa.ArrowException, OSError) as error:
            expected = "a whole Parquet file"
            raise BadFile(self._file, expected=expected, found=f"{error}"[:200]) from None

    def _opened(self) -> pa.NativeFile:
        return pa.BufferReader(self._body) if isinstance(self._body, bytes) else self._body

    def _check_counts(self, columns: Sequence[str], values_per_row: int) -> None:
        for group in map(self._metadata.row_group, range(self._metadata.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                top = chunk.path_in_schema.split(".")[0]
                if top in columns and chunk.num_values > group.num_rows * values_per_row:
                    expected = f"at most {values_per_row} values of {top} in a row"
                    counts = f"{chunk.num_values:,} in {group.num_rows:,} rows"
                    raise BadFile(self._file, expected=expected, found=counts)

    def _texts(self, columns: Sequence[str]) -> list[str]:
        """The paths of the values of variable length in these columns."""
        leaves = map(self._metadata.schema.column, range(self._metadata.num_columns))
        return [
            leaf.path
            for leaf in leaves
            if leaf.physical_type == "BYTE_ARRAY" and leaf.path.split(".")[0] in columns
        ]

    def _plain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch without dictionaries, unless a value of one is too long."""
        for place, name in enumerate(batch.schema.names):
            values = batch.column(place)
            for part in _dictionaries(values):
                longest = _longest(part.dictionary)
                if longest > self._value_bytes:
                    expected = f"values of {name} of at most {self._value_bytes:,} bytes"
                    raise BadFile(self._file, expected=expected, found=f"{longest:,}")
            if (plain := _plain_type(values.type)) != values.type:
                batch = batch.set_column(place, name, values.cast(plain))
        return batch


def _dictionaries(values: pa.Array) -> Iterator[pa.DictionaryArray]:
    """The dictionaries in an array, at any depth."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        yield values
    elif pa.types.is_struct(kind):
        for part in values.flatten():
            yield from _dictionaries(part)
    elif pa.types.is_map(kind):
        yield from _dictionaries(values.keys)
        yield from _dictionaries(values.items)
    elif _is_list(kind):
        yield from _dictionaries(values.values)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the same values without dictionaries."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if not _is_list(kind):
        return kind
    value = _plain_type(kind.value_type)
    if pa.types.is_large_list(kind):
        return pa.large_list(value)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else -1
    return kind if value == kind.value_type else pa.list_(value, size)


def _is_list(kind: pa.DataType) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in checks)


def _longest(values: pa.Array) -> int:
    """The length in bytes of the longest value; 0 where all have one length."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return pc.max(pc.binary_length(values)).as_py() or 0
    return 0
