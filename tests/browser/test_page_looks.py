"""Layout, contrast and network requests of the dashboard."""

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser.page_watch import contrast, overflow, scribble, watch
from tests.support.browser.serving_host import FAILED, gates_of

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

TEXTS = (
    "body", "h1", "h2", ".quiet", "#health-text", "#confidence", "#label", "#bars .share",
    "#version", "dt", "dd", "thead th", "td", ".badge", ".badge.plain", ".badge.back", "td a",
    "#roll-back", "#versions button.failed", ".gate.failed", ".gates .quiet", ".sign",
    "#models a", ".key", ".key b", "footer a", "#agreement",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, host, scheme):
    size = {"width": 360, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme, has_touch=True)
    page = context.new_page()
    page.goto(host.url)
    scribble(page)
    page.locator("#compare-version").select_option(index=1)
    gates_of(page, FAILED).click()
    expect(page.locator("#agreement")).to_contain_text("redict")

    assert overflow(page) == 0
    page.locator("#roll-back").click()
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size["width"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_sufficient_contrast(browser: Browser, host, scheme):
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(host.url)
    scribble(page)
    page.locator("#compare-version").select_option(index=1)
    gates_of(page, FAILED).click()
    expect(page.locator("#agreement")).to_contain_text("redict")

    actual = {text: round(contrast(page, text), 2) for text in TEXTS}

    assert {text: ratio for text, ratio in actual.items() if ratio < 4.5} == {}
    assert page.locator("#bars .length").first.evaluate(
        "bar => getComputedStyle(bar).transitionDuration"
    ) in {"0s", ""}
    page.locator("#roll-back").click()
    page.locator("#confirm").click()
    dialog_texts = ("#admin-text", "#admin-error", "#confirm", "#reason-help")
    assert min(contrast(page, text) for text in dialog_texts) >= 4.5
    context.close()


def test_the_page_requests_no_other_host_and_logs_no_error(page, host):
    seen = watch(page)
    page.goto(host.url)
    expect(page.locator("#version-rows")).to_contain_text(FAILED)
    scribble(page)
    page.locator("#compare-version").select_option(index=1)
    expect(page.locator("#agreement")).to_contain_text("redict")
    gates_of(page, FAILED).click()
    page.locator("#roll-back").click()

    assert seen.complaints == []
    assert seen.hosts() == {host.url.removeprefix("http://")}
