"""Each outcome has a message that says what to do, and repetitions have none."""

from datetime import UTC, datetime

import pytest

from overnight.store.registry.monitoring import Alarm, Consequence, MonitorRecord
from overnight.tasks.notify import message as messages
from overnight.tasks.notify.occasions import (
    KIND_OF_OUTCOME,
    NotifiedRun,
    of_alarms,
    of_run,
)

NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)


def run(state: str, **changed) -> NotifiedRun:
    values = {"flow": "retrain", "name": "retrain-digits", "model": "digits"}
    return NotifiedRun(outcome=state, **values | changed)


@pytest.mark.parametrize("state", sorted(KIND_OF_OUTCOME.keys() - {"Drifted"}))
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


def record(sequence: int, *features: str, action: str = "retrain") -> MonitorRecord:
    return MonitorRecord(
        model="digits",
        sequence=sequence,
        champion=None,
        since=None,
        until=NOW,
        alarms=tuple(
            Alarm(kind="quality", feature=each, message=f"error of {each}", value=0.05,
                  expected=0.01, since=NOW)
            for each in features
        ),
        consequence=Consequence(action=action, reason="labels say so"),
    )  # fmt: skip


def test_an_alarm_has_its_figures_and_what_follows():
    message = of_alarms(run("Drifted", flow="monitor"), record(1, "all"), None)

    assert message is not None
    assert message.subject == "digits: alarm, quality of all"
    text = messages.text(message)
    assert "0.05, expected 0.01, since 2026-12-01 02:00" in text
    assert "What follows: retrain: labels say so" in text


def test_an_alarm_of_all_rows_says_so_and_names_the_command_that_shows_its_record():
    message = of_alarms(run("Drifted", flow="monitor"), record(1, ""), None)

    assert message is not None
    assert message.subject == "digits: alarm, quality of all"
    assert [name for name, _ in message.figures] == ["quality of all"]
    assert message.command == "overnight monitor digits --last"


@pytest.mark.parametrize(
    ("before", "after", "reported"),
    [
        (record(1, "all"), record(2, "all"), None),
        (record(1, "all"), record(2, "all", "sevens"), "quality of sevens"),
        (record(1), record(2, "all"), "quality of all"),
        (record(1, "all", action="wait"), record(2, "all"), "alarm"),
        # What the store could not give is reported: rather twice than not at all.
        (None, None, "alarm"),
    ],
)
def test_an_alarm_that_continues_is_reported_once(before, after, reported):
    message = of_alarms(run("Drifted"), after, before)

    assert (message.subject if message else None) == (
        f"digits: alarm, {reported}" if reported and reported != "alarm"
        else reported and "digits: alarm"
    )  # fmt: skip
