"""Tuned settings are used by later runs, until they are forgotten."""

import pytest

from overnight.flows.ingest import ingest
from overnight.flows.run.context import ModelContext
from overnight.flows.tune import tune
from overnight.store.registry.tuned_settings import TunedSettings, TunedSettingsLog
from tests.flows.test_retrain import newest_card
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def tuned(flow_environment: FlowEnvironment, **settings: float) -> None:
    kept = TunedSettings(model="digits", sequence=0, settings=settings, by="ann", reason="better")
    TunedSettingsLog(flow_environment.bucket, kept.model).append(kept)


def test_runs_use_tuned_settings_unless_their_parameters_differ(
    store_environment: FlowEnvironment,
) -> None:
    tuned(store_environment, learning_rate=0.03, epochs=7)
    context = ModelContext.open("digits")

    tuned_settings = context.training_settings({})
    changed = context.training_settings({"epochs": 2})

    assert (tuned_settings.learning_rate, tuned_settings.epochs, tuned_settings.seed) == (
        0.03,
        7,
        1,
    )
    assert (changed.learning_rate, changed.epochs) == (0.03, 2)


def test_a_form_filled_with_the_models_own_settings_changes_nothing(
    store_environment: FlowEnvironment,
) -> None:
    tuned(store_environment, learning_rate=0.03)
    own = ModelContext.open("digits").definition.settings

    assert ModelContext.open("digits").training_settings(own.model_dump()).learning_rate == 0.03


def test_a_search_keeps_better_settings_and_they_can_be_forgotten(
    flow_environment: FlowEnvironment,
) -> None:
    flow_environment.land_digits("few", 0, 400)
    ingest(return_state=True)

    name, message = ended(
        tune(trials=2, parallel=1, requested_by="ann", reason="try", return_state=True)
    )
    kept = TunedSettingsLog(flow_environment.bucket, "digits").current()
    forgotten = ended(tune(forget=True, requested_by="ann", reason="enough", return_state=True))

    assert name in {"Tuned", "Kept"}, message
    assert (kept is not None) == (name == "Tuned")
    assert "validation loss" in message
    assert forgotten[0] == "Tuned"
    newest = TunedSettingsLog(flow_environment.bucket, "digits").current()
    assert newest is not None
    assert newest.settings == {}
    card = newest_card("digits-tune")
    assert "the model's own settings again" in card.replace("&#x27;", "'")
