"""Sales for tests: genuine baskets of a few stores, in the files in which they arrive."""

from collections.abc import Collection
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overnight.models.sales import arrival_schedule
from overnight.models.sales.files import read_files
from overnight.models.sales.moments import trading_day
from overnight.models.sales.source import package_folder, read_lines

STORES = (367, 406, 356, 292, 381, 361)


@cache
def year() -> pa.Table:
    """Every line of the package's year."""
    return read_lines(package_folder())


@cache
def lines(stores: Collection[int] = STORES) -> pa.Table:
    """The year's lines of some stores."""
    wanted = pa.array(sorted(stores), pa.int64())
    return year().filter(pc.is_in(year()["store_id"], wanted)).combine_chunks()


def day(text: str) -> int:
    """A day as rows tell it."""
    return int(np.datetime64(text, "D").astype(int))


def sold(first: str, last: str, *, stores: Collection[int] = STORES) -> pa.Table:
    """The lines of some trading days, both ends included, whenever they arrive."""
    reported = lines(stores)
    days = trading_day(reported["transaction_timestamp"].to_numpy())
    return reported.filter(pa.array((days >= day(first)) & (days <= day(last))))


def arriving(first: str, last: str, *, stores: Collection[int] = STORES) -> pa.Table:
    """The lines that arrive on some nights of the replay, late baskets among them."""
    reported = lines(stores)
    days = trading_day(reported["transaction_timestamp"].to_numpy())
    nights = arrival_schedule.arrival_days(reported["basket_id"].to_numpy(), days)
    return reported.filter(pa.array((nights >= day(first)) & (nights <= day(last))))


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def rows(table: pa.Table) -> pa.Table:
    """Lines as the rows that the dataset keeps."""
    reading = read_files({"baskets.parquet": parquet(table)})
    assert not reading.rejected, reading.rejected
    return reading.rows
