"""`Sql`: the rows of a query, each arrival up to a watermark that rises."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta

import pyarrow as pa

from overnight.models.definition import Delivery, Places, Reading, StreamedDelivery
from overnight.models.errors import SourceUnavailable
from overnight.models.sources import databases
from overnight.models.sources.access import setting
from overnight.models.sources.declared_rows import DeclaredRows, as_declared
from overnight.models.sources.holdout_share import HoldoutShare
from overnight.models.sources.row_formats import FileRows, Format
from overnight.models.sources.streaming import BadLine, Rejected, ignore_rejected
from overnight.models.sources.uploaded_files import read_uploaded
from overnight.models.sources.watermark import Overlap, Watermark, highest
from overnight.store.errors import BadFile, ConfigurationError

_COLUMN = re.compile(r'[A-Za-z_][A-Za-z0-9_]*|"[^"]+"|`[^`]+`')


class Sql:
    """The query of a model, in the database of the setting `sources`, or `at`.

    An arrival has the rows whose watermark is above that of the arrivals before, and at most the
    highest there is; it is named by that. No new row, no arrival.
    """

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        query: str,
        watermark: str,
        columns: pa.Schema,
        same_by: Sequence[str],
        holdout: str | HoldoutShare | None,
        overlap: Overlap | None = None,
        rename: Mapping[str, str] | None = None,
        format: Format | None = None,
        at: str = "",
    ) -> None:
        """Declare a query.

        `watermark` is a column of the query that only rises for new rows: a time of change, a
        serial number. Rows that are committed later than their watermark says are read if they are
        not below the last one by more than `overlap`; rows that come again are dropped by their
        digests. `holdout` is a query of the rows that judge every version, a share of the first
        arrival, or None where it moves with the snapshot. `format` is that of files which are
        ingested by hand.

        Raises:
            ConfigurationError: a part of the declaration cannot be followed.
        """
        if not _COLUMN.fullmatch(watermark):
            raise ConfigurationError(
                f"{model}: expected the name of a column as watermark, found {watermark!r}"
            )
        if (overlap if isinstance(overlap, int) else (overlap or timedelta()).days) < 0:
            raise ConfigurationError(f"{model}: expected no negative overlap, found {overlap!r}")
        self._access, self._model = places.access, model
        self._url = places.access.url or at
        self._query, self._watermark, self._overlap = _bare(query), watermark, overlap
        self._holdout = _bare(holdout) if isinstance(holdout, str) else holdout
        self._declared = DeclaredRows(columns, tuple(same_by), rename or {})
        self._files = FileRows(self._declared, format)

    def deliver(self, delivered: Collection[str]) -> Delivery | StreamedDelivery | None:
        """The rows above the watermark of what was delivered; None when there are none.

        Raises:
            SourceUnavailable, UnusableSource: as `databases.reading` does.
        """
        with databases.reading(self._address, self._access, model=self._model) as cursor:
            # The query is the model's own code, and what is added was checked.
            cursor.execute(f"SELECT max({self._watermark}) AS watermark FROM {self._source}")  # noqa: S608
            (value,) = cursor.fetch_arrow_table().column(0)
        with as_declared():
            now = Watermark.of(value, what=self._what)
        if now is None:
            return None
        before = highest(
            [mark for name in delivered if (mark := Watermark.of_arrival(name))], now.kind
        )
        if before is not None and not now.is_after(before):
            return None
        lower = before.minus(self._overlap) if before and self._overlap else before
        return StreamedDelivery(
            now.arrival,
            what=f"the query of {self._model}",
            batches=lambda rejected: self._rows(self._between(lower, now), rejected),
        )

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The rows of files that were ingested by hand."""
        return read_uploaded(self._files, files)

    def holdout(self) -> pa.Table:
        """The rows of the holdout's query, or the share of the first arrival.

        Raises:
            SourceUnavailable, UnusableSource: as `deliver`; a row is not as declared, or there is
                no row yet.
        """
        schema = self._declared.schema
        if self._holdout is None:
            return schema.empty_table()
        if isinstance(self._holdout, str):
            return pa.Table.from_batches(self._rows(self._holdout, _refuse), schema)
        first = self.deliver(())
        if not isinstance(first, StreamedDelivery):
            raise SourceUnavailable(
                f"{self._model}'s holdout",
                ["the query, which has no row yet"],
                "run again when there are rows: a share of them is the holdout",
            )
        return self._holdout.of(first.batches(ignore_rejected), schema)

    def _rows(self, statement: str, rejected: Rejected) -> Iterator[pa.RecordBatch]:
        with (
            as_declared(),
            databases.reading(self._address, self._access, model=self._model) as cursor,
        ):
            cursor.execute(statement)
            reader = cursor.fetch_record_batch()
            self._declared.require(self._what, self._named(reader.schema.names))
            yield from self._declared.rows(self._what, map(self._renamed, reader), rejected)

    def _renamed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.rename_columns(self._named(batch.schema.names))

    def _named(self, names: Sequence[str]) -> list[str]:
        """Names as declared: some databases change the case of those that are not quoted."""
        declared = {name.lower(): name for name in self._declared.source_names}
        return [
            name if name in declared.values() else declared.get(name.lower(), name)
            for name in names
        ]

    @property
    def _source(self) -> str:
        # On lines of its own: the query may end in a comment.
        return f"(\n{self._query}\n) AS declared_rows"

    def _between(self, lower: Watermark | None, upper: Watermark) -> str:
        column = self._watermark
        above = f"{column} > {lower.literal} AND " if lower else ""
        where = f"{above}{column} <= {upper.literal}"
        return f"SELECT * FROM {self._source} WHERE {where} ORDER BY {column}"  # noqa: S608

    @property
    def _address(self) -> str:
        if not self._url:
            raise ConfigurationError(
                f"{self._model}'s rows: {setting(self._model, 'url')} is not set; expected an "
                "address such as postgresql://host/database"
            )
        return self._url

    @property
    def _what(self) -> str:
        return f"the query of {self._model}"


def _refuse(line: BadLine) -> None:
    # Frozen as it is for ever, so that nothing may be left out of it.
    raise BadFile("the holdout's query", expected="every row as declared", found=str(line))


def _bare(query: str) -> str:
    return query.strip().rstrip(";").rstrip()
