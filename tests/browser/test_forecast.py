"""The forecast panel: form, chart with the interval, and feature contributions."""

import re
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser.page_watch import contrast, overflow, watch
from tests.support.serving import bundles, forecasts
from tests.support.serving.server_process import run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("forecast")
    with run_serving("--rehearse", str(forecasts.folder(place / "bundle")), place=place) as serving:
        until(serving.is_ready, what="the forecast answers")
        yield f"http://127.0.0.1:{serving.port}"


def shown(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#attribution-parts li").first).to_be_visible()
    return page


def ask_for(page: Page, **fields: str) -> None:
    """Write into the form, as a person would."""
    for name, value in fields.items():
        page.locator(f"#{name.replace('_', '-')}").fill(value)


def middle(page: Page) -> float:
    return float(page.locator("#forecast-value").inner_text())


def first_known() -> dict[str, np.ndarray]:
    """The example that the page starts with: the first whose values are all in the vocabulary."""
    rows = forecasts.rows()
    place = int(np.argmax((rows["shop"] > 0) & (rows["kind"] > 0)))
    return {name: values[place : place + 1] for name, values in rows.items()}


def newest_of(*, shop: int, kind: int) -> dict[str, np.ndarray]:
    """The example of a shop and a kind whose last observed day is the newest."""
    rows = forecasts.rows()
    fits = (rows["shop"] == shop) & (rows["kind"] == kind)
    place = int(np.argmax(np.where(fits, rows["day"] - rows["lead"], 0)))
    return {name: values[place : place + 1] for name, values in rows.items()}


def typed(row: dict[str, np.ndarray]) -> str:
    return " ".join(f"{value:g}" for value in row["sold"][0])


def test_it_starts_with_a_golden_example_and_its_prediction(page, address):
    seen = watch(page)
    shown(page, address)

    request = first_known()
    low, value, high = forecasts.expected(request)["units"][0]
    assert middle(page) == pytest.approx(float(value), abs=0.5)
    interval = page.locator("#forecast-interval").inner_text()
    bounds = [float(entry) for entry in interval.replace("80 % interval: ", "").split(" – ")]
    assert bounds == pytest.approx([float(low), float(high)], abs=0.5)
    expect(page.locator("#forecast-version")).to_contain_text(bundles.version_name(1))
    expect(page.locator("#tensors")).to_be_hidden()
    expect(page.locator("#drawing-card")).to_be_hidden()
    assert seen.complaints == []


def test_history_forecast_and_interval_are_drawn_with_details_on_hover(page, address):
    shown(page, address)

    plot = page.locator("#forecast-chart")
    for part in (".line.before", ".line.first", ".band", ".point", ".change"):
        expect(plot.locator(part)).to_have_count(1)
    label = str(plot.get_attribute("aria-label"))
    assert label.startswith("History until ")
    assert ", 80 % interval " in label
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 70, box["y"] + 60)
    expect(page.locator("#forecast-chart-detail")).to_contain_text(
        str(int(first_known()["sold"][0][0]))
    )


def test_a_changed_day_or_shop_is_predicted_at_once(page, address):
    shown(page, address)
    row = newest_of(shop=3, kind=int(first_known()["kind"][0]))
    known = int(row["day"][0] - row["lead"][0])
    saturday = next(day for day in range(known + 1, known + 8) if day % 7 == 2)

    ask_for(
        page,
        field_shop_0="4711",
        target_day=forecasts.spelled(forecasts.TENSORS.inputs[2], saturday),
    )

    changes = {"day": [saturday], "lead": [saturday - known]}
    request = row | {name: np.array(values, np.int32) for name, values in changes.items()}
    value = float(forecasts.expected(request)["units"][0][1])
    expect(page.locator("#forecast-value")).to_have_text(f"{value:.0f}")


def test_another_series_has_its_own_history_or_none(page, address):
    shown(page, address)
    history = page.locator("#history-values")
    first = history.input_value()

    ask_for(page, field_shop_0="4711")
    own = newest_of(shop=3, kind=int(first_known()["kind"][0]))
    expect(history).to_have_value(typed(own))
    expect(page.locator("#history-notice")).to_contain_text("History of 4711 · bread up to")

    ask_for(page, field_shop_0="atlantis")
    expect(history).to_have_value("")
    expect(page.locator("#history-notice")).to_contain_text("No history of atlantis · bread")
    expect(page.locator("#forecast-result")).to_be_hidden()

    page.locator("#forecast-example").select_option(index=2)
    expect(history).to_have_value(first)
    expect(page.locator("#history-notice")).to_be_hidden()
    # The same numbers are of no other days.
    ask_for(page, last_day="2026-03-01")
    expect(history).to_have_value("")
    expect(page.locator("#history-notice")).to_contain_text("up to Sun, 1 Mar 2026")


