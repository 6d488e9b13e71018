"""Every model in the catalogue passes the suite that a user's models pass, on its genuine rows."""

from pathlib import Path

import pytest

from overnight import models
from overnight.models.definition import Places
from overnight.tasks.contract import suite
from overnight.tasks.contract.checks import CHECKS
from overnight.tasks.contract.suite import Outcome

pytestmark = [pytest.mark.training, pytest.mark.servers]


@pytest.fixture(scope="module", params=models.names())
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """The genuine digits, or what the model's source brings along; a few thousand rows of them."""
    model: str = request.param
    folder: Path | None = None
    if model == "digits":
        folder = request.getfixturevalue("digits_folder")
    places = Places(folder=folder, cache=tmp_path_factory.mktemp("sources"))
    checked = suite.run(models.find(model), places, tmp_path_factory.mktemp(model), seconds=120)
    return {outcome.check: outcome for outcome in checked}


@pytest.mark.parametrize("check", CHECKS)
def test_the_contract_holds(outcomes: dict[str, Outcome], check: str) -> None:
    assert outcomes[check].passed, str(outcomes[check])
