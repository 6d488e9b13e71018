"""Home: what happened, what waits, and decisions about it while the page stays open."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.runs import RunRecord, Runs
from tests.support.browser.page_watch import contrast, overflow
from tests.support.browser.serving_host import TOKEN, Host
from tests.support.serving import bucket_history, bundles
from tests.support.signing_keys import SIGNER, registry
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
REASON = "5 of 47 gates failed: accuracy 99.07 %, allowed 99.18 %"
HOME = "#home"
# Smaller targets are hard to hit with a finger (WCAG 2.2, 2.5.8).
SMALLEST_TARGET = 24


def publish_waiting(host: Host, number: int) -> str:
    """Publish a version that passed its gates against today's champion and waits for a person."""
    files = bundles.files(number) | {"report.html": bucket_history.REPORT}
    made = bucket_history.manifest(number, files).model_copy(
        update={"approval": "manual", "compared_with": host.champion().version}
    )
    ModelRegistry(host.bucket, made.model).publish(made, files, SIGNER)
    return made.version


@pytest.fixture(scope="module")
def refused(host: Host) -> Host:
    """The host after a refused night, with the next one planned, and a parked arrival."""
    now = datetime.now(UTC)
    record = RunRecord(
        model="digits",
        flow="retrain",
        run="00000000-0000-0000-0000-000000000001",
        event="ended",
        outcome="Refused",
        message=REASON,
        started=now - timedelta(hours=30),
        at=now - timedelta(hours=29),
        due=(now - timedelta(hours=5), now + timedelta(hours=19)),
    )
    Runs(host.bucket, "digits").keep(record)
    for arrival in ("night-7", "night-8"):
        ArrivalReviews(host.bucket, "digits").park(arrival, (), compared_with=None)
    return host


@pytest.fixture
def home(page: Page, refused: Host) -> Page:
    page.goto(refused.url)
    expect(page.locator(HOME)).to_contain_text("Refused")
    return page


def button(home: Page, action: str, name: str) -> Locator:
    return home.locator(HOME).get_by_role("button", name=f"{action} {name}")


def decide(home: Page, *, reason: str = "tried by hand", token: str | None = TOKEN) -> None:
    """Fill in the dialog and send it; without a token, the one of this tab is used."""
    home.locator("#reason-input").fill(reason)
    if token is not None:
        home.locator("#token").fill(token)
    home.locator("#confirm").click()


def test_a_refused_night_the_missed_and_the_next_run_are_told_on_the_first_screen(home):
    row = home.locator("#home-rows li").first

    expect(row).to_contain_text(REASON)
    expect(row).to_contain_text("Missed runs")
    expect(row).to_contain_text("1, the last 5 hours ago")
    expect(row).to_contain_text("Next run")
    row.get_by_text("Retrain now").press("Enter")
    # Polls go on meanwhile.
    with home.expect_response("**/api/models"), home.expect_response("**/api/traffic"):
        pass
    expect(row).to_contain_text("overnight retrain digits")
    expect(row.locator("summary")).to_be_focused()
    box = row.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900


def test_approval_and_rejection_are_decided_on_a_page_that_stays_open(home, refused):
    first = publish_waiting(refused, 6)
    approve = button(home, "Approve", f"{first} of digits")
    expect(home.locator("#home-state")).to_contain_text("decisions wait", timeout=90_000)
    approve.click()
    expect(home.locator("#admin-text")).to_contain_text("gates passed")

    decide(home, reason="")
    expect(home.locator("#admin-error")).to_have_text("A reason is required.")
    decide(home, token="not-a-token-of-this-host")
    expect(home.locator("#admin-error")).to_contain_text("This token is not known here")
    assert registry(refused.bucket).decisions.find(first) is None
    decide(home)

    expect(home.locator("#toast")).to_contain_text(f"{first} serves now")
    expect(home.locator("#version")).to_have_text(first)
    expect(approve).to_have_count(0)
    decision = registry(refused.bucket).decisions.find(first)
    assert decision is not None
    assert (decision.verdict, decision.by, decision.authenticated) == ("approved", "operator", True)

    second = publish_waiting(refused, 7)
    reject = button(home, "Reject", f"{second} of digits")
    expect(reject).to_be_visible(timeout=90_000)
    reject.click()
    expect(home.locator("#token-row")).to_be_hidden()
    decide(home, token=None)

    expect(reject).to_have_count(0)
    rejected = registry(refused.bucket).decisions.find(second)
    assert rejected is not None
    assert rejected.verdict == "rejected"
    assert refused.champion().version == first


