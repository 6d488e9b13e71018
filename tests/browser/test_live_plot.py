"""The plot of live scores per arrival, and its table."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.manifest import Measurement
from tests.support.browser.page_watch import contrast, overflow, watch
from tests.support.browser.serving_host import Host, host_with_a_past
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving import bucket_history, bundles

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
NIGHTS = 6


@pytest.fixture(scope="module")
def host(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two versions with three live scores each, the last of which is low."""
    address = S3Address(s3_endpoint, "live-scores", ACCESS, SECRET)
    bucket = S3Bucket(address)
    bucket.ensure()
    start = datetime.now(UTC) - timedelta(days=NIGHTS)
    for arrival in range(NIGHTS):
        value = 0.9 if arrival == NIGHTS - 1 else 0.99
        at = start + timedelta(days=arrival)
        bucket_history.score(bucket, 1 + arrival // 3, f"night-{arrival}", value, at=at)
    scored_without_headline(bucket, at=start + timedelta(days=NIGHTS))
    with host_with_a_past(address, tmp_path_factory.mktemp("live")) as host:
        yield host


def scored_without_headline(bucket: S3Bucket, *, at: datetime) -> None:
    """The newest arrival has no number of what versions are judged by, and one of another metric.

    It is no point of any series, and ends none.
    """
    measured = (
        Measurement(metric="accuracy", value=math.nan, n=10),
        Measurement(metric="coverage", value=1.0, n=10),
    )
    version = bundles.version_name(2)
    fields = {"model": bundles.MODEL, "version": version, "arrival": "closed", "n": 10, "at": at}
    LiveScores(bucket, bundles.MODEL).keep(Score(measurements=measured, **fields))


def shown(page: Page, host: Host) -> Page:
    page.goto(host.url)
    expect(page.locator("#live-plot .point")).to_have_count(NIGHTS)
    return page


def test_each_arrival_is_a_point_with_its_interval_and_the_holdout_score(page, host):
    seen = watch(page)
    shown(page, host)

    assert page.locator("#live-plot .whisker").count() == NIGHTS
    assert page.locator("#live-plot .holdout").count() == 2
    assert page.locator("#live-plot .change").count() == 1
    expect(page.locator("#live-title")).to_have_text("Live accuracy per arrival")
    detail = page.locator("#live-detail")
    expect(detail).to_contain_text("90.00 % (95 %: 88.14 % – 91.86 %) on 1,000 rows of night-5")
    expect(detail).to_contain_text("holdout: 99.41 %")
    assert "night-5" in str(page.locator("#live-plot").get_attribute("aria-label"))
    assert seen.complaints == []


def test_hovering_over_an_arrival_shows_its_details(page, host):
    shown(page, host)

    page.locator("#live-plot .point").first.hover(force=True)
    expect(page.locator("#live-detail")).to_contain_text("night-0")

    page.mouse.move(1, 1)
    expect(page.locator("#live-detail")).to_contain_text("night-5")


def test_the_scores_are_available_as_a_table(page, host):
    shown(page, host)

    page.locator("#live summary").focus()
    page.keyboard.press("Enter")

    rows = page.locator("#live-rows tr")
    expect(rows).to_have_count(NIGHTS)
    expect(rows.first).to_contain_text("night-5")
    expect(rows.first).to_contain_text(bundles.version_name(2))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_on_a_phone_with_sufficient_contrast(browser: Browser, host, scheme):
    size = {"width": 360, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = shown(context.new_page(), host)

    assert overflow(page) == 0
    assert min(contrast(page, text) for text in ("#live-detail", "#live .key", "#live h2")) >= 4.5
    context.close()


def test_a_model_without_scores_shows_no_plot(page, s3_address, tmp_path):
    with host_with_a_past(s3_address, tmp_path) as host:
        page.goto(host.url)
        expect(page.locator("#version-rows tr").first).to_be_visible()

        expect(page.locator("#live")).to_be_hidden()
        assert not host.bucket.names_below(keys.scores(bundles.MODEL))
