"""A search starts with the current settings and keeps the results of all trials."""

from dataclasses import replace

import numpy as np
import pytest

from overnight import models
from overnight.models.definition import TrainingSettings
from overnight.models.examples import Examples
from overnight.models.search_space import Choice, Range
from overnight.store.errors import ConfigurationError
from overnight.tasks.errors import StepFailed
from overnight.tasks.training.trials import Search, Trial
from overnight.tasks.training.tune import tune

pytestmark = pytest.mark.servers

SETTINGS = TrainingSettings(
    epochs=3, batch_rows=8, learning_rate=0.05, seed=1, validation_share=0.5, patience_epochs=3
)
RATE = Range(0.001, 0.08, log=True)
ROWS = Examples({"image": np.zeros((4, 28, 28), np.uint8)}, np.zeros(4))


def definition(**ranges):
    return replace(models.find("digits"), network="tests.support.networks.slopes", tunable=ranges)


def search(tmp_path, *, trials=8, parallel=1, settings=SETTINGS, report=lambda over, result: None,
           **ranges):  # fmt: skip
    return tune(
        definition(**ranges),
        settings,
        ROWS,
        trials=trials,
        parallel=parallel,
        folder=tmp_path / "tune",
        seconds=60,
        report=report,
    )


def test_a_better_rate_than_the_current_one_is_found(tmp_path):
    received = []

    result = search(
        tmp_path, parallel=2, learning_rate=RATE, report=lambda n, _: received.append(n)
    )

    assert result.trials[0].settings == {"learning_rate": 0.05}
    assert result.improved
    assert abs(result.best.settings["learning_rate"] - 0.02) < 0.03
    assert [trial.number for trial in result.trials] == list(range(8))
    assert sorted(received) == list(range(1, 9))
    assert not (tmp_path / "tune" / "rows.npz").exists()


def test_the_current_settings_are_kept_if_nothing_is_better(tmp_path):
    best = SETTINGS.model_copy(update={"learning_rate": 0.02})

    result = search(tmp_path, trials=3, settings=best, learning_rate=RATE)

    assert not result.improved
    assert result.best.number == 0


def test_one_trial_at_a_time_is_repeatable(tmp_path):
    first = search(tmp_path / "a", trials=4, learning_rate=RATE, batch_rows=Choice((8, 16)))
    again = search(tmp_path / "b", trials=4, learning_rate=RATE, batch_rows=Choice((8, 16)))

    assert [trial.settings for trial in first.trials] == [t.settings for t in again.trials]


def test_integer_settings_stay_integers(tmp_path):
    result = search(tmp_path, trials=3, epochs=Range(2, 4), batch_rows=Choice((16, 32)))

    for trial in result.trials:
        assert {type(value) for value in trial.settings.values()} == {int}
        assert trial.settings["batch_rows"] in {8, 16, 32}


def test_a_failed_trial_does_not_end_the_search(tmp_path):
    broken = SETTINGS.model_copy(update={"learning_rate": 0.095})

    result = search(tmp_path, trials=4, settings=broken, learning_rate=Range(0.001, 0.1))

    assert result.trials[0].state == "failed"
    assert "the rate is too high" in result.trials[0].why
    assert result.complete


def test_a_search_in_which_every_trial_fails_reports_the_reason(tmp_path):
    broken = SETTINGS.model_copy(update={"learning_rate": 0.095})

    with pytest.raises(StepFailed, match=r"none of 2 trials .* the rate is too high"):
        search(tmp_path, trials=2, settings=broken, learning_rate=Range(0.091, 0.1))


@pytest.mark.parametrize(
    ("ranges", "reported"),
    [
        ({}, "nothing to tune"),
        ({"width": Range(1, 2)}, "width is no setting"),
        ({"learning_rate": Range(0.1, 0.2)}, "expected a value in its range 0.1 to 0.2"),
    ],
)
def test_ranges_without_a_matching_setting_are_a_configuration_error(tmp_path, ranges, reported):
    with pytest.raises(ConfigurationError, match=reported):
        search(tmp_path, **ranges)


@pytest.mark.parametrize(("low", "high", "log"), [(2, 1, False), (1, 1, False), (0, 1, True)])
def test_a_range_goes_upwards(low, high, log):
    with pytest.raises(ConfigurationError):
        Range(low, high, log=log)


def test_a_choice_needs_two_options():
    with pytest.raises(ConfigurationError):
        Choice((8, 8))


def test_of_equal_trials_the_first_is_best():
    trials = tuple(Trial(number, {}, "complete", 0.5) for number in range(3))

    assert Search(trials).best.number == 0


def test_without_a_loss_of_the_current_settings_nothing_is_an_improvement():
    trials = (Trial(0, {}, "failed", why="w"), Trial(1, {}, "complete", 0.5))

    assert not Search(trials).improved


def test_the_current_settings_are_never_pruned(tmp_path):
    worst = SETTINGS.model_copy(update={"learning_rate": 0.079, "epochs": 9})

    result = search(tmp_path, trials=8, parallel=4, settings=worst, learning_rate=RATE)

    assert result.trials[0].state == "complete"
