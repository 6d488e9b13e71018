"""Digits drawn on the page are classified, and the page names the version that did it."""

import uuid
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Page, expect

from overnight.infra import keyring
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.registry import ModelRegistry
from tests.support import release_export
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

Point = tuple[float, float]
# Each digit as strokes in a square from 0 to 1, drawn as people do.
STROKES: dict[str, Sequence[Sequence[Point]]] = {
    "0": [[(0.5, 0.1), (0.25, 0.3), (0.22, 0.6), (0.4, 0.9), (0.6, 0.9), (0.78, 0.6), (0.75, 0.3),
           (0.5, 0.1)]],
    "1": [[(0.52, 0.08), (0.5, 0.92)]],
    "2": [[(0.25, 0.28), (0.4, 0.1), (0.62, 0.1), (0.75, 0.28), (0.68, 0.48), (0.25, 0.9),
           (0.78, 0.9)]],
    "3": [[(0.25, 0.15), (0.5, 0.08), (0.72, 0.22), (0.66, 0.4), (0.45, 0.48), (0.7, 0.58),
           (0.74, 0.78), (0.5, 0.92), (0.24, 0.84)]],
    "4": [[(0.35, 0.1), (0.25, 0.55), (0.75, 0.55)], [(0.66, 0.12), (0.62, 0.92)]],
    "5": [[(0.74, 0.1), (0.34, 0.1), (0.3, 0.46), (0.52, 0.42), (0.74, 0.58), (0.68, 0.82),
           (0.46, 0.92), (0.24, 0.84)]],
    "7": [[(0.22, 0.12), (0.78, 0.12), (0.42, 0.92)]],
}  # fmt: skip


def draw(page: Page, digit: str, *, left: float, top: float, size: float) -> None:
    """Draw a digit into a square of the canvas; all in shares of the canvas' side."""
    canvas = page.locator("#drawing")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    side = box["width"]

    def at(point: Point) -> Point:
        return (
            box["x"] + (left + point[0] * size) * side,
            box["y"] + (top + point[1] * size) * side,
        )

    for stroke in STROKES[digit]:
        page.mouse.move(*at(stroke[0]))
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*at(point), steps=3)
        page.mouse.up()


@pytest.fixture(scope="module")
def released_bucket(s3_endpoint: str) -> S3Bucket:
    bucket = S3Bucket(S3Address(s3_endpoint, f"test-{uuid.uuid4().hex[:20]}", ACCESS, SECRET))
    bucket.ensure()
    release_export.copy_versions(bucket)
    return bucket


@pytest.fixture(scope="module")
def url(released_bucket: S3Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a host that serves the versions of a release."""
    file = tmp_path_factory.mktemp("keys") / "trusted"
    for key in release_export.trusted_keys():
        keyring.trust(file, key)
    trusted = {"trusted_keys_file": str(file)}
    settings = follow_settings(released_bucket.address, serving_workers="1", **trusted)
    with run_serving(place=tmp_path_factory.mktemp("host"), **settings) as serving:
        until(lambda: serving.version() is not None, what="the digits answer")
        yield f"http://127.0.0.1:{serving.port}"


@pytest.fixture
def drawing(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("#version")).to_contain_text("-")
    return page


def reads(page: Page, digit: str, *, left: float, top: float, size: float) -> None:
    """Draw a digit on an empty canvas, and expect that it is read as that; then clear.

    Two in a row are of different digits, as a late answer may still be that of the first.
    """
    expect(page.locator("#label")).to_have_text("–")
    draw(page, digit, left=left, top=top, size=size)
    expect(page.locator("#label")).to_have_text(digit)
    page.get_by_role("button", name="Clear").click()


def test_digits_drawn_in_the_middle_are_read(drawing: Page) -> None:
    for digit in sorted(STROKES):
        reads(drawing, digit, left=0.15, top=0.15, size=0.7)


def test_digits_drawn_in_a_corner_are_read(drawing: Page) -> None:
    for left, top in [(0.02, 0.02), (0.55, 0.02), (0.02, 0.55), (0.55, 0.55)]:
        for digit in ["2", "3", "5"]:
            reads(drawing, digit, left=left, top=top, size=0.42)


@pytest.mark.parametrize("size", [0.35, 0.92], ids=["thick", "thin"])
def test_thick_and_thin_digits_are_read(drawing: Page, size: float) -> None:
    """The pen has one width: on a small digit it is thick, on a large one thin."""
    for digit in ["0", "2", "3", "7"]:
        reads(drawing, digit, left=(1 - size) / 2, top=(1 - size) / 2, size=size)


def test_the_bars_tell_ten_probabilities_and_clearing_empties_them(drawing: Page) -> None:
    draw(drawing, "7", left=0.15, top=0.15, size=0.7)
    expect(drawing.locator("#label")).to_have_text("7")

    bars = drawing.locator("#bars [data-label]")
    expect(bars).to_have_count(10)
    reported = [float(bar.get_attribute("data-probability") or "nan") for bar in bars.all()]
    assert sum(reported) == pytest.approx(1, abs=0.01)
    assert max(reported) == reported[7]

    drawing.get_by_role("button", name="Clear").click()
    expect(drawing.locator('#bars [data-label="7"]')).to_have_attribute("data-probability", "")


def test_what_was_drawn_during_an_outage_is_read_after_it(drawing: Page) -> None:
    drawing.context.set_offline(True)
    draw(drawing, "7", left=0.15, top=0.15, size=0.7)
    expect(drawing.locator("#label")).to_have_text("–")
    # A poll has to fail, too: only then does the page know of an outage.
    expect(drawing.locator("#health")).to_contain_text("cannot be reached")

    drawing.context.set_offline(False)

    expect(drawing.locator("#label")).to_have_text("7")


def test_the_keyboard_draws_too(drawing: Page) -> None:
    canvas = drawing.locator("#drawing")
    canvas.focus()
    for _ in range(8):
        drawing.keyboard.press("ArrowUp")
    drawing.keyboard.press("Space")
    for _ in range(16):
        drawing.keyboard.press("ArrowDown")
    drawing.keyboard.press("Space")

    expect(drawing.locator("#label")).to_have_text("1")


def test_the_page_names_the_version_and_sends_requests_to_its_own_host_only(
    drawing: Page, url: str, released_bucket: S3Bucket
) -> None:
    requested: list[str] = []
    drawing.on("request", lambda request: requested.append(request.url))
    drawing.reload()

    (version,) = ModelRegistry(released_bucket, "digits").versions()
    expect(drawing.locator("#version")).to_have_text(version)
    expect(drawing.locator("#rows")).to_contain_text(",")
    expect(drawing.locator("#health")).to_have_attribute("data-state", "ready")
    assert requested
    assert all(each.startswith(url) for each in requested), requested
