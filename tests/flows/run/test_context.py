"""A flow's identity in the store is named by its code, and by nothing that a run brings."""

from pathlib import Path

import pytest

from overnight.flows.run.context import ModelContext
from overnight.infra import identities
from overnight.infra.stack.local_secrets import write_credentials


@pytest.mark.parametrize("brought", identities.NAMES)
def test_a_flow_that_carries_out_a_decision_acts_as_administration(
    brought: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_credentials(tmp_path)
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_IDENTITY", brought)

    decides = ModelContext.open("digits", "administration").settings
    trains = ModelContext.open("digits").settings

    own = identities.read(identities.path(tmp_path, "administration"))
    of_worker = identities.read(identities.path(tmp_path, brought))
    assert own is not None
    assert of_worker is not None
    assert decides.s3_access_key == own.access_key
    assert trains.s3_access_key == of_worker.access_key
