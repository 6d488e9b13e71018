"""Differences of the environment are logged before a version is trained again."""

import logging

import pytest

from overnight.flows.reproduce import reproduce
from overnight.flows.run.context import ModelContext
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.ingest import ingest
from tests.support.examples import FILES, VERSION, manifest
from tests.support.flow_environment import FlowEnvironment
from tests.support.signing_keys import SIGNER

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def test_another_environment_is_logged_before_anything_is_trained(
    flow_environment: FlowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow_environment.land_digits("few", 0, 44)
    context = ModelContext.open("digits")
    ingest(
        context.source,
        context.bucket,
        context.rows,
        context.holdout,
        model="digits",
        take_next=False,
    )
    training = manifest().training.model_copy(
        update={"settings": context.definition.settings.model_dump()}
    )
    elsewhere = manifest().environment.model_copy(update={"python": "3.0.0"})
    made = manifest().model_copy(
        update={
            "data": context.snapshot().lineage,
            "training": training,
            "environment": elsewhere,
        }
    )
    ModelRegistry(flow_environment.bucket, made.model).publish(made, FILES, SIGNER)
    # Enough to start a fit, and too short to finish it.
    monkeypatch.setenv("OVERNIGHT_FIT_SECONDS", "0.2")

    with caplog.at_level(logging.WARNING):
        state = reproduce(version=VERSION, return_state=True)

    assert state.is_failed()
    assert "overnight.tasks.training.worker" in str(state.message)
    lines = [
        record.getMessage() for record in caplog.records if "not as it was" in record.getMessage()
    ]
    assert [line.split(": ")[1] for line in lines] == ["code", "packages", "python", "platform"]
    assert "here then" in lines[-1]
