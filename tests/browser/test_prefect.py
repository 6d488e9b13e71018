"""A run started in the Prefect UI changes the serving page; a foreign page starts none."""

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Error, Locator, Page, expect

from overnight.tasks.outcomes import of_state
from tests.support.browser.prefect_ui import sign_in
from tests.support.stack import RunningStack
from tests.support.steady_load import steady
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]


def asked_run(stack: RunningStack) -> dict[str, object] | None:
    """The run that the browser started, once Prefect lists it."""
    runs = stack.prefect.filter("/flow_runs", sort="START_TIME_DESC", limit=20)
    return next(
        (dict(run) for run in runs if run["parameters"].get("requested_by") == "a browser"), None
    )


def ended_run(stack: RunningStack) -> dict[str, object] | None:
    """The same, once it has ended."""
    run = asked_run(stack)
    return run if run and run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"} else None


def number(page: Page, parameter: str) -> Locator:
    """The field of a number in the form; its label stands beside a choice of types."""
    label = f"//label[starts-with(normalize-space(.), '{parameter} ')]"
    return page.locator(f"{label}/ancestor::div[.//input[@type='number']][1]//input")


def choose(page: Page, parameter: str, value: str) -> None:
    """Choose a value of a parameter that has but a few."""
    page.get_by_label(f"Select {parameter}").click()
    page.get_by_role("option", name=value, exact=True).click()


def submit(page: Page, stack: RunningStack) -> None:
    """Submit the form once; a page that is still loading its schema can swallow a click."""
    for _ in range(5):
        if asked_run(stack):  # its answer is slow, and a second click would ask for a second run
            return
        with suppress(Error):
            page.get_by_role("button", name="Submit").click(timeout=5_000)
        with suppress(AssertionError):
            expect(page).not_to_have_url(re.compile(r"/run\?"), timeout=15_000)
            return
    raise AssertionError("the form did not go away: " + page.inner_text("main")[-500:])


def test_run_with_changed_parameters_completes_and_hot_reloads_the_page(
    browser: Browser, page: Page, stack: RunningStack
) -> None:
    before = stack.champion()
    watching = browser.new_page()
    watching.goto(stack.serving_url)
    expect(watching.locator("#version")).to_have_text(before)
    (deployment,) = (
        deployment
        for deployment in stack.prefect.filter("/deployments")
        if deployment["entrypoint"].startswith("overnight.flows.retrain")
        and deployment["name"] == "digits"
    )

    sign_in(page, stack)
    page.goto(f"{stack.prefect_url}/v2/deployments/deployment/{deployment['id']}")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    number(page, "epochs").fill("2")
    number(page, "seed").fill("7")
    choose(page, "start_from", "champion")
    page.get_by_label("requested_by (Optional)").fill("a browser")
    submit(page, stack)

    with steady(stack.serving_url) as tally:
        run = until(
            lambda: ended_run(stack), seconds=1_200, what="the run that the browser asked for ends"
        )
        assert run is not None
        assert of_state(run["state"]).outcome == "Promoted", run["state"]
        after = stack.champion()
        assert after != before
        expect(watching.locator("#version")).to_have_text(after)
        until(lambda: tally.answers[after] > 20, what="answers by the new version")

    # Requests during the reload saw nothing but another version in the header.
    assert tally.failures == []
    assert set(tally.answers) == {before, after}

    page.goto(f"{stack.prefect_url}/v2/runs/flow-run/{run['id']}?tab=Artifacts")
    expect(page.get_by_text("digits-retrain").first).to_be_visible()
    watching.close()


# What a page of another origin can send: as scripts do, as forms do, and over a stream. Each entry
# says what came of it.
_TRY_ALL = """async (api) => {
  const json = {method: "POST", headers: {"Content-Type": "application/json"}};
  const flow = {...json, body: '{"name": "taken over"}'};
  const form = {method: "POST", mode: "no-cors", body: '{"name": "taken over"}'};
  const result = async (name, options) => {
    try {
      const answer = await fetch(api + name, options);
      return answer.type === "opaque" ? "unread" : String(answer.status);
    } catch { return "unread"; }
  };
  const stream = new Promise(resolve => {
    const socket = new WebSocket(api.replace("http", "ws") + "/events/in", ["prefect"]);
    socket.onopen = () => socket.send('{"type": "auth", "token": null}');
    socket.onmessage = () => resolve("let in");
    socket.onclose = () => resolve("closed");
  });
  return {
    "reads": await result("/deployments/filter", {...json, body: "{}"}),
    "reads without asking": await result("/health", {}),
    "creates": await result("/flows/", flow),
    "creates with a password it guesses": await result("/flows/", {
      ...flow, headers: {...flow.headers, Authorization: "Basic b3Zlcm5pZ2h0Og=="},
    }),
    "sends a form": await result("/flows/", form),
    "streams": await stream,
  };
}"""


class _Foreign(BaseHTTPRequestHandler):
    """A page of another origin, served by this machine: browsers restrict the others even more."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p>hello</p>")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def foreign_origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Foreign) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_of_another_origin_starts_and_reads_nothing(
    page: Page, stack: RunningStack, foreign_origin: str
) -> None:
    # The browser is signed in, as that of an operator would be.
    sign_in(page, stack)
    foreign = page.context.new_page()
    foreign.goto(foreign_origin)

    came_of_it = foreign.evaluate(_TRY_ALL, f"{stack.prefect_url}/api")

    # A form can be sent anywhere, so it is the server that refuses it for want of a password.
    assert came_of_it == {
        "reads": "unread",
        "reads without asking": "unread",
        "creates": "unread",
        "creates with a password it guesses": "unread",
        "sends a form": "unread",
        "streams": "closed",
    }
    flows = stack.prefect.filter("/flows", flows={"name": {"any_": ["taken over"]}})
    assert flows == []
    foreign.close()
