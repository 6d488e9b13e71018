"""Simulated days through the join and the measurement of a monitor run, a day a run."""

import pytest

from benchmarks.monitoring.whole_days import DEFINITION, Change, days, first_alarm, world

NIGHTS = DEFINITION.watching.nights_per_false_alarm


def test_four_hundred_days_without_drift_raise_no_more_alarms_than_declared() -> None:
    raised = [alarms for alarms in days(world(7, 100), [Change()] * NIGHTS) if alarms]

    assert len(raised) <= 1


@pytest.mark.parametrize(
    ("kind", "change"), [("drift", Change(moved=0.5)), ("quality", Change(apart=1.7))]
)
def test_a_change_is_noticed_within_days(kind: str, change: Change) -> None:
    """So the test above would notice alarms."""
    before = 20
    changes = [Change()] * before + [change] * 10

    noticed = first_alarm(days(world(7, 200), changes), kind)

    assert noticed is not None
    assert before < noticed <= before + 8
