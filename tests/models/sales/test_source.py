"""A year of baskets arrives day by day, some late, some twice, and none is lost."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models.definition import Places
from overnight.models.errors import SourceUnavailable
from overnight.models.sales import arrival_schedule
from overnight.models.sales.moments import trading_day
from overnight.models.sales.source import SalesSource
from tests.support.genuine_sales import day, lines, year


@pytest.fixture(scope="module")
def source() -> SalesSource:
    return SalesSource(Places(folder=None, cache=Path("unused")))


def every_arrival() -> list[arrival_schedule.ScheduledArrival]:
    return list(
        arrival_schedule.arrivals(day("2017-01-01"), day("2017-12-31"), history=day("2017-10-31"))
    )


def test_the_first_arrival_brings_ten_months_and_the_next_a_day(source: SalesSource) -> None:
    second = source.deliver({"until-2017-10-31"})

    assert source.deliver(()).name == "until-2017-10-31"
    assert second.name == "day-2017-11-01"
    days = Counter(source.read(second.files).rows["day"].to_pylist())
    assert days.most_common(1)[0][0] == day("2017-11-01")
    assert set(days) <= {day("2017-11-01") - late for late in range(4)}


def test_the_same_arrival_is_always_the_same_bytes() -> None:
    first, second = (
        SalesSource(Places(folder=None, cache=Path("unused"))).deliver({"until-2017-10-31"})
        for _ in range(2)
    )

    assert first == second


def test_after_the_last_arrival_nothing_comes(source: SalesSource) -> None:
    assert source.deliver({arrival.name for arrival in every_arrival()}) is None


def test_a_replay_that_began_is_not_gone_on_with_by_another(source: SalesSource) -> None:
    with pytest.raises(SourceUnavailable, match=r"put back store47-2016\.csv"):
        source.deliver({"store47-2016-10-31", "store47-2016-11-01"})


def test_one_to_three_in_a_hundred_baskets_are_late_by_one_to_three_days() -> None:
    baskets = pc.unique(year()["basket_id"]).to_numpy()
    days = np.zeros(len(baskets), np.int32)

    late = arrival_schedule.arrival_days(baskets, days) - days

    assert set(np.unique(late)) == {0, 1, 2, 3}
    assert 0.01 < (late > 0).mean() < 0.03


def test_an_empty_arrival_comes_and_the_next_brings_its_baskets(source: SalesSource) -> None:
    before = {arrival.name for arrival in every_arrival() if arrival.name < "day-2017-11-14"}
    empty = source.deliver(before | {"until-2017-10-31"})

    after = source.deliver(before | {"until-2017-10-31", empty.name})

    assert empty.name == "day-2017-11-14"
    reading = source.read(empty.files)
    assert (reading.rows.num_rows, reading.rejected) == (0, ())
    assert {day("2017-11-14"), day("2017-11-15")} <= set(
        source.read(after.files).rows["day"].to_pylist()
    )


def test_files_are_sent_again_under_the_same_file_and_under_a_new_name() -> None:
    arrivals = every_arrival()

    same = [
        arrival
        for arrival in arrivals
        if arrival.resent_day is not None and arrival.days is not None
    ]
    new = [
        arrival for arrival in arrivals if arrival.resent_day is not None and arrival.days is None
    ]

    assert same
    assert new
    assert all(arrival.name.endswith("-again") for arrival in new)


def test_every_basket_arrives_on_exactly_one_day() -> None:
    table = lines()
    days = trading_day(table["transaction_timestamp"].to_numpy())
    came = arrival_schedule.arrival_days(table["basket_id"].to_numpy(), days)
    spans = [arrival.days for arrival in every_arrival() if arrival.days is not None]

    times = sum(((came >= first) & (came <= last)).astype(int) for first, last in spans)

    assert set(np.unique(times)) == {1}


def test_no_trading_day_begins_on_christmas_and_every_other_day_sells() -> None:
    days = pa.array(trading_day(year()["transaction_timestamp"].to_numpy()))

    missing = set(range(day("2017-01-01"), day("2018-01-01"))) - set(pc.unique(days).to_pylist())

    assert missing == {day("2017-12-25")}


def test_a_trading_day_begins_at_nine_in_utc() -> None:
    moments = np.array(["2017-11-02T08:59:59", "2017-11-02T09:00:00"], "datetime64[s]")

    assert trading_day(moments).tolist() == [day("2017-11-01"), day("2017-11-02")]
