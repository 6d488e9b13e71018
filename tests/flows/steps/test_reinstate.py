"""A run may reinstate an earlier version, or start from the champion's weights."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from overnight.flows.retrain import retrain
from overnight.store.objects.keys import new_version
from overnight.store.registry import versions
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from tests.flows.test_retrain import OVERRIDE, champion
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, alias_log, registry

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(600)]


def published(flow_environment: FlowEnvironment, version: str | None) -> Manifest:
    assert version is not None
    return ModelRegistry(flow_environment.bucket, "digits").manifest(version)


def serve(
    flow_environment: FlowEnvironment, made: Manifest, digit: str, files: Mapping[str, bytes]
) -> str:
    """Publish a version like another one, in which no gate was overruled, and promote it."""
    version = new_version(digit * 64, made.created_at + timedelta(minutes=1))
    changed = {"version": version, "fingerprint": digit * 64, "override": None}
    other = made.model_copy(update=changed | {"files": versions.entries(files)})
    ModelRegistry(flow_environment.bucket, other.model).publish(other, files, SIGNER)
    registry(flow_environment.bucket, "digits").decisions.decide(
        version, "approved", Actor("ann", "a test")
    )
    log = alias_log(flow_environment.bucket, "digits")
    log.append(version, expected=champion(flow_environment), actor=Actor("ann", "a test"))
    return version


def test_an_earlier_version_is_reinstated_and_a_later_run_starts_from_it(
    flow_environment: FlowEnvironment,
) -> None:
    flow_environment.land_digits("first", 0, 1_200)
    retrain(epochs=1, return_state=True, **OVERRIDE)
    overruled = published(flow_environment, champion(flow_environment))
    files = {
        name: ModelRegistry(flow_environment.bucket, overruled.model).read_file(overruled, name)
        for name in ("predictor.tflite", "network.keras")
    }
    first = serve(flow_environment, overruled, "e", files)
    # A champion that takes every digit for a zero.
    nonsense = serve(
        flow_environment, overruled, "f", files | {"predictor.tflite": bundles.network(400)}
    )

    flow_environment.land_digits("second", 1_200, 1_500)
    waits = ended(retrain(epochs=1, approval="manual", return_state=True))
    flow_environment.land_digits("third", 1_500, 1_800)
    returned = ended(retrain(epochs=1, return_state=True))

    assert waits[0] == "AwaitingApproval"
    assert f"overnight promote digits {first}" in waits[1]
    assert returned[0] == "Promoted", returned
    assert champion(flow_environment) == first
    assert (
        "beats the champion on the new arrivals"
        in alias_log(flow_environment.bucket, "digits").current().reason
    )

    again = ended(retrain(epochs=1, ingest_first=False, return_state=True))
    assert again[0] == "UpToDate", again

    warm = ended(
        retrain(start_from="champion", ingest_first=False, epochs=1, return_state=True, **OVERRIDE)
    )
    made = published(flow_environment, champion(flow_environment))
    assert warm[0] == "Promoted", warm
    assert made.version not in {first, nonsense}
    assert made.training.continued_from == first
    assert (made.training.settings["epochs"], made.training.settings["learning_rate"]) == (1, 0.004)
