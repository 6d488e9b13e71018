"""Skew: requests that are encoded otherwise than the rows of their day, and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.monitoring.whole_days import (
    A_DAY,
    BEGIN,
    DEFINITION,
    Change,
    World,
    answers_of,
    draw,
    observed,
    world,
)
from overnight.models.examples import Examples
from overnight.models.watching import PredictionLog, Watching
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import ConfigurationError
from overnight.store.registry.monitoring import Alarm, DetectorState
from overnight.tasks.monitoring.arrived import arrivals_of_days, arrived, sample
from overnight.tasks.monitoring.measure import Measured, measure

CENTS = 100.0
MODEL = replace(
    DEFINITION,
    examples=lambda rows: Examples(
        {name: rows[name].to_numpy() for name in ("calls", "months")}, rows["label"].to_numpy()
    ),
)


def rows_of(drawn: Examples) -> pa.Table:
    return pa.table({**drawn.inputs, "label": np.asarray(drawn.labels)})


def measured_days(
    made: World, n: int, *, requested: Change, arriving: Change, unit: float = 1.0
) -> Iterator[Measured]:
    """Days of requests and arrivals, until the first alarm; `unit` multiplies what is sent."""
    before: Mapping[str, DetectorState] = {}
    for number in range(n):
        midnight = BEGIN + number * A_DAY
        requests = draw(made.random, made.rows, requested)
        sent = {**requests.inputs, "months": requests.inputs["months"] * np.float32(unit)}
        period = observed(
            [answers_of(made, replace(requests, inputs=sent), midnight)], [], midnight
        )
        rows = {midnight.date(): rows_of(draw(made.random, made.rows, arriving))}
        measured = measure(MODEL, made.served, (), period, before, rows)
        yield measured
        if measured.alarms:
            return
        before = {state.name: state for state in measured.detectors}


def alarms(days: Iterator[Measured]) -> list[Alarm]:
    return [alarm for measured in days for alarm in measured.alarms]


def test_a_unit_that_only_requests_have_is_skew_and_no_drift_of_the_world() -> None:
    last = list(
        measured_days(world(1, 300), 10, requested=Change(), arriving=Change(), unit=CENTS)
    )[-1]

    assert [(alarm.kind, alarm.feature) for alarm in last.alarms] == [("skew", "months")]
    (alarm,) = last.alarms
    assert alarm.value > alarm.expected == 0.05
    assert "from training's rows of the same days" in alarm.message
    assert alarm.since.date() == BEGIN.date()
    assert alarm.first
    # What requests are apart from the reference is in the record all the same.
    drift = {each.feature: each for each in last.distances if each.kind == "inputs"}
    assert drift["months"].distance > 0.3


def test_a_world_that_changes_is_drift_and_no_skew() -> None:
    moved = Change(moved=1.0)

    raised = alarms(measured_days(world(2, 300), 10, requested=moved, arriving=moved))

    assert raised
    assert {alarm.kind for alarm in raised} == {"inputs"}


def test_a_change_of_requests_alone_is_skew_however_it_came() -> None:
    days = measured_days(world(3, 300), 10, requested=Change(moved=1.0), arriving=Change())

    assert {alarm.kind for alarm in alarms(days)} == {"skew"}


def test_beside_skew_of_one_input_the_drift_of_another_is_named() -> None:
    apart = Change(apart=8.0)

    raised = alarms(measured_days(world(6, 300), 10, requested=apart, arriving=apart, unit=CENTS))

    assert [(alarm.kind, alarm.feature) for alarm in raised] == [
        ("skew", "months"),
        ("inputs", "calls"),
    ]


def test_one_population_raises_no_more_alarms_than_declared() -> None:
    nights = MODEL.watching.nights_per_false_alarm
    days = list(measured_days(world(4, 150), nights, requested=Change(), arriving=Change()))

    assert len(days) == nights
    assert not days[-1].alarms
    skews = [each for day in days for each in day.distances if each.kind == "skew"]
    assert len(skews) == 2 * nights
    assert all(each.e is not None for each in skews)


def test_rows_that_are_no_examples_end_nothing() -> None:
    made = world(5, 100)
    requests = draw(made.random, made.rows, Change())
    period = observed([answers_of(made, requests, BEGIN)], [], BEGIN)

    measured = measure(
        MODEL, made.served, (), period, {}, {BEGIN.date(): pa.table({"other": [1.0]})}
    )

    assert {each.kind for each in measured.distances} == {"inputs", "answers", "confidence"}
    assert any("the skew of 2026-01-01 is not measured" in each for each in measured.problems)


def stamped(arrival: str, start: int, end: int) -> pa.Table:
    n = end - start
    return pa.table(
        {
            "number": pa.array(range(start, end), pa.int64()),
            "digest": [f"{each:064d}" for each in range(start, end)],
            "arrival": [arrival] * n,
            "arrived_at": pa.array(
                [datetime(2026, 1, 1, tzinfo=UTC)] * n, pa.timestamp("us", "UTC")
            ),
            "arrival_row": pa.array(range(n), pa.int64()),
        }
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset.in_folder(tmp_path, "items", "rows")
    for place, name in enumerate(
        ("history", "night-1", "night-2", "feedback-2026-01-02-00000001", "excluded")
    ):
        dataset.append(stamped(name, place * 1_000, (place + 1) * 1_000), name)
    return dataset


def test_the_rows_of_a_day_are_those_that_training_got_on_it(dataset: Dataset) -> None:
    today = dataset.arrival_times()["night-1"].date()
    days = (today - timedelta(days=1), today, today + timedelta(days=1))

    rows = arrived(dataset, days, without=["excluded"])

    assert {day for day in rows if day != today} <= set(days)
    assert sorted(n for each in rows.values() for n in each["number"].to_pylist()) == [
        *range(1_000, 3_000)
    ]
    assert all(each.column_names == ["number", "digest"] for each in rows.values())
    few = [arrived(dataset, days, most_rows=70) for _ in range(2)]
    assert few[0] == few[1]
    assert all(each.num_rows == 70 for each in few[0].values())


def test_files_of_other_arrivals_are_not_read(dataset: Dataset, tmp_path: Path) -> None:
    table = pa.table(dataset._open_existing().get_add_actions(flatten=True))
    for path, name in zip(table["path"].to_pylist(), table["min.arrival"].to_pylist(), strict=True):
        if name != "night-2":
            next(tmp_path.rglob(path)).unlink()

    batches = list(dataset.rows_of(["night-2"]))

    numbers = pa.Table.from_batches(batches)["number"].to_pylist()
    assert sorted(numbers) == [*range(2_000, 3_000)]


def test_nothing_arrived_before_the_first_arrival(tmp_path: Path) -> None:
    assert arrived(Dataset.in_folder(tmp_path, "items", "rows"), [date(2026, 1, 1)]) == {}


def test_days_are_those_of_utc() -> None:
    late = datetime.fromisoformat("2026-01-01T23:30:00-05:00")
    times = {"history": BEGIN, "night": late}

    assert arrivals_of_days(times, [date(2026, 1, 1), date(2026, 1, 2)]) == {
        date(2026, 1, 2): ("night",)
    }


def test_a_sample_has_each_row_equally_often() -> None:
    batches = [pa.record_batch({"n": np.arange(k, k + 25)}) for k in range(0, 200, 25)]
    counts = np.zeros(200)
    for seed in range(400):
        chosen = sample(iter(batches), 20, seed=seed)
        assert chosen is not None
        assert chosen.num_rows == 20
        counts[chosen["n"].to_numpy()] += 1

    # 40 of each are to be expected, with a deviation of 6.
    assert counts.min() > 40 - 5 * 6
    assert counts.max() < 40 + 5 * 6
    # Early and late batches alike.
    assert abs(counts[:100].sum() - 4_000) < 5 * 45


@pytest.mark.parametrize(
    ("log", "named"),
    [
        (None, "log=None"),
        (PredictionLog(inputs="digest"), r'PredictionLog\(inputs="digest"\)'),
        (PredictionLog(inputs="none"), r'PredictionLog\(inputs="none"\)'),
    ],
)
def test_one_population_needs_recorded_values(log: PredictionLog | None, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f'{named} records no values.*inputs="values"'):
        Watching(log=log, same_population=True)
    assert not Watching(log=log).same_population


def test_inputs_of_earlier_rows_cannot_be_compared() -> None:
    with pytest.raises(ConfigurationError, match="declare same_population=False"):
        replace(
            DEFINITION,
            watching=Watching(same_population=True),
            arrival_examples=lambda _before, rows: DEFINITION.examples(rows),
        )
