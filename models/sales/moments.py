"""The trading day of a line, from the moment or the date on which its basket was paid."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# A trading day runs from 09:00 UTC to 09:00 UTC, all year: four or five in the morning in Ohio, the
# hours with the fewest baskets. Midnight UTC would split every evening over two days.
DAY_BEGINS_HOUR = 9
_DATE = r"^\s*\d{4}-\d{2}-\d{2}\s*$"
_ZONE = r":\d{2}(\.\d+)?\s*(Z|[+-]\d{2}(:?\d{2})?)\s*$"
_MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?(Z|[+-]\d{2}(:?\d{2})?)?\s*$"
_NAIVE, _ZONED = pa.timestamp("ns"), pa.timestamp("ns", "UTC")


def trading_day(moments: NDArray[np.datetime64]) -> NDArray[np.int32]:
    """The trading day of each moment, in days since 1970-01-01."""
    begun = moments.astype("datetime64[s]") - np.timedelta64(DAY_BEGINS_HOUR, "h")
    days: NDArray[np.int32] = begun.astype("datetime64[D]").astype(np.int32)
    return days


def trading_days(column: pa.ChunkedArray) -> NDArray[np.int32]:
    """The trading day of each value, in days since 1970-01-01; none may be missing.

    A date is a trading day; it is not midnight, which belongs to the trading day before. A moment
    without a time zone is in UTC.

    Raises:
        ArrowInvalid: a value is neither a date nor a moment.
    """
    moments, dates = _moments(column), _dates(column)
    days = trading_day(moments)
    days[dates] = moments[dates].astype("datetime64[D]").astype(np.int32)
    return days


def are_midnights(column: pa.ChunkedArray) -> bool:
    """Whether all values are moments at midnight, of UTC or of their time zone.

    That is what becomes of dates which are stored as times: no shop sells at that moment only.
    """
    if pa.types.is_timestamp(column.type):
        local = column if column.type.tz is None else pc.local_timestamp(column)
        moments = _moments(local)
        return bool((moments == moments.astype("datetime64[D]")).all())
    if not pa.types.is_string(column.type):
        return False
    return bool(pc.all(pc.match_substring_regex(column, _MIDNIGHT)).as_py())


def _moments(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """Values as moments in UTC; a date as its midnight."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(column.cast(pa.string()))
    elif not pa.types.is_timestamp(column.type) and not pa.types.is_date(column.type):
        raise pa.ArrowInvalid(f"expected dates or moments, and not the type {column.type}")
    # Days far away do not fit into nanoseconds.
    unit = pa.timestamp("s" if pa.types.is_date(column.type) else "us")
    return np.asarray(column.cast(unit, safe=False).to_numpy())


def _dates(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which values are dates without a time."""
    if pa.types.is_date(column.type):
        return np.ones(len(column), np.bool_)
    if pa.types.is_timestamp(column.type):
        return np.zeros(len(column), np.bool_)
    return np.asarray(pc.match_substring_regex(column, _DATE).to_numpy())


def _parsed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments of texts in ISO 8601, with a time zone or in UTC."""
    texts = pc.utf8_trim_whitespace(texts)
    zoned = pc.match_substring_regex(texts, _ZONE)
    nothing = pa.scalar(None, pa.string())
    in_utc = pc.if_else(zoned, nothing, texts).cast(_NAIVE)
    elsewhere = pc.if_else(zoned, texts, nothing).cast(_ZONED).cast(_NAIVE)
    return pc.coalesce(in_utc, elsewhere)
