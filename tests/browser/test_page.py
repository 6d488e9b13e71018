"""The dashboard: comparison of versions, deployment history, traffic, rollback and challenger."""

import json
from functools import partial

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from overnight.store.registry.actor import Actor
from overnight.store.registry.promotions import Promotions
from tests.support.browser.page_watch import scribble, watch
from tests.support.browser.serving_host import FAILED, TOKEN, Host, gates_of
from tests.support.serving import bucket_history, bundles
from tests.support.signing_keys import registry
from tests.support.steady_load import steady
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]


@pytest.fixture
def shown(page: Page, host: Host) -> Page:
    """The page, once everything is loaded."""
    page.goto(host.url)
    expect(page.locator("#version")).to_have_text(host.champion().version)
    expect(page.locator("#deployments-rows tr").first).to_contain_text(host.champion().version)
    expect(page.locator("#version-rows")).to_contain_text(FAILED)
    return page


def bars(page: Page, prefix: str) -> list[float]:
    """The probabilities that a panel shows."""
    located = page.locator(f"#{prefix}bars [data-label]").all()
    return [float(bar.get_attribute("data-probability") or "nan") for bar in located]


def test_two_versions_predict_the_same_drawing(shown, host):
    champion = host.champion().version
    other = shown.locator("#compare-version option").nth(1).get_attribute("value")
    shown.locator("#compare-version").select_option(other)

    # Strokes during a request cause one more: only the newest request has the whole drawing.
    sent: list[str] = []
    shown.on(
        "request", lambda item: sent.append(item.post_data or "") if other in item.url else None
    )
    scribble(shown)
    expect(shown.locator("#agreement")).to_contain_text("redict")
    shown.locator("#drawing").focus()
    shown.keyboard.press("Space")

    def is_shown(prefix: str, version: str) -> bool:
        pixels = np.array(json.loads(sent[-1])["inputs"][0]["data"], np.uint8)
        expected = bundles.probabilities(int(version[-12:], 16), pixels.reshape(1, 28, 28))[0]
        return bars(shown, prefix) == pytest.approx(expected.tolist(), abs=1e-5)

    for prefix, version in (("", champion), ("compared-", other)):
        until(partial(is_shown, prefix, version), what=f"{version} reads what it was sent")
    shown.locator("#compare-version").select_option("")
    expect(shown.locator("#compared-panel")).to_be_hidden()


def test_deployments_appear_with_actor_and_reason(shown, host):
    before = host.champion()

    target = next(
        version
        for version in (bundles.version_name(1), bundles.version_name(3))
        if version != before.version
    )
    record = Promotions(registry(host.bucket, "digits")).roll_back(
        expected=before.version, to=target, actor=Actor("grace", "it reads badly")
    )

    newest = shown.locator("#deployments-rows tr").first
    expect(newest).to_contain_text("it reads badly")
    expect(newest).to_contain_text("rolled back")
    expect(newest).to_contain_text("grace")
    expect(newest).to_contain_text(record.version)
    expect(shown.locator("#version")).to_have_text(record.version)
    expect(shown.locator("#timeline .band")).to_have_count(record.sequence)
    expect(shown.locator("#timeline .band.current title")).to_contain_text("it reads badly")


def test_gates_expand_with_failed_ones_first_and_their_margins(shown):
    button = gates_of(shown, FAILED)
    assert button.get_attribute("aria-expanded") == "false"
    details = shown.locator(f"#gates-{FAILED}")
    expect(details).to_be_hidden()

    button.click()

    expect(button).to_have_attribute("aria-expanded", "true")
    rows = details.locator("tbody tr")
    expect(rows).to_have_count(len(list(bucket_history.findings(4))))
    expect(rows.first).to_contain_text("WithinBudget")
    expect(rows.first).to_contain_text("failed")
    expect(details.locator("svg.margin")).to_have_count(len(list(bucket_history.findings(4))))
    expect(rows.first).to_contain_text("≤ ")
    # Beyond the bound in the drawing as well.
    drawn = rows.first.locator("svg")
    bound = float(drawn.locator(".bound").get_attribute("x1") or "nan")
    assert float(drawn.locator(".value").get_attribute("cx") or "nan") > bound
    expect(shown.locator("#version-rows")).to_contain_text("rejected by its gates")


def test_a_report_opens_in_a_new_page(shown):
    with shown.context.expect_page() as opened:
        shown.get_by_role("link", name="report").first.click()

    expect(opened.value.get_by_role("heading")).to_have_text("What the run told")


def test_a_rollback_needs_a_reason_and_a_valid_token(shown, host):
    seen, before = watch(shown), host.champion()
    shown.get_by_role("button", name="Roll back …").click()
    dialog = shown.get_by_role("dialog", name="Roll back digits")
    target = dialog.locator("#target").input_value()
    confirm, error = dialog.locator("#confirm"), dialog.get_by_role("alert")

    confirm.click()
    expect(error).to_contain_text("A reason is required")
    dialog.get_by_label("Reason").fill("sevens were read as ones")
    confirm.click()
    expect(error).to_contain_text("token")
    dialog.get_by_label("Administrator token").fill("not-the-token-of-anybody")
    confirm.click()
    expect(error).to_contain_text("Nothing was changed")
    assert host.champion() == before

    dialog.get_by_label("Administrator token").fill(TOKEN)
    confirm.click()

    expect(dialog).to_be_hidden()
    expect(shown.locator("#version")).to_have_text(target)
    record = host.champion()
    assert (record.version, record.by, record.action) == (target, "operator", "rolled back")
    assert record.reason == "sevens were read as ones"
    expect(shown.locator("#deployments-rows tr").first).to_contain_text("operator")
    # The token is requested once per tab, and is in no URL.
    shown.get_by_role("button", name="Roll back …").click()
    expect(dialog.get_by_label("Administrator token")).to_be_hidden()
    assert not any(TOKEN in url for url in seen.requested)
    assert not shown.evaluate("JSON.stringify(localStorage) + document.cookie").count(TOKEN)
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_label("Administrator token")).to_be_visible()


