"""A source that fails costs nothing else that a run does, and its failure is said."""

from collections.abc import Collection
from dataclasses import replace

import pytest
from prefect.client.schemas.objects import State

from overnight.flows.ingest import ingest
from overnight.flows.retrain import retrain
from overnight.models import digits
from overnight.models.definition import Delivery
from overnight.models.digits.source import DigitsSource
from overnight.models.errors import UnusableSource
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended as support_ended

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
FAILURE = (
    "the source gave nothing: the digits: expected digits, found a page of HTML. "
    "To continue, check the address"
)


class Failing(DigitsSource):
    """The digits, at an address that answers with something else."""

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        raise UnusableSource(
            "the digits",
            expected="digits",
            found="a page of HTML",
            remedy="check the address",
        )


def ended(state: State) -> tuple[str, str, str]:
    outcome, message = support_ended(state)
    return outcome, state.type.value, message


@pytest.mark.usefixtures("constant_digits")
def test_what_waits_is_ingested_and_trained_and_a_run_without_other_work_is_red(
    flow_environment: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "DEFINITION", replace(digits.DEFINITION, open_source=Failing))
    flow_environment.land_digits("few", 0, 1_200)

    waiting = ended(ingest("digits", return_state=True))
    nothing = ended(ingest("digits", return_state=True))
    trained = ended(retrain(epochs=1, return_state=True))
    up_to_date = ended(retrain(epochs=1, return_state=True))

    assert waiting[:2] == ("Ingested", "COMPLETED")
    assert "source" not in waiting[2]
    assert nothing[:2] == up_to_date[:2] == ("SourceFailed", "FAILED")
    assert trained[:2] == ("Refused", "COMPLETED")
    assert "AtLeast accuracy" in trained[2]
    assert all(FAILURE in message for _, _, message in (nothing, trained, up_to_date))
