"""What a search finds serves the nights that follow, until it is forgotten."""

import pytest

from overnight.flows.ingest import ingest
from overnight.flows.run.context import ModelContext
from overnight.flows.tune import tune
from overnight.store.registry.tuned_settings import TunedSettings, TunedSettingsLog
from tests.flows.test_flows import ended, newest_card
from tests.support.prefect_world import World

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def tuned(world: World, **settings: float) -> None:
    found = TunedSettings(model="digits", sequence=0, settings=settings, by="ann", reason="better")
    TunedSettingsLog(world.bucket, found.model).append(found)


def test_nights_use_what_was_tuned_and_runs_may_ask_for_other_settings(quiet_world: World) -> None:
    tuned(quiet_world, learning_rate=0.03, epochs=7)
    house = ModelContext.open("digits")

    tonight = house.training_settings({})
    asked = house.training_settings({"epochs": 2})

    assert (tonight.learning_rate, tonight.epochs, tonight.seed) == (0.03, 7, 1)
    assert (asked.learning_rate, asked.epochs) == (0.03, 2)


def test_a_form_filled_with_the_models_own_settings_asks_for_nothing(quiet_world: World) -> None:
    tuned(quiet_world, learning_rate=0.03)
    own = ModelContext.open("digits").definition.settings

    assert ModelContext.open("digits").training_settings(own.model_dump()).learning_rate == 0.03


def test_a_search_on_few_digits_is_kept_or_remembered_and_can_be_forgotten(world: World) -> None:
    world.arrive("few", 0, 400)
    ingest(return_state=True)

    name, told = ended(
        tune(trials=2, parallel=1, requested_by="ann", reason="try", return_state=True)
    )
    found = TunedSettingsLog(world.bucket, "digits").current()
    forgotten = ended(tune(forget=True, requested_by="ann", reason="enough", return_state=True))

    assert name in {"Tuned", "Kept"}, told
    assert (found is not None) == (name == "Tuned")
    assert "validation loss" in told
    assert forgotten[0] == "Tuned"
    newest = TunedSettingsLog(world.bucket, "digits").current()
    assert newest is not None
    assert newest.settings == {}
    card = newest_card("digits-tune")
    assert "the model's own settings again" in card.replace("&#x27;", "'")
