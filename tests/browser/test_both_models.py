"""Runs and versions of both models in the Prefect UI and on the page."""

import pytest
from playwright.sync_api import Page, expect

from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from tests.support.browser.page_watch import watch
from tests.support.browser.prefect_ui import sign_in
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]


def test_a_run_of_sales_is_in_the_prefect_ui(page: Page, stack: RunningStack) -> None:
    # No baskets came in here, so that it ends within seconds. One of digits is in test_prefect.py.
    ended = stack.overnight("retrain", "sales", "--no-ingest-first")
    assert ended.returncode == NOTHING_TO_DO, ended.stdout + ended.stderr
    (run,) = (
        run
        for run in stack.prefect.filter("/flow_runs", limit=50)
        if run["parameters"].get("model") == "sales" and run["state_type"] == "COMPLETED"
    )

    sign_in(page, stack)
    page.goto(f"{stack.prefect_url}/v2/runs/flow-run/{run['id']}?tab=Artifacts")

    expect(page.get_by_text("sales-retrain").first).to_be_visible()


def test_the_page_forecasts_sales_and_classifies_digits(page: Page, stack: RunningStack) -> None:
    seen = watch(page)
    champion = stack.query_json("status")["models"]["sales"]["champion"]["version"]

    page.goto(stack.serving_url)
    page.locator("#models").get_by_role("link", name="sales").click()

    expect(page.locator("#version")).to_have_text(champion)
    expect(page.locator("#attribution-parts li").first).to_be_visible()
    expect(page.locator("#forecast-chart .band")).to_have_count(1)
    expect(page.locator("#metric")).to_have_text("WAPE")
    assert float(page.locator("#forecast-value").inner_text()) >= 0

    # Each poll brings the models anew, and the form must not mistake them for others.
    page.locator("#models").get_by_role("link", name="digits").click()
    expect(page.locator("#drawing-card")).to_be_visible()
    page.locator("#models").get_by_role("link", name="sales").click()
    expect(page.locator("#forecast-form")).to_be_visible()
    with page.expect_response("**/infer") as asked:
        page.get_by_role("button", name="Predict", exact=True).click()
    assert asked.value.status == 200
    expect(page.locator("#forecast-error")).to_be_empty()
    expect(page.locator("#forecast-result")).to_be_visible()
    assert seen.complaints == []
