"""Under an answer, people say what it was; the page says what became of that."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from overnight.serving.inference.limits import Limits
from tests.support.browser.page_watch import contrast, overflow, scribble, watch
from tests.support.serving import forecasts
from tests.support.serving.label_spool import POLICY, LabelsInMemory, labelled_application
from tests.support.serving.threaded_server import served

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def spool() -> LabelsInMemory:
    return LabelsInMemory()


@pytest.fixture(scope="module")
def url(spool) -> Iterator[str]:
    """Digits and a forecast, whose answers take labels."""
    files = forecasts.files()
    demand = (forecasts.manifest(1, files), files)
    application = labelled_application(spool, others=[demand], limits=Limits(batch_rows=1_024))
    with served(application) as address:
        yield address


def test_a_drawing_is_labelled_by_the_request_of_its_answer(page: Page, url, spool):
    seen = watch(page)
    page.goto(f"{url}#digits")
    form = page.locator("#classification-truth")
    expect(form).to_be_hidden()
    with page.expect_response("**/infer") as answered:
        scribble(page)
    expect(form).to_be_visible()
    page.wait_for_load_state("networkidle")

    page.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_have_text("Choose what it was.")
    page.get_by_label("It was a").select_option("7")
    page.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_have_text("Accepted: it was 7. Thank you.")
    page.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_have_text("Sent already: 7.")
    page.get_by_label("It was a").select_option("1")
    page.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_contain_text("of two truths neither counts")

    sent = [label for label in spool.labels if label.model == "digits"]
    assert [label.truth for label in sent] == [{"probabilities": "7"}, {"probabilities": "1"}]
    assert {label.origin for label in sent} == {"page"}
    assert len({label.request for label in sent}) == 1
    assert answered.value.headers["x-request-id"]
    page.get_by_role("button", name="Clear").click()
    expect(form).to_be_hidden()
    assert seen.complaints == []


def test_a_forecast_takes_the_number_that_it_was(page: Page, url, spool):
    page.goto(f"{url}#demand")
    form = page.locator("#forecast-truth")
    expect(form).to_be_visible()
    page.wait_for_load_state("networkidle")

    form.get_by_label("It was").fill("12.5")
    form.get_by_role("button", name="Send").click()

    expect(form.get_by_role("status")).to_have_text("Accepted: it was 12.5. Thank you.")
    (sent,) = [label for label in spool.labels if label.model == "demand"]
    assert (sent.row, sent.truth) == (0, {"units": 12.5})


def test_a_refused_truth_says_why(page: Page, url, spool):
    page.goto(f"{url}#digits")
    scribble(page)
    page.wait_for_load_state("networkidle")
    spool.room = len(spool.labels)
    page.get_by_label("It was a").select_option("3")
    page.get_by_role("button", name="Send").click()
    status = page.locator("#classification-truth").get_by_role("status")
    expect(status).to_contain_text("Not accepted: no label was kept")
    spool.room = 10_000


def test_a_model_that_takes_no_labels_is_not_asked(page: Page):
    policy = POLICY.model_copy(update={"feedback": False})
    with served(labelled_application(LabelsInMemory(), policy=policy)) as address:
        page.goto(address)
        scribble(page)
        expect(page.locator("#confidence")).to_contain_text("probability")
        expect(page.locator("#classification-truth")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("model", ["digits", "demand"])
def test_it_fits_a_phone_and_can_be_read(browser: Browser, url, tmp_path: Path, scheme, model):
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True
    )
    page = context.new_page()
    page.goto(f"{url}#{model}")
    if model == "digits":
        scribble(page)
    name = {"digits": "classification", "demand": "forecast"}[model]
    form = page.locator(f"#{name}-truth")
    expect(form).to_be_visible()
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).not_to_be_empty()

    assert overflow(page) == 0
    texts = (f"#{name}-truth label", f"#{name}-truth button", f"#{name}-truth [role=status]")
    assert min(contrast(page, text) for text in texts) >= 4.5
    folder = Path(os.environ.get("OVERNIGHT_TEST_PICTURES", tmp_path))
    page.screenshot(path=folder / f"truth-{model}-{scheme}-phone.png", full_page=True)
    context.close()


def test_only_what_a_person_asks_for_is_recorded(page: Page, url):
    sent: list[tuple[str | None, int]] = []

    def note(request) -> None:
        if request.url.endswith("/infer"):
            rows = request.post_data_json["inputs"][0]["shape"][0]
            sent.append((request.headers.get("x-prediction-log"), rows))

    page.on("request", note)
    page.goto(f"{url}#demand")
    expect(page.locator("#forecast-truth")).to_be_visible()
    page.wait_for_load_state("networkidle")

    # The row that is asked for by itself; the horizon and the contributions only explore.
    assert [rows for wish, rows in sent if wish is None] == [1]
    assert [wish for wish, rows in sent if rows > 1] == ["skip"]

    sent.clear()
    page.goto(f"{url}#digits")
    box = page.locator("#drawing").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    with page.expect_response("**/infer"):
        page.mouse.down()
        page.mouse.move(box["x"] + 120, box["y"] + 160, steps=5)
    page.wait_for_load_state("networkidle")
    assert sent
    assert {wish for wish, _ in sent} == {"skip"}
    with page.expect_response(lambda got: "x-prediction-log" not in got.request.headers):
        page.mouse.up()
    expect(page.locator("#classification-truth")).to_be_visible()
    assert [wish for wish, _ in sent].count(None) == 1
