"""An hour before a nightly run: any hours that cron can name, and days that wrap."""

import pytest

from overnight.models.schedule import Schedule


@pytest.mark.parametrize(
    ("nightly", "before"),
    [
        ("0 2 * * *", "0 1 * * *"),
        # The evening before; every day, whatever days the nightly run has.
        ("15 0 * * *", "15 23 * * *"),
        ("15 0 1 * *", "15 23 * * *"),
        ("30 4 * * 1-5", "30 3 * * *"),
        ("0 2,14 * * *", "0 1,13 * * *"),
        ("0 0,12 * * *", "0 11,23 * * *"),
        ("0 1-3 * * *", "0 0,1,2 * * *"),
        ("0 */8 * * *", "0 7,15,23 * * *"),
        ("0 2-10/4 * * *", "0 1,5,9 * * *"),
        ("0 20/2 * * *", "0 19,21 * * *"),
        ("*/15 2 * * *", "0 1 * * *"),
        ("20,50 2 * * *", "20 1 * * *"),
        # Nothing to shift by an hour, or no numbers.
        ("0 * * * *", "0 1 * * *"),
        ("30 */1 * * *", "0 1 * * *"),
        ("0 R * * *", "0 1 * * *"),
        ("0 */0 * * *", "0 1 * * *"),
        ("0 5-2 * * *", "0 1 * * *"),
    ],
)
def test_an_hour_before_any_nightly_run(nightly: str, before: str) -> None:
    schedule = Schedule(nightly, "Europe/Berlin")

    assert schedule.hour_before(0) == Schedule(before, "Europe/Berlin")


def test_an_hour_before_a_run_without_a_time_of_its_own() -> None:
    assert Schedule(time_zone="Asia/Tokyo").hour_before(3) == Schedule("30 2 * * *", "Asia/Tokyo")
