"""Records of runs: what the page tells of them without Prefect."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.objects import keys
from overnight.store.objects.key_parser import Item, Kind
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.runs import RunRecord, Runs, latest, missed, next_due

NIGHT = datetime(2026, 11, 30, 2, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
RUN = "00000000-0000-0000-0000-00000000000"


def record(number: int, event: str, at: datetime, **fields) -> RunRecord:
    started = fields.pop("started", at)
    return RunRecord(
        model="digits", flow="retrain", run=f"{RUN}{number}", event=event, started=started, at=at,
        **fields,
    )  # fmt: skip


@pytest.fixture
def runs() -> Runs:
    return Runs(MemoryBucket(), "digits")


def test_a_record_is_read_back_from_the_newest_months_and_its_key_is_known(runs):
    kept = [
        record(number, "ended", NIGHT + number * 31 * DAY, outcome="Refused") for number in range(3)
    ]
    for each in kept:
        runs.keep(each)

    listed = runs.newest_keys()

    assert [runs.read(key) for key in listed] == kept[1:]
    assert listed[0] == keys.run_record("digits", kept[1].at, kept[1].run, "ended")
    assert Item.of(listed[0], 1).kind is Kind.RUN_RECORD


def test_a_record_that_was_written_before_stands(runs):
    runs.keep(record(1, "ended", NIGHT, outcome="Crashed"))
    runs.keep(record(1, "ended", NIGHT, outcome="Promoted"))

    (stored,) = (runs.read(key) for key in runs.newest_keys())

    assert stored is not None
    assert stored.outcome == "Crashed"


def test_an_object_that_is_no_record_hides_no_other(runs):
    runs.keep(record(1, "ended", NIGHT, outcome="UpToDate"))
    runs.bucket.create(keys.run_record("digits", NIGHT + DAY, f"{RUN}2", "ended"), b"{")

    read = [runs.read(key) for key in runs.newest_keys()]

    assert [each and each.outcome for each in read] == ["UpToDate", None]


def test_the_last_word_of_a_run_that_was_started_again_counts():
    crashed = record(1, "ended", NIGHT + MINUTE, started=NIGHT, outcome="Crashed")
    again = record(1, "ended", NIGHT + 9 * MINUTE, started=NIGHT, outcome="Promoted")
    later = record(2, "started", NIGHT + DAY)

    assert latest([again, later, crashed]) == [later, again]


def test_a_night_without_a_record_was_missed():
    first = record(1, "ended", NIGHT, due=(NIGHT + DAY, NIGHT + 2 * DAY, NIGHT + 3 * DAY))
    began = record(2, "started", NIGHT + 2 * DAY + MINUTE, due=(NIGHT + 3 * DAY,))

    assert missed([first, began], flow="retrain", now=NIGHT + 2.5 * DAY) == [NIGHT + DAY]
    assert missed([first, began], flow="monitor", now=NIGHT + 9 * DAY) == []


def test_a_run_may_wait_for_another_before_it_counts_as_missed():
    first = record(1, "ended", NIGHT, due=(NIGHT + DAY,))

    assert missed([first], flow="retrain", now=NIGHT + DAY + 59 * MINUTE) == []
    assert missed([first], flow="retrain", now=NIGHT + DAY + 61 * MINUTE) == [NIGHT + DAY]


def test_a_schedule_that_was_paused_or_moved_since_misses_nothing():
    first = record(1, "ended", NIGHT, due=(NIGHT + DAY, NIGHT + 2 * DAY))
    paused = record(2, "ended", NIGHT + DAY / 2, due=())

    assert missed([first, paused], flow="retrain", now=NIGHT + 9 * DAY) == []
    assert next_due([first, paused], flow="retrain", now=NIGHT + DAY / 2) is None


def test_the_next_run_is_what_the_newest_plan_says():
    old = record(1, "ended", NIGHT, due=(NIGHT + DAY,))
    unknown = record(2, "ended", NIGHT + DAY, due=None)
    new = record(3, "started", NIGHT + MINUTE, due=(NIGHT + DAY, NIGHT + DAY + MINUTE))

    assert next_due([old, new, unknown], flow="retrain", now=NIGHT + DAY) == NIGHT + DAY + MINUTE
