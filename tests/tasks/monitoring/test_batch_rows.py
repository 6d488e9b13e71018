"""Answers of batch runs are in the log, and out of the monitor."""

from datetime import timedelta
from pathlib import Path

from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.tasks.monitoring.observe import DAY_ROWS, observe
from tests.support.prediction_log import NOON, answered, segment

UNTIL = NOON + timedelta(days=2)


def tables(folder: Path) -> tuple[PredictionTable, LabelTable]:
    return PredictionTable.in_folder(folder, "digits"), LabelTable.in_folder(folder, "digits")


def test_rows_of_a_batch_run_are_left_out_and_take_no_place_of_live_ones(tmp_path: Path) -> None:
    predictions, labels = tables(tmp_path)
    live = [answered(f"live-{n}") for n in range(20)]
    batch = [answered("batch-0", n=40 * DAY_ROWS, route="batch")]
    predictions.append({segment(1): live, segment(2): batch}, collected=NOON)

    period = observe(predictions, labels, since=None, until=UNTIL, closed=None, window_days=1)

    assert period.new_answers == 20
    assert {day.num_rows for day in period.days.values()} == {20}
    assert set(period.joined.answers["route"].to_pylist()) == {"champion"}


def test_a_day_of_batch_runs_alone_is_nothing_to_watch(tmp_path: Path) -> None:
    predictions, labels = tables(tmp_path)
    predictions.append({segment(1): [answered("batch-0", n=3, route="batch")]}, collected=NOON)

    period = observe(predictions, labels, since=None, until=UNTIL, closed=None, window_days=1)

    assert period.is_empty
