"""An operator presses *Run* in the Prefect UI, and the serving page changes under their eyes."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.deadline import until
from tests.stack import RunningStack

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]


def newest_run(stack: RunningStack) -> dict[str, object]:
    found = stack.prefect.filter("/flow_runs", sort="EXPECTED_START_TIME_DESC", limit=1)
    run: dict[str, object] = found[0]
    return run


def test_run_with_changed_parameters_completes_and_hot_reloads_the_page(
    browser: Browser, page: Page, stack: RunningStack
) -> None:
    before = stack.champion()
    watching = browser.new_page()
    watching.goto(stack.serving_url)
    expect(watching.locator("#version")).to_have_text(before)
    (deployment,) = (
        found
        for found in stack.prefect.filter("/deployments")
        if found["entrypoint"].startswith("flows.retrain")
    )

    page.goto(f"{stack.prefect_url}/v2/deployments/deployment/{deployment['id']}")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.get_by_label(re.compile("^seed", re.IGNORECASE)).fill("7")
    page.get_by_label(re.compile("^by", re.IGNORECASE)).fill("a browser")
    page.get_by_role("button", name="Submit").click()

    def ended() -> dict[str, object] | None:
        run = newest_run(stack)
        asked = run["parameters"]
        assert isinstance(asked, dict)
        finished = run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}
        return run if finished and asked.get("by") == "a browser" else None

    run = until(ended, seconds=1_200, what="the run that the browser asked for ends")
    assert run["state_name"] == "Promoted", run["state"]
    after = stack.champion()
    assert after != before
    expect(watching.locator("#version")).to_have_text(after)

    page.goto(f"{stack.prefect_url}/v2/runs/flow-run/{run['id']}?tab=Artifacts")
    expect(page.get_by_text("digits-retrain").first).to_be_visible()
    watching.close()
