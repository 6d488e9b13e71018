"""Prefect's UI in a browser."""

from playwright.sync_api import Page, expect

from tests.support.stack import RunningStack


def sign_in(page: Page, stack: RunningStack) -> None:
    """Paste the password that `overnight up` prints; the browser keeps it."""
    page.goto(f"{stack.prefect_url}/v2/login")
    page.get_by_placeholder("admin:pass").fill(stack.prefect_auth)
    page.get_by_role("button", name="Login").click()
    expect(page).not_to_have_url(f"{stack.prefect_url}/v2/login")
