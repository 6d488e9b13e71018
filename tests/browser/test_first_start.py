"""An empty home: `overnight up` trains a first version of every model, and serves both.

It takes minutes, so it is in `make faults`; every other stack imports what a release trained.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from overnight.models import catalogue
from overnight.store.objects.keys import is_version
from overnight.tasks.outcomes import of_state
from tests.faults.test_stack_recovery import answers
from tests.support.browser.prefect_ui import sign_in
from tests.support.stack import RunningStack, new_stack, stopped_afterwards

pytestmark = [pytest.mark.servers, pytest.mark.thorough, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Iterator[RunningStack]:
    stack = new_stack(tmp_path_factory.mktemp("empty"), digits_folder)
    with stopped_afterwards(stack):
        stack.succeeds("up", seconds=1_500)
        yield stack


def test_up_trains_what_has_no_champion_and_serves_it(empty: RunningStack) -> None:
    status = empty.query_json("status")

    assert status["ready"]
    assert status["problems"] == []
    for model in catalogue():
        assert is_version(status["models"][model]["champion"]["version"])
        assert [
            acknowledgement["serving"]
            for acknowledgement in status["models"][model]["acknowledgements"]
        ] == [True]
    assert {run["state"] for run in status["runs"]} == {"Promoted"}
    assert answers(empty) == status["models"]["digits"]["champion"]["version"]


@pytest.mark.parametrize("model", sorted(catalogue()))
def test_the_first_run_of_a_model_is_in_the_prefect_ui(
    page: Page, empty: RunningStack, model: str
) -> None:
    (run,) = (
        run
        for run in empty.prefect.filter("/flow_runs", limit=50)
        if run["parameters"].get("model") == model and of_state(run["state"]).outcome == "Promoted"
    )

    sign_in(page, empty)
    page.goto(f"{empty.prefect_url}/v2/runs/flow-run/{run['id']}?tab=Artifacts")

    expect(page.get_by_text(f"{model}-retrain").first).to_be_visible()
