"""Records the requests and console errors of a page, and measures its contrast and width."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

# Which colour a text has, and on which it stands; canvas reads whatever CSS can say.
_COLOURS = """element => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const ground = (one) => read(getComputedStyle(one).backgroundColor);
  let behind = element;
  while (behind !== document.body && ground(behind)[3] < 255) behind = behind.parentElement;
  return [read(getComputedStyle(element).color), ground(behind)];
}"""


@dataclass
class Watch:
    """What a page asked for, and what it complained of."""

    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.requested if not url.startswith("data:")}


def watch(page: Page) -> Watch:
    """Note every request, every error in the console (CSP's among them) and every exception."""
    seen = Watch()
    page.on("request", lambda request: seen.requested.append(request.url))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "console",
        lambda output: output.type in {"error", "warning"} and seen.complaints.append(output.text),
    )
    return seen


def contrast(page: Page, selector: str) -> float:
    """The contrast of a visible text against what is behind it (WCAG 2.2, 1.4.3)."""
    text, behind = page.locator(selector).locator("visible=true").first.evaluate(_COLOURS)
    lighter, darker = sorted((_luminance(text), _luminance(behind)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: list[int]) -> float:
    parts = (channel / 255 for channel in colour[:3])
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def scribble(page: Page) -> None:
    """One stroke across the drawing."""
    drawing = page.locator("#drawing")
    expect(drawing).to_be_visible()
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.8, steps=6)
    page.mouse.up()
