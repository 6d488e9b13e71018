"""What is not as it was is told before a version is trained again, not hours after."""

import logging

import pytest

from overnight.flows.reproduce import reproduce
from overnight.flows.run.context import ModelContext
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.ingest import ingest
from tests.support.examples import FILES, VERSION, manifest
from tests.support.prefect_world import World
from tests.support.signing_keys import SIGNER

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def test_another_machine_is_logged_before_anything_is_trained(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.arrive("few", 0, 44)
    house = ModelContext.open("digits")
    ingest(house.source, house.bucket, house.rows, house.holdout, model="digits", take_next=False)
    training = manifest().training.model_copy(
        update={"settings": house.definition.settings.model_dump()}
    )
    elsewhere = manifest().environment.model_copy(update={"python": "3.0.0"})
    made = manifest().model_copy(
        update={
            "data": house.snapshot().lineage,
            "training": training,
            "environment": elsewhere,
        }
    )
    ModelRegistry(world.bucket, made.model).publish(made, FILES, SIGNER)
    # Time enough to begin a fit, and to end none.
    monkeypatch.setenv("OVERNIGHT_FIT_SECONDS", "0.2")

    with caplog.at_level(logging.WARNING):
        state = reproduce(version=VERSION, return_state=True)

    assert state.is_failed()
    assert "overnight.tasks.training.worker" in str(state.message)
    told = [
        record.getMessage() for record in caplog.records if "not as it was" in record.getMessage()
    ]
    assert [line.split(": ")[1] for line in told] == ["code", "packages", "python", "platform"]
    assert "here then" in told[-1]
