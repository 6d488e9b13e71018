"""WCAG 2.2 AA on every page, in both colour schemes and on a phone, as axe-core checks it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from overnight.tasks.reporting import markdown
from tests.support.browser.page_watch import scribble
from tests.support.browser.serving_host import FAILED, Host, gates_of

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Loads of a phone and of a desk, each once in light and in dark.
VIEWS = {"light": (1440, 900), "dark": (390, 844)}


def home(page: Page, host: Host) -> None:
    page.goto(host.url)
    expect(page.locator("#home-rows li")).to_be_visible()
    expect(page.locator("#version-rows")).to_contain_text(FAILED)


def model_with_open_gates(page: Page, host: Host) -> None:
    page.goto(f"{host.url}/#digits")
    scribble(page)
    page.locator("#compare-version").select_option(index=1)
    expect(page.locator("#agreement")).to_contain_text("redict")
    gates_of(page, FAILED).click()


def dialog_with_an_error(page: Page, host: Host) -> None:
    page.goto(host.url)
    page.locator("#roll-back").click()
    page.locator("#confirm").click()
    expect(page.locator("#admin-error")).to_be_visible()


def documentation(page: Page, host: Host) -> None:
    page.goto(f"{host.url}/docs")
    for summary in page.locator("article").first.locator("summary").all():
        summary.click()


PAGES: dict[str, Callable[[Page, Host], None]] = {
    "home": home,
    "model": model_with_open_gates,
    "dialog": dialog_with_an_error,
    "docs": documentation,
}


def violations(page: Page) -> list[str]:
    """What axe found, each with the elements that it is about."""
    options = {"runOnly": RULES, "resultTypes": ["violations"]}
    return [
        f"{found['id']}: {found['help']}: {[node['target'] for node in found['nodes']][:4]}"
        for found in Axe().run(page, options=options).response["violations"]
    ]


@pytest.mark.parametrize("scheme", VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Browser, host: Host, name: str, scheme: str) -> None:
    width, height = VIEWS[scheme]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    PAGES[name](page, host)

    found = violations(page)

    context.close()
    assert found == []


REPORT = "\n\n".join(
    [
        "# Promoted",
        "Accuracy 99.48 %, +0.02 points.",
        markdown.table(("gate", "value"), (("Accuracy", "99.48 %"), ("Loss", "0.02"))),
        markdown.fold("All gates", markdown.table(("gate", "value"), (("Accuracy", "99.48 %"),))),
    ]
)


@pytest.mark.parametrize("scheme", VIEWS)
def test_axe_finds_nothing_in_a_report(browser: Browser, tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(markdown.page(REPORT, title="digits 20261122T000001"))
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(file.as_uri())

    found = violations(page)

    context.close()
    assert found == []
