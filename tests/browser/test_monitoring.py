"""The section "Monitoring": live quality by labels, distances, alarms and decisions."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import (
    Alarm,
    Consequence,
    LiveDistance,
    LiveQuality,
    MonitorLog,
    MonitorRecord,
)
from tests.support.browser.page_watch import contrast, overflow, watch
from tests.support.browser.serving_host import Host
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving import bucket_history, bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
DAYS = 14
NOW = datetime.now(UTC)
REASON = "9.0% of 310 labelled answers wrong, expected at most 1.2%, since yesterday"


def write(bucket: Bucket, sequence: int) -> MonitorRecord:
    """A fortnight whose last three days drift; what follows is to retrain, and then to wait."""
    drifts = sequence > DAYS - 3
    value, labels = (0.91 if drifts else 0.99), 240 + 5 * sequence
    half = 1.96 * math.sqrt(value * (1 - value) / labels)
    version = bundles.version_name(1 if sequence < DAYS - 6 else 2)
    end = NOW - timedelta(days=DAYS - sequence, minutes=1)
    if sequence in {4, 5}:
        # Two records of one day.
        midnight = (NOW - timedelta(days=DAYS - 5)).replace(hour=0, minute=0, second=0)
        end = midnight + timedelta(hours=2 if sequence == 4 else 14)
    since = NOW - timedelta(days=2)
    whole = Measurement(
        metric="accuracy", value=value, n=labels, low=value - half, high=min(value + half, 1.0)
    )
    alarms = [
        Alarm(kind="quality", feature="", value=0.09, expected=0.012, since=since,
              message="9.0% of 310 labelled answers wrong, expected at most 1.2%"),
        Alarm(kind="inputs", feature="image: width", value=0.31, expected=0.05, since=since,
              message="inputs image: width: distance 0.31 from the reference over 2 days, "
              "expected at most 0.05"),
    ]  # fmt: skip
    action = "retrain" if sequence == DAYS - 2 else "wait"
    return MonitorLog(bucket, bundles.MODEL).append(
        MonitorRecord(
            model=bundles.MODEL,
            sequence=sequence,
            champion=version,
            since=end - timedelta(days=1),
            until=end,
            at=datetime.now(UTC) if sequence == DAYS else end + timedelta(minutes=1),
            quality=(
                LiveQuality(
                    version=version, answers=4 * labels, labels=labels, coverage=0.25,
                    measurements=(whole,), estimated=0.985 if drifts else 0.988,
                ),
            ),
            distances=tuple(
                LiveDistance(
                    kind=kind, feature=feature, against=against, distance=distance,
                    n=900, p=0.001, e=40 * distance,
                )
                for kind, feature, against, distance in (
                    ("inputs", "image: width", "training", 0.31 if drifts else 0.02),
                    ("inputs", "image: contrast", "training", 0.08),
                    ("answers", "probabilities", "training", 0.05),
                    ("confidence", "probabilities", "training", 0.12),
                    ("skew", "image: mean", "today", 0.01),
                )
            ),
            alarms=tuple(alarms) if drifts else (),
            consequence=Consequence(action=action, reason=REASON)
            if drifts
            else Consequence(action="nothing", reason="no alarm"),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def host(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A fortnight of records, one of which is damaged; the last is of the champion of today."""
    address = S3Address(s3_endpoint, "monitor-page", ACCESS, SECRET)
    bucket = S3Bucket(address)
    bucket.ensure()
    bucket_history.hand_over(bucket)
    for sequence in range(1, DAYS + 1):
        if sequence == 3:
            bucket.create(keys.monitor_record(bundles.MODEL, 3), b"{}")
        else:
            write(bucket, sequence)
    place = tmp_path_factory.mktemp("monitoring")
    with run_serving(place=place, **follow_settings(address)) as serving:
        until(serving.is_ready, what="it serves")
        yield Host(f"http://127.0.0.1:{serving.port}", bucket)


def shown(page: Page, host: Host) -> Page:
    page.goto(host.url)
    expect(page.locator("#monitor-plot .point")).to_have_count(DAYS - 1)
    return page


def test_quality_alarms_distances_and_decisions_are_shown(page: Page, host: Host) -> None:
    seen = watch(page)
    shown(page, host)

    expect(page.locator("#monitor-state")).to_contain_text("Drifted since")
    expect(page.locator("#monitor-alarms li")).to_have_count(2)
    expect(page.locator("#monitor-alarms li").first).to_contain_text("expected at most 1.2%")
    assert page.locator("#monitor-plot .whisker").count() == DAYS - 1
    assert page.locator("#monitor-plot .holdout").count() == DAYS - 1
    # The estimate is greyed out on the days on which drift alarms.
    assert page.locator("#monitor-plot .estimate").count() == DAYS - 1
    assert page.locator("#monitor-plot .estimate.doubtful").count() == 3
    detail = page.locator("#monitor-detail")
    expect(detail).to_contain_text("labels of 25.0 % of 1,240 answers")
    expect(detail).to_contain_text("not to be trusted while drift alarms")
    expect(page.locator("#distance-parts li").first).to_contain_text("image: width")
    expect(page.locator("#distance-parts li").last).to_contain_text("training's rows of the same")
    rows = page.locator("#decision-rows tr")
    expect(rows).to_have_count(3)
    expect(rows.last).to_contain_text("retrain")
    # On the timeline, a decision is a mark with its reason.
    mark = page.locator("#timeline .decision.wait title")
    expect(mark).to_have_text(f"monitor: wait: {REASON}")
    # A record that is damaged is named, and hides no other.
    expect(page.locator("#monitor-damaged")).to_contain_text("monitoring/00000003.json")
    assert seen.complaints == []


def test_a_day_is_described_under_the_pointer(page: Page, host: Host) -> None:
    shown(page, host)

    page.locator("#monitor-plot .point").first.hover(force=True)

    detail = page.locator("#monitor-detail")
    expect(detail).to_contain_text("99.00 %")
    expect(detail).not_to_contain_text("UTC")
    # Of a day with two records, each has its time.
    for place, time in ((2, "02:00"), (3, "14:00")):
        page.locator("#monitor-plot .point").nth(place).hover(force=True)
        expect(detail).to_contain_text(f", {time} UTC: 99.00 %")


def test_another_version_is_a_mark_with_its_name(page: Page, host: Host) -> None:
    shown(page, host)

    first, second = bundles.version_name(1), bundles.version_name(2)
    mark = page.locator("#monitor-plot .change title")
    expect(mark).to_have_text(f"from here on {second} answers")
    expect(page.locator("#monitor-detail")).to_contain_text(f"answered by {second}")
    page.locator("#monitor-plot .point").first.hover(force=True)
    expect(page.locator("#monitor-detail")).to_contain_text(f"answered by {first}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_with_sufficient_contrast(
    browser: Browser, host: Host, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = shown(context.new_page(), host)

    assert overflow(page) == 0
    texts = ("#monitor-detail", "#monitoring .key", "#monitoring h2", "#monitor-alarms li")
    assert min(contrast(page, text) for text in texts) >= 4.5
    context.close()
