"""A real Chromium, as the system has it."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from overnight.store.objects.s3 import S3Address
from tests.support.browser.serving_host import Host, host_with_a_past
from tests.support.s3_server import ACCESS, SECRET

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# A test browser needs none of the vendor's services; asking for them only slows it down.
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        assert os.environ.get("CI") != "true", "no Chromium; .ci/run installs one"
        pytest.skip("no Chromium on this machine; `apt-get install chromium` brings one")
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        sandbox = () if os.geteuid() else ("--no-sandbox",)
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--disable-gpu", "--no-first-run", *_QUIET, *sandbox]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A page in a context of its own; what it shows at the end is kept as a picture."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    yield page
    folder = Path(os.environ.get("OVERNIGHT_TEST_PICTURES", tmp_path))
    page.screenshot(path=folder / f"{request.node.name.replace('/', '-')}.png", full_page=True)
    context.close()


@pytest.fixture(scope="module")
def host(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One host with a past for all tests of a file."""
    address = S3Address(s3_endpoint, f"test-{uuid.uuid4().hex[:20]}", ACCESS, SECRET)
    with host_with_a_past(address, tmp_path_factory.mktemp("host")) as host:
        yield host
