"""The page of a model: its candidates over time, refused ones too, and their gates."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from overnight.store.registry.manifest import Measurement
from overnight.store.registry.refusals import Refusal, Refusals
from tests.support.browser.page_in_memory import page_of
from tests.support.browser.page_watch import contrast, overflow, watch
from tests.support.serving import bucket_history, bundles
from tests.support.serving.stepped_host import Flaky
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
TABLE = "#candidates-table tbody tr:not(.details)"
SMALLEST_TARGET = 24
FINGERPRINT = "fade" * 16


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a host with five versions, and a candidate that was refused for its accuracy."""
    bucket = Flaky()
    bucket_history.hand_over(bucket)
    bucket_history.publish(bucket, 3)
    bucket_history.publish(bucket, 4, approved=False)
    bucket_history.publish(bucket, 5, approved=None)
    whole = Measurement(metric="accuracy", value=0.9907, n=10_000, low=0.9887, high=0.9925)
    Refusals(bucket, "digits").keep(
        Refusal(
            model="digits",
            fingerprint=FINGERPRINT,
            findings=(bucket_history.REGRESSION,),
            compared_with=bundles.version_name(3),
            at=datetime.now(UTC) - timedelta(hours=2),
            measurements=(whole,),
            rows=50_004,
            seconds=61,
        )
    )
    with page_of(bucket, tmp_path_factory.mktemp("candidates")) as url:
        yield url


@pytest.fixture
def shown(page: Page, url: str) -> Page:
    page.goto(f"{url}/#digits/candidates")
    expect(page.locator(TABLE)).to_have_count(6, timeout=90_000)
    return page


def test_refused_candidates_are_drawn_hollow_and_their_gates_are_shown_on_demand(page, url):
    seen = watch(page)
    page.goto(f"{url}/#digits/candidates")
    expect(page.locator(TABLE)).to_have_count(6, timeout=90_000)
    expect(page.locator("#candidates-plot .point")).to_have_count(6)
    # The one that its gates refused, and the one that was rejected.
    expect(page.locator("#candidates-plot .point.hollow")).to_have_count(2)
    expect(page.locator("#candidates-plot .point.champion")).to_have_count(1)

    row = page.locator(TABLE).filter(has_text=FINGERPRINT[:12])
    expect(row).to_contain_text("99.07 %")
    expect(row).to_contain_text("refused")
    row.get_by_role("button", name="0 of 1 passed").click()

    details = page.locator("#candidates-table tr.details:visible")
    expect(details).to_contain_text("accuracy 99.07 % against 99.48 %: −0.41 points")
    expect(details.locator(".gates")).to_contain_text("MaximumRegression")
    assert seen.complaints == []
    assert len(seen.hosts()) == 1


def test_candidates_are_searched_filtered_and_sorted(shown):
    rows = shown.locator(TABLE)
    shown.locator("#candidates-outcome").select_option("refused")
    expect(rows).to_have_count(1)
    shown.locator("#candidates-outcome").select_option("")
    shown.locator("#candidates-search").fill("swift-heron-4")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(bundles.version_name(4))
    shown.locator("#candidates-search").fill("nothing of this kind")
    expect(shown.locator("#candidates-empty")).to_have_text("No candidate fits.")
    shown.locator("#candidates-search").fill("")

    shown.locator("#candidates-sort").select_option("worst")

    expect(rows.first).to_contain_text(FINGERPRINT[:12])
    # The next polls keep what was chosen.
    with shown.expect_response("**/api/traffic"), shown.expect_response("**/api/models"):
        pass
    expect(rows.first).to_contain_text(FINGERPRINT[:12])


def test_rows_time_and_size_of_each_candidate_are_small_charts(shown):
    charts = shown.locator("#inflow-charts figure")
    expect(charts).to_have_count(3)
    expect(charts.filter(has_text="Training time")).to_contain_text("1 min 1 s")
    rows = charts.filter(has_text="Training rows").locator(".point")
    expect(rows).to_have_count(6)
    expect(shown.locator("#inflow-storage")).to_contain_text("5 versions published, ")


def test_home_leads_to_candidates_and_manifest(page, url):
    page.goto(url)
    manifest = page.get_by_role("link", name="Manifest of the newest version of digits")
    answer = page.request.get(f"{url}{manifest.get_attribute('href')}")
    assert answer.json()["version"] == bundles.version_name(5)

    page.get_by_role("link", name="Candidates of digits").click()

    expect(page.locator("#home")).to_be_hidden()
    expect(page.locator("#candidates")).to_be_in_viewport()


def test_candidates_fit_a_phone_and_can_be_read_in_the_dark(shown):
    shown.emulate_media(color_scheme="dark")
    shown.set_viewport_size({"width": 390, "height": 844})

    until(lambda: overflow(shown) == 0, what="no sideways scrolling")
    texts = (".candidates .badge", ".candidates a", "#candidates-count", "#candidates .keys span")
    assert min(contrast(shown, text) for text in texts) >= 4.5
    heights = shown.locator("#candidates :is(a, button, select, input)").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().height).filter(height => height > 0)"
    )
    assert min(heights) >= SMALLEST_TARGET
