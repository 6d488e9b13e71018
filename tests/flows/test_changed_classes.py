"""A version whose classes have nothing in common with the champion's waits for a person."""

from dataclasses import replace

import pytest

from overnight.flows.promote import promote
from overnight.flows.retrain import retrain
from overnight.models import digits
from overnight.models.gates import AtLeast, MaximumRegression
from overnight.store.registry.registry import ModelRegistry
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended
from tests.support.signing_keys import alias_log

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def test_a_version_that_no_gate_can_compare_is_published_and_waits_for_approval(
    flow_environment: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a champion, and then other names for every class.
    constant = replace(
        digits.DEFINITION,
        network="tests.support.networks.constant",
        gates=(AtLeast("accuracy", 0.0), MaximumRegression(margin=0.01)),
        reinstatement=None,
        approval="automatic",
    )
    monkeypatch.setattr(digits, "DEFINITION", constant)
    flow_environment.land_digits("few", 0, 1_200)
    name, message = ended(retrain(epochs=1, return_state=True))
    assert name == "Promoted", message
    renamed = constant.tensors.model_copy(
        update={"labels": tuple(f"digit {label}" for label in constant.tensors.labels)}
    )
    monkeypatch.setattr(digits, "DEFINITION", replace(constant, tensors=renamed))

    # When it trains anew, without anything to ingest.
    name, message = ended(retrain(epochs=1, ingest_first=False, force=True, return_state=True))

    # Then no gate could compare it, and it is not champion before a person says so.
    assert name == "AwaitingApproval", message
    assert "a person decides, because it cannot be compared with" in message
    assert "their classes differ" in message
    registry = ModelRegistry(flow_environment.bucket, "digits")
    first, second = registry.versions()
    manifest = registry.manifest(second)
    assert (manifest.approval, manifest.compared_with) == ("manual", first)
    assert [finding.applicable for finding in manifest.findings] == [True, False]
    current = alias_log(flow_environment.bucket, "digits").current()
    assert current is not None
    assert current.version == first
    name, message = ended(
        promote(version=second, model="digits", reason="the names are better", return_state=True)
    )
    assert name == "Promoted", message
