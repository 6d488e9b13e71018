"""A finished run is found by Prefect's own filters, and its outcome is in what its lists show."""

import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.ending import end, label_decided, run_name
from overnight.infra.prefect_api import PrefectApi
from overnight.tasks.outcomes import Outcome

pytestmark = pytest.mark.servers
# What both of Prefect's UIs send for "All except scheduled", which their deployment page begins
# with: names of states, and none of ours.
_ALL_BUT_SCHEDULED = [
    "Late", "Resuming", "AwaitingRetry", "AwaitingConcurrencySlot", "Pending", "Paused",
    "Suspended", "Running", "Retrying", "Completed", "Cached", "Cancelled", "Cancelling",
    "Crashed", "Failed", "TimedOut",
]  # fmt: skip


@flow(name="ends", flow_run_name=run_name, persist_result=False)
def ends(outcome: Outcome, model: str = "digits") -> State:
    return end(outcome, f"what became of {model}")


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("Refused", "COMPLETED"), ("Unconfirmed", "FAILED"), ("Denied", "CANCELLED")],
)
def test_a_finished_run_is_in_the_lists_of_the_ui_with_its_outcome(prefect_server, outcome, kind):
    api = PrefectApi(prefect_server)

    state = ends(outcome, return_state=True)

    criteria = {
        "id": {"any_": [str(state.state_details.flow_run_id)]},
        "state": {"name": {"any_": _ALL_BUT_SCHEDULED}},
        "tags": {"all_": [outcome]},
    }
    (run,) = api.filter("/flow_runs", flow_runs=criteria)
    at = run["expected_start_time"][:16].replace("T", " ")
    assert run["name"] == f"digits {at} {outcome}"
    assert (run["state_type"], run["state"]["message"]) == (
        kind,
        f"{outcome}: what became of digits",
    )


def test_a_run_that_waited_is_found_by_the_decision_about_it(prefect_server):
    api = PrefectApi(prefect_server)
    state = ends("AwaitingApproval", return_state=True)
    waited = str(state.state_details.flow_run_id)

    @flow(name="decides", persist_result=False)
    def decides() -> None:
        label_decided(waited, "Approved")
        label_decided(waited, "Rejected")
        label_decided("gone", "Approved")

    decides()

    run = api.find(f"/flow_runs/{waited}")
    assert run is not None
    assert run["name"].endswith(" Approved")
    assert run["tags"] == ["Approved"]


def test_a_name_that_a_person_typed_stays(prefect_server):
    api = PrefectApi(prefect_server)
    named = ends.with_options(flow_run_name=lambda: "a try of ann's")
    typed = named("Kept", return_state=True)

    run = api.find(f"/flow_runs/{typed.state_details.flow_run_id}")

    assert run is not None
    assert run["name"] == "a try of ann's Kept"
