"""The outcome of a run is read from its state, also from one of an earlier release."""

import pytest

from overnight.tasks import outcomes
from overnight.tasks.notify.occasions import KIND_OF_OUTCOME
from overnight.tasks.outcomes import GREY, OUTCOMES, RED, OutcomeOfRun


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_an_outcome_is_read_as_it_was_written(outcome):
    ended = OutcomeOfRun(outcome, "the store: it was away")
    name = "Failed" if outcome in RED else "Cancelled" if outcome in GREY else "Completed"

    assert outcomes.read(name, str(ended)) == ended
    assert outcomes.read(name, str(OutcomeOfRun(outcome))) == OutcomeOfRun(outcome)


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("Refused", "accuracy: 0.91", OutcomeOfRun("Refused", "accuracy: 0.91")),
        ("Failed", "Flow run encountered an exception: X", None),
        ("Crashed", "Refused: connection", None),
        ("Completed", "All states completed.", None),
        ("Completed", None, OutcomeOfRun("Completed", "")),
        (None, None, OutcomeOfRun("", "")),
    ],
)
def test_states_of_earlier_releases_and_of_prefect_itself_keep_their_names(name, message, expected):
    assert outcomes.read(name, message) == (expected or OutcomeOfRun(name, message))


def test_the_name_of_a_run_loses_the_outcome_of_an_earlier_try_and_nothing_else():
    assert outcomes.without_outcome("digits 2026-11-30 02:00 Refused") == "digits 2026-11-30 02:00"
    assert outcomes.without_outcome("digits 2026-11-30 02:00") == "digits 2026-11-30 02:00"
    assert outcomes.without_outcome("Refused") == "Refused"


def test_people_are_notified_of_outcomes_that_there_are():
    own = KIND_OF_OUTCOME.keys() - {"Failed", "TimedOut", "Crashed"}

    assert own <= OUTCOMES
