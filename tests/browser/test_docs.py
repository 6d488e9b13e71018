"""The documentation page in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("docs")
    folder = bundles.folder(place / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=place / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        yield serving


def _url(serving: Serving) -> str:
    return f"http://127.0.0.1:{serving.port}/docs"


def test_an_operation_is_found_and_its_copied_sample_works(page: Page, serving: Serving) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))

    page.goto(_url(serving))
    page.get_by_role("link", name="POST Run inference with the current version").first.click()
    article = page.locator("article", has=page.locator("#infer-digits"))
    expect(article).to_be_in_viewport()
    article.get_by_role("button", name="Copy curl").click()

    expect(page.locator("#copied")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"http://127.0.0.1:{serving.port}/v2/models/digits/infer" in copied
    assert complaints == []
    assert all(url.startswith(f"http://127.0.0.1:{serving.port}/") for url in sent)


def test_a_request_is_tried_on_the_page(page: Page, serving: Serving) -> None:
    sent: list[tuple[str, str | None]] = []
    page.on("request", lambda r: sent.append((r.url, r.headers.get("x-prediction-log"))))
    page.goto(_url(serving))
    for name in ("infer-digits", "predictVersion-digits", "invocations", "metadata", "readyz"):
        trial = page.locator(f"article[data-operation={name}] .trial")
        trial.locator("summary").click()
        trial.get_by_role("button", name="Send").click()
        expect(trial.get_by_role("status")).to_contain_text("200 in")

    answer = page.locator("article[data-operation=infer-digits] .trial pre")
    expect(answer).to_contain_text('"model_name":"digits"')
    predictions = [log for url, log in sent if url.endswith(("infer", "predict", "invocations"))]
    assert predictions == ["skip"] * 3
    assert all(url.startswith(f"http://127.0.0.1:{serving.port}/") for url, _ in sent)

    trial = page.locator("article[data-operation=infer-digits] .trial")
    trial.locator("textarea").fill("{")
    trial.get_by_role("button", name="Send").click()
    expect(trial.get_by_role("status")).to_contain_text("400 in")
    expect(answer).to_contain_text("the body: expected JSON")


def test_operations_are_found_by_words(page: Page, serving: Serving) -> None:
    page.goto(_url(serving))
    every = page.locator("article:visible").count()

    page.get_by_label("Search the operations").fill("sagemaker invocations")
    expect(page.locator("article:visible")).to_have_count(1)
    expect(page.locator("#matches")).to_have_text("1 operations")
    expect(page.locator("main section:visible")).to_have_count(1)

    page.get_by_label("Search the operations").fill("")
    expect(page.locator("article:visible")).to_have_count(every)


def test_samples_of_javascript_run_in_a_page(page: Page, serving: Serving) -> None:
    printed: list[str] = []
    page.on("console", lambda message: printed.append(message.text))
    page.goto(_url(serving))
    for name in ("infer-digits", "predict-digits"):
        source = page.locator(f"article[data-operation={name}] pre", has_text="await fetch")
        page.evaluate(f"(async () => {{ {source.text_content()} }})()")

    assert len(printed) == 2


def test_it_is_usable_by_keyboard(page: Page, serving: Serving) -> None:
    page.goto(_url(serving))

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the operations")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    article = page.locator("article", has=page.locator("#infer-digits"))
    closed = article.locator("details", has_text="Responses")
    closed.locator("summary").focus()
    page.keyboard.press("Enter")

    expect(closed.get_by_role("table").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_with_sufficient_contrast(
    browser: Browser, serving: Serving, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(_url(serving))
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    assert page.evaluate(_LEAST_CONTRAST) >= 4.5
    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_without_scripts_its_content_is_the_same(browser: Browser, serving: Serving) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(_url(serving))

    expect(page.locator("article")).not_to_have_count(0)
    expect(page.locator("pre").first).to_be_visible()
    expect(page.locator(".copy")).to_have_count(0)
    context.close()


# WCAG 2.2, 1.4.3: the least contrast of any text with what is painted behind it.
_LEAST_CONTRAST = """() => {
  const channels = colour => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = channels(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let least = 21;
  for (const element of document.querySelectorAll("main *, nav *, header *, footer *")) {
    const hasText = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!hasText) continue;
    const [one, other] = [channels(getComputedStyle(element).color), behind(element)].map(light);
    const [low, high] = one < other ? [one, other] : [other, one];
    least = Math.min(least, (high + 0.05) / (low + 0.05));
  }
  return least;
}"""
