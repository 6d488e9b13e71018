"""Periods of the prediction log: every row is in exactly one, also while collectors overlap."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.day_table import DayTable
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.tasks.monitoring.collect import collect
from overnight.tasks.monitoring.observe import ObservedPeriod, observe
from tests.support.prediction_log import MODEL, answered, sent, ship

PIXELS = np.ones((1, 3), np.float32)


class InterruptedWrite(DayTable):
    """A table in whose commit something happens: after the rows were stamped, before they count."""

    def interrupt(self, meanwhile: Callable[[], None]) -> None:
        object.__setattr__(self, "meanwhile", meanwhile)

    def _write(self, *arguments, **others):
        written = super()._write(*arguments, **others)
        meanwhile = self.__dict__.pop("meanwhile", None)
        if meanwhile is not None:
            meanwhile()
        return written


class InterruptedPredictions(InterruptedWrite, PredictionTable):
    """Answers that a slow collector commits."""


class InterruptedLabels(InterruptedWrite, LabelTable):
    """Labels that a slow collector commits."""


class Watched:
    """A spool, its tables, and a monitor that observes one period after the other."""

    def __init__(self, folder: Path) -> None:
        self.bucket = MemoryBucket()
        self.predictions = PredictionTable.in_folder(folder, MODEL)
        self.labels = LabelTable.in_folder(folder, MODEL)
        self.slow_predictions = InterruptedPredictions(self.predictions.address, MODEL)
        self.slow_labels = InterruptedLabels(self.labels.address, MODEL)
        self.periods: list[ObservedPeriod] = []

    def ship(self, number: int, request: str) -> None:
        at = datetime.now(UTC)
        ship(self.bucket, number, answered(request, at=at), sent(request, at=at))

    def collect(self) -> None:
        collect(self.bucket, MODEL, self.predictions, self.labels)

    def collect_slowly(self) -> None:
        collect(self.bucket, MODEL, self.slow_predictions, self.slow_labels)

    def observe(self, *, until: datetime | None = None) -> None:
        self.periods.append(
            observe(
                self.predictions,
                self.labels,
                since=self.periods[-1].until if self.periods else None,
                until=until or datetime.now(UTC),
                closed=date.max,
                window_days=7,
            )
        )

    def answers(self) -> list[int]:
        return [period.new_answers for period in self.periods]

    def labelled(self) -> list[list[str]]:
        """The requests whose label each period brought."""
        return [
            period.labelled.filter(period.labelled["is_new"])["request"].to_pylist()
            for period in self.periods
        ]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.mark.parametrize("slow", ["slow_predictions", "slow_labels"])
def test_what_a_slow_collector_commits_after_a_period_closed_is_in_the_next_one(
    watched: Watched, slow: str
) -> None:
    watched.ship(1, "fast")
    watched.collect()
    # This one came after the monitor's own collection, and another collector is at it.
    watched.ship(2, "slow")
    getattr(watched, slow).interrupt(watched.observe)

    watched.collect_slowly()
    watched.observe()

    assert watched.answers() == ([1, 1] if slow == "slow_predictions" else [2, 0])
    assert sorted(name for names in watched.labelled() for name in names) == ["fast", "slow"]
    assert [period.joined.counts["first"] for period in watched.periods] == [
        len(each) for each in watched.labelled()
    ]


def test_the_first_rows_of_all_may_be_those_of_the_slow_collector(watched: Watched) -> None:
    watched.ship(1, "slow")
    watched.slow_predictions.interrupt(watched.observe)

    watched.collect_slowly()
    watched.observe()

    assert watched.answers() == [0, 1]
    assert watched.labelled() == [[], ["slow"]]


def test_a_collector_whose_clock_is_behind_adds_to_the_open_period(watched: Watched) -> None:
    watched.observe(until=datetime.now(UTC) + timedelta(hours=1))
    watched.ship(1, "a")
    watched.collect()

    watched.observe(until=datetime.now(UTC) + timedelta(hours=2))

    assert watched.answers() == [0, 1]
    collected = watched.predictions.read(columns=["collected"])["collected"]
    assert pc.min(collected).as_py() > watched.periods[0].until


def test_rows_of_a_collector_whose_clock_is_ahead_are_counted_once(watched: Watched) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    watched.ship(1, "a")
    collect(watched.bucket, MODEL, watched.predictions, watched.labels, now=ahead)

    watched.observe()
    watched.observe(until=ahead + timedelta(hours=1))

    assert watched.answers() == [0, 1]
    assert watched.labelled() == [[], ["a"]]


def test_a_closed_period_stays_closed_while_columns_come_and_rows_go(watched: Watched) -> None:
    until = datetime.now(UTC)
    watched.ship(1, "a")
    watched.collect()
    watched.observe(until=until + timedelta(hours=1))
    ship(watched.bucket, 2, answered("b", at=until, client="bob", inputs={"other": PIXELS}))
    watched.collect()
    watched.predictions.delete_client("bob")
    ship(watched.bucket, 3, answered("c", at=until))
    watched.collect()

    watched.observe(until=until + timedelta(hours=2))

    assert watched.answers() == [1, 1]