def test_an_approval_that_came_too_late_says_what_serves_now(home, refused):
    late = publish_waiting(refused, 8)
    approve = button(home, "Approve", f"{late} of digits")
    expect(approve).to_be_visible(timeout=90_000)
    home.get_by_role("link", name="Page of digits").click()
    expect(home.locator("#awaits")).to_contain_text(f"{late} waits for approval")
    home.get_by_role("link", name="All models").click()
    bucket_history.promote(refused.bucket, 1)
    approve.click()
    decide(home)

    expect(home.locator("#admin-error")).to_contain_text("Nothing was changed.")
    expect(home.locator("#admin-error")).to_contain_text(bundles.version_name(1))
    assert registry(refused.bucket).decisions.find(late) is None


@pytest.mark.parametrize(
    ("action", "arrival", "verdict"),
    [("Accept", "night-7", "accepted"), ("Exclude", "night-8", "excluded")],
)
def test_an_arrival_is_decided_and_waits_no_more(home, refused, action, arrival, verdict):
    decision = button(home, action, f"{arrival} of digits")
    decision.click()
    decide(home, reason="the season began")

    expect(decision).to_have_count(0)
    review = ArrivalReviews(refused.bucket, "digits").decision(arrival)
    assert review is not None
    assert (review.verdict, review.reason) == (verdict, "the season began")


def test_an_earlier_version_is_promoted_from_the_table_of_versions(home, refused):
    before = refused.champion().version
    earlier = bundles.version_name(2)
    home.locator("#versions").get_by_role("button", name=f"Promote {earlier}").click()
    expect(home.locator("#admin-text")).to_contain_text(before)
    decide(home)

    expect(home.locator("#version")).to_have_text(earlier)
    record = refused.champion()
    assert (record.version, record.action, record.authenticated) == (earlier, "promoted", True)


def test_a_challenger_is_started_in_shadow_from_the_table_of_versions(home):
    version = bundles.version_name(3)
    home.locator("#versions").get_by_role("button", name=f"Shadow {version}").click()
    expect(home.locator("#admin-text")).to_contain_text("never returned")
    decide(home, reason="try it")

    expect(home.locator("#challenger-text")).to_contain_text(version)
    expect(home.locator("#challenger-text")).to_contain_text("try it")
    # There is one challenger at a time.
    expect(home.locator("#versions").get_by_role("button", name="Shadow")).to_have_count(0)


def test_an_outage_keeps_what_was_known_and_says_from_when(home):
    home.context.set_offline(True)
    expect(home.locator("#home-state")).to_contain_text("server cannot be reached; as of")
    expect(home.locator("#home-rows li").first).to_contain_text(REASON)

    home.context.set_offline(False)

    expect(home.locator("#home-state")).not_to_contain_text("cannot be reached")


def test_home_fits_a_phone_and_its_targets_are_large_enough(home):
    home.emulate_media(color_scheme="dark")
    home.set_viewport_size({"width": 390, "height": 844})

    until(lambda: overflow(home) == 0, what="no sideways scrolling")
    texts = (".home-row a", ".home-row .badge", ".home-row dt", ".home-row dd", "#home-state")
    assert min(contrast(home, text) for text in texts) >= 4.5
    targets = f"{HOME} a, {HOME} button, {HOME} summary, #home-link, #version-rows a, footer a"
    expect(home.locator("#version-rows td[data-title=Accuracy]").first).to_be_visible()
    for target in home.locator(targets).all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= SMALLEST_TARGET, target.inner_text()


def test_the_row_leads_to_the_page_of_its_model_and_back(home):
    expect(home).to_have_title("overnight")
    home.get_by_role("link", name="Page of digits").click()
    expect(home.locator(HOME)).to_be_hidden()
    expect(home.locator("#summary")).to_be_visible()
    expect(home).to_have_title("digits · overnight")
    expect(home.locator("#models [aria-current]")).to_have_text("digits")

    home.get_by_role("link", name="All models").click()

    expect(home.locator(HOME)).to_be_visible()
