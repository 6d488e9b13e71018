"""Each outcome has a message that says what to do, and repetitions have none."""

from datetime import UTC, datetime

import pytest

from overnight.store.registry.monitoring import Alarm, MonitorRecord
from overnight.tasks.notify import message as messages
from overnight.tasks.notify.occasions import (
    KIND_OF_STATE,
    AlarmEvent,
    NotifiedRun,
    is_repeated,
    of_alarm,
    of_run,
)

NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)


def run(state: str, **changed) -> NotifiedRun:
    return NotifiedRun("retrain", "retrain-digits", state, **{"model": "digits"} | changed)


@pytest.mark.parametrize("state", KIND_OF_STATE)
def test_every_outcome_names_the_model_and_what_to_do(state):
    message = of_run(run(state, message="because of this", url="http://p/v2/runs/1"))

    assert message is not None
    text = messages.text(message)
    assert text.startswith("digits: retrain ended " + state)
    assert "because of this" in text
    assert message.to_do
    assert "http://p/v2/runs/1" in text
    assert max(map(len, text.splitlines())) <= 80


def test_outcomes_that_need_nobody_have_no_message():
    assert of_run(run("Promoted")) is None
    assert of_run(run("UpToDate")) is None


def test_a_version_that_waits_comes_with_its_command():
    waiting = (
        "v passed its gates and waits: `overnight approve digits 20261201T020000-0123456789ab`"
    )

    message = of_run(run("AwaitingApproval", message=waiting))

    assert message is not None
    assert message.command == "overnight approve digits 20261201T020000-0123456789ab"


@pytest.mark.parametrize(
    ("starts", "retried", "reported"),
    [
        (1, True, "started again by itself"),
        (2, True, None),
        (3, True, "Find out what ended its process"),
        (1, False, "Find out what ended its process"),
    ],
)
def test_of_a_run_that_crashes_again_the_first_and_the_last_crash_are_reported(
    starts, retried, reported
):
    message = of_run(run("Crashed", starts=starts, retried=retried))

    if reported is None:
        assert message is None
    else:
        assert message is not None
        assert reported in message.to_do


def test_a_late_run_says_since_when():
    message = of_run(run("Late", since=NOW))

    assert message is not None
    assert message.kind == "late"
    assert "2026-12-01 02:00 UTC" in messages.text(message)


def test_long_reasons_leave_room_for_what_to_do():
    message = of_run(run("Refused", message="accuracy 0.91 " * 1_000))

    assert message is not None
    assert len(messages.text(message)) < 2_000
    assert "Read the card" in messages.text(message)


def alarm(**changed) -> AlarmEvent:
    values = {"model": "digits", "sequence": 3, "kind": "quality", "message": "error 5 %"}
    return AlarmEvent.model_validate(values | changed)


def test_an_alarm_says_what_follows():
    message = of_alarm(alarm(consequence="retrain", feature="all"))

    assert messages.document(message)["to_do"] == "What follows: retrain"
    assert message.subject == "digits: alarm, quality of all"


@pytest.mark.parametrize(
    ("kind", "feature", "repeated"),
    [("quality", "all", True), ("quality", "", True), ("inputs", "all", False),
     ("quality", "sevens", False)],
)  # fmt: skip
def test_an_alarm_that_continues_is_repeated(kind, feature, repeated):
    seen = Alarm(kind="quality", feature="all", message="", value=1, expected=0, since=NOW)
    before = MonitorRecord(
        model="digits", sequence=2, champion=None, since=None, until=NOW, alarms=(seen,)
    )

    assert is_repeated(alarm(kind=kind, feature=feature), before) is repeated
    assert not is_repeated(alarm(kind=kind, feature=feature), None)