def test_contributions_are_changes_of_the_prediction(page, address):
    shown(page, address)
    row = first_known()

    parts = page.locator("#attribution-parts li").all_inner_texts()

    contributions = {part.split("\n")[0].split(" vs.")[0]: part.split("\n")[-1] for part in parts}
    here = forecasts.expected(row)["units"][0][1]
    without = forecasts.expected(row | {"kind": np.array([0], np.int32)})["units"][0][1]
    kind = forecasts.KINDS[int(row["kind"][0])]
    assert contributions[f"kind {kind}"] == f"+{float(here - without):g}"
    moved = [abs(float(text.replace("−", "-"))) for text in contributions.values()]
    assert moved == sorted(moved, reverse=True)
    # The formula of the test network uses the last seven days only.
    assert list(contributions.values()).count("0") >= 3


def test_a_value_out_of_vocabulary_is_predicted_as_the_fallback_with_a_notice(page, address):
    shown(page, address)
    before = middle(page)

    ask_for(page, field_shop_0="atlantis", history_values=typed(first_known()))

    notice = page.locator("#forecast-vocabulary")
    expect(notice).to_have_text("shop “atlantis” is not in the vocabulary; predicted as “other”.")
    assert middle(page) < before
    ask_for(page, field_shop_0="north")
    expect(notice).to_be_hidden()


def test_a_value_out_of_vocabulary_that_looks_like_a_number_is_shown_as_typed(page, address):
    shown(page, address)

    ask_for(page, field_shop_0="1", history_values=typed(first_known()))

    expect(page.locator("#forecast-vocabulary")).to_contain_text("“1”")
    parts = page.locator("#attribution-parts li .part")
    expect(parts.filter(has_text="shop 1 ")).to_have_count(1)


UNANSWERABLE = [
    ({"target_day": "2027-03-01"}, "expected a day from 2026-01-01 to 2026-12-31"),
    ({"target_day": "2026-12-20"}, "1 to 7 days after the last observed day"),
    ({"target_day": ""}, "The forecast day is required."),
    ({"last_day": ""}, "The last observed day is required."),
    ({"history_values": "1 2 3"}, "expected 28 numbers, one per day; found 3."),
    ({"history_values": " ".join(["one"] * 28)}, "“one” is not a number."),
    ({"history_values": " ".join(["5000"] * 28)}, "at most 1000"),
    ({"field_shop_0": ""}, "shop is required."),
]


def test_an_invalid_request_shows_an_error_until_it_is_corrected(page, address):
    shown(page, address)
    page.locator("#forecast-example").select_option(index=1)

    for place, (fields, error) in enumerate(UNANSWERABLE):
        ask_for(page, **fields)
        expect(page.locator("#forecast-error")).to_contain_text(error)
        expect(page.locator("#forecast-error")).not_to_contain_text("inputs[")
        (field,) = (name.replace("_", "-") for name in fields)
        marked = page.locator("#forecast-form [aria-invalid=true]")
        expect(marked).to_have_id(field)
        expect(marked).to_have_attribute("aria-describedby", re.compile("forecast-error"))
        expect(page.locator("#forecast-result")).to_be_hidden()
        expect(page.locator("#attribution")).to_be_hidden()

        page.locator("#forecast-example").select_option(index=2 + place)
        expect(page.locator("#attribution")).to_be_visible()
        expect(page.locator("#forecast-error")).to_be_hidden()
        expect(page.locator("#forecast-form [aria-invalid]")).to_have_count(0)


def test_the_days_to_choose_follow_the_last_observed_day(page, address):
    shown(page, address)
    field = page.locator("#target-day")

    ask_for(page, last_day="2026-06-10")
    expect(field).to_have_attribute("min", "2026-06-11")
    expect(field).to_have_attribute("max", "2026-06-17")
    ask_for(page, last_day="2026-12-30")
    # Not past the last day that the model knows.
    expect(field).to_have_attribute("max", "2026-12-31")


def test_it_is_usable_by_keyboard(page, address):
    shown(page, address)
    page.locator("#forecast-example").focus()

    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator("#field-shop-0")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("south")
    page.keyboard.press("Enter")

    expect(page.locator("#attribution-parts")).to_contain_text("shop south")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_on_a_phone_with_sufficient_contrast(browser: Browser, address, scheme):
    size = {"width": 360, "height": 740}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = shown(context.new_page(), address)
    ask_for(page, field_shop_0="atlantis", history_values=typed(first_known()))
    expect(page.locator("#forecast-vocabulary")).to_be_visible()

    assert overflow(page) == 0
    texts = (
        "#forecast-value", "#forecast-interval", "#forecast-version", "#forecast-vocabulary",
        "#attribution h3", "#attribution .part", "#attribution .contribution", "#forecast legend",
        "#target-day-help", "#history-values", "#forecast figcaption .key",
    )  # fmt: skip
    actual = {text: round(contrast(page, text), 2) for text in texts}
    assert {text: ratio for text, ratio in actual.items() if ratio < 4.5} == {}
    context.close()


def test_days_are_shown_as_dates(page, address):
    shown(page, address)
    row = first_known()
    day = date.fromordinal(forecasts.EPOCH.toordinal() + int(row["day"][0]))

    expect(page.locator("#forecast-day")).to_have_text(f"{day:%a}, {day.day} {day:%b %Y}")
