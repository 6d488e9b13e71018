"""The form of the page for texts, gaps, lists, defaults, pictures and several outputs."""

import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.novelty import LearnedRange, NoveltyRule
from tests.support.browser.page_watch import watch
from tests.support.serving import bundles, published

pytestmark = pytest.mark.servers

GOLDEN = published.golden(
    np.array([[6, 4, 0, 1, 3, 2, 3]], np.float32),
    title=np.array(["red blau"], object),
    price=np.array([4], np.float32),
    shop=np.array(["north"], object),
    clicks=np.array([[1.0, 2.0]]),
)

RULES = {
    "texts": NoveltyRule(false_flags=0.01, ranges={"price": LearnedRange(low=0, high=90, margin=5)})
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    slots = ModelSlots()
    models = {
        "texts": (published.TENSORS, published.files(GOLDEN)),
        "photos": (published.PHOTO_TENSORS, published.photo_files()),
    }
    for name, (tensors, files) in models.items():
        slot = slots.add(ModelSlot(name, SharedGeneration.in_process()))
        manifest = bundles.manifest(1, files, tensors=tensors)
        manifest = manifest.model_copy(update={"model": name, "novelty": RULES.get(name)})
        slot.put(LoadedVersion(1, load_version(manifest, files, threads=1), None))
        slot.shared.activate(1)
    wrapped = create_application(Router(slots), limits=Limits(), status=StandaloneStatus())

    def application(environ, start_response):
        # As its own server does: with the body whole, and no open end.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        return wrapped(environ, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def answered(page: Page, *texts: str) -> None:
    page.locator("#submit").click()
    for text in texts:
        expect(page.locator("#result")).to_contain_text(text, timeout=10_000)


def test_a_row_unlike_what_was_learned_says_so(page: Page, url):
    page.goto(f"{url}/#texts")
    price = page.get_by_label("price", exact=True)

    price.fill("4")
    answered(page, "Version")
    expect(page.locator("#result")).not_to_contain_text("Unlike")

    price.fill("99")
    answered(page, "Unlike what it learned from: price is outside of 0 to 90, which was learned.")

    price.fill("4")
    page.get_by_label("shop", exact=True).fill("North")
    answered(page, "from: shop “North” is not in its vocabulary, taken for 'other'.")
    # Told once.
    expect(page.locator("#result .wrong")).to_have_count(0)


def test_texts_gaps_lists_and_defaults_have_fields(page: Page, url):
    seen = watch(page)
    page.goto(f"{url}/#texts")
    # It begins with a row that the version predicted in training.
    expect(page.get_by_label("title", exact=True)).to_have_value("red blau")
    expect(page.get_by_label("shop", exact=True)).to_have_value("north")
    expect(page.get_by_label("clicks", exact=True)).to_have_value("1, 2")

    page.get_by_label("title", exact=True).fill("green")
    page.get_by_label("price", exact=True).fill("")
    page.get_by_label("clicks", exact=True).fill("5, 6, 7")
    page.get_by_label("weight", exact=True).fill("9")
    # The names and values of a list, as they follow one another.
    answered(page, "sent 27.5", "sent 518", "sent 79", "double 16")

    page.get_by_label("weight", exact=True).fill("")
    answered(page, "sent 73")
    assert not seen.complaints


def test_a_picture_is_uploaded_or_drawn_and_both_outputs_are_shown(page: Page, url):
    seen = watch(page)
    body = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 40, 10)).save(body, "JPEG", quality=95)
    page.goto(f"{url}/#photos")

    upload = {"name": "red.jpg", "mimeType": "image/jpeg", "buffer": body.getvalue()}
    page.get_by_label("photo, a picture").set_input_files(upload)
    expect(page.locator(".picture img")).to_be_visible()
    answered(page, "colour", "red", "280 more]")
    assert page.locator("#result dt").all_inner_texts() == ["red", "green", "blue"]

    # White paper, as the input is no drawing of bright ink.
    page.locator(".picture summary").click()
    box = page.locator(".picture canvas").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.up()
    answered(page, "[255, 255, 255")
    assert not seen.complaints