def test_after_a_rollback_the_page_offers_the_version_that_served_further_back(shown, host):
    for number in (2, 3):
        if host.champion().version != bundles.version_name(number):
            bucket_history.promote(host.bucket, number)
    record = Promotions(registry(host.bucket, "digits")).roll_back(
        expected=bundles.version_name(3), to=None, actor=Actor("ada", "sevens were read as ones")
    )
    expect(shown.locator("#version")).to_have_text(record.version)
    expect(shown.locator("#deployments-rows tr").first).to_contain_text(record.version)

    shown.get_by_role("button", name="Roll back …").click()

    offered = shown.get_by_role("dialog", name="Roll back digits").locator("#target option:checked")
    expect(offered).to_have_text(f"{host.served_before(record.version)} (previous)")


def test_an_interrupted_request_is_reported_as_unknown_outcome(shown, host):
    before = host.champion()
    shown.route("**/rollback", lambda route: route.abort())
    shown.get_by_role("button", name="Roll back …").click()
    dialog = shown.get_by_role("dialog", name="Roll back digits")
    dialog.get_by_label("Reason").fill("sevens were read as ones")
    dialog.get_by_label("Administrator token").fill(TOKEN)

    dialog.locator("#confirm").click()

    expect(dialog.get_by_role("alert")).to_contain_text("unknown whether anything changed")
    assert host.champion() == before


@pytest.mark.parametrize("answer", ["{", '{"models": [{}]}'])
def test_an_invalid_response_does_not_end_the_polling(page, host, answer):
    page.route(
        "**/api/models", lambda route: route.fulfill(body=answer, content_type="application/json")
    )
    page.goto(host.url)
    expect(page.locator("#health")).to_have_attribute("data-state", "down")

    page.unroute("**/api/models")

    expect(page.locator("#version")).to_have_text(host.champion().version)


def test_a_challenger_is_shown_with_its_figures_and_can_be_stopped(shown, host):
    expect(shown.locator("#challenger")).to_be_hidden()
    served = host.champion().version
    version = next(v for v in map(bundles.version_name, (1, 2, 3)) if v != served)
    started = shown.request.post(
        f"{host.url}/api/models/digits/challenger",
        data={"version": version, "mode": "shadow", "share": 0.25, "reason": "a second opinion"},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert started.ok, started.text()

    expect(shown.locator("#challenger-text")).to_contain_text(f"{version} gets a copy of 25 %")
    expect(shown.locator("#challenger-text")).to_contain_text("a second opinion")
    expect(shown.locator("#challenger-figures")).to_contain_text("Disagreements")
    shown.get_by_role("button", name="Stop …").click()
    dialog = shown.get_by_role("dialog", name="Stop the challenger of digits")
    dialog.get_by_label("Reason").fill("seen enough")
    dialog.get_by_label("Administrator token").fill(TOKEN)
    with shown.expect_request(lambda item: item.method == "DELETE") as request:
        dialog.get_by_role("button", name="Stop challenger").click()

    assert json.loads(request.value.post_data)["expected"] == version
    expect(dialog).to_be_hidden()
    expect(shown.locator("#challenger")).to_be_hidden()


def test_the_charts_follow_the_traffic(shown, host):
    path = shown.locator("#rate-chart .line.first")
    before = path.get_attribute("d")

    with steady(host.url):
        until(lambda: path.get_attribute("d") != before, what="the line moves")
        expect(shown.locator("#rate-now")).not_to_have_text("0")
        expect(shown.locator("#p99-now")).to_contain_text("s")
    label = shown.locator("#rate-chart").get_attribute("aria-label") or ""
    assert "requests per second" in label.lower()


def test_every_control_is_reachable_by_keyboard(shown):
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.keyboard.press("Enter")
    reached: list[str] = []
    while "metrics" not in reached:
        shown.keyboard.press("Tab")
        focused = shown.locator(":focus")
        reached.append(focused.evaluate("it => it.id || it.textContent.trim()"))
        # The drawing shows its focus by its frame.
        ring = focused.evaluate(
            "it => (it.id === 'drawing' ? it.parentElement : it).matches("
            "':focus-visible, :has(:focus-visible)')"
        )
        assert ring, reached
    expected = ["clear", "drawing", "compare-version", "roll-back"]
    assert [item for item in reached if item in expected] == expected

    gates_of(shown, FAILED).focus()
    shown.keyboard.press("Enter")
    expect(shown.locator(f"#gates-{FAILED}")).to_be_visible()
    shown.locator("#roll-back").focus()
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("dialog")).to_be_visible()
    shown.keyboard.press("Escape")
    expect(shown.get_by_role("dialog")).to_be_hidden()
    assert shown.evaluate("document.activeElement.id") == "roll-back"
