"""Markdown tables and pictures, and a self-contained HTML page of them."""

import base64
import html
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt

from overnight.store.printable import printable

# An underscore between letters is none.
_MARKUP = re.compile(r"[\\`*~|\[\]]|(?<![^\W_])_|_(?![^\W_])")
_ADDRESS = re.compile(r":(?=//)|(?<=www)\.|@", re.IGNORECASE)
# What begins a heading, a quote or a list at the start of a line.
_FIRST = re.compile(r"^(\d*)([#+.)-])(?=\s|$)")


def page(markdown: str, *, title: str) -> bytes:
    """Markdown as one HTML page without external files, to be stored with a version."""
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    # The renderer refuses every data URI; these PNGs were drawn here and cannot run script.
    renderer.validateLink = _is_allowed  # type: ignore[method-assign]
    # Wider than a phone, a table is scrolled, also by keys.
    rules = renderer.renderer.rules  # type: ignore[attr-defined]
    rules["table_open"] = lambda *_: _SCROLLED
    rules["table_close"] = lambda *_: "</table></div>\n"
    # The renderer passes no HTML on. Text from outside is escaped, so it has no line as `fold`'s.
    parts = _FOLDS.split(markdown)
    body = "".join(
        part if _FOLDS.fullmatch(part) else renderer.render(part) for part in parts if part.strip()
    )
    return _PAGE.format(title=html.escape(title), body=body).encode()


def fold(summary: str, body: str) -> str:
    """A part that is shown when a reader opens it, below one line that is always shown."""
    line = html.escape(printable(" ".join(summary.split())), quote=False)
    return f"<details><summary>{line}</summary>\n\n{body}\n\n</details>"


def _is_allowed(url: str) -> bool:
    return url.startswith(("http://", "https://", "data:image/png;base64,"))


def picture(title: str, body: bytes) -> str:
    """A PNG as a data URI, under its title."""
    return f"### {title}\n\n![{title}](data:image/png;base64,{base64.b64encode(body).decode()})"


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table; its cells are escaped."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


class Markup(str):
    """Markdown of our own, which is shown as such."""

    __slots__ = ()


def cell(text: str) -> str:
    """Text on one line that can neither end a cell nor begin markup; `Markup` as it is.

    Names of files and reasons come from outside: they must not load images or become links.
    """
    if isinstance(text, Markup):
        return text
    line = html.escape(printable(" ".join(text.split())), quote=False)
    line = _MARKUP.sub(r"\\\g<0>", line)
    # Many renderers make links of bare addresses, which no backslash prevents.
    line = _ADDRESS.sub(lambda match: f"&#{ord(match[0])};", line)
    return _FIRST.sub(r"\g<1>\\\g<2>", line)


_FOLDS = re.compile(r"^(<details><summary>[^<>\n]*</summary>|</details>)$", re.MULTILINE)
_SCROLLED = '<div class="scroll" role="group" aria-label="Table" tabindex="0"><table>\n'
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; }}
body {{ margin: 2rem auto; padding: 0 1rem; background: Canvas; color: CanvasText; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; }}
h2, h3 {{ font-size: 1.1rem; margin: 1.8rem 0 .5rem; }}
table {{ border-collapse: collapse; }}
.scroll {{ overflow-x: auto; margin: 1rem 0; }}
td, th {{ padding: .3rem .7rem; border-bottom: 1px solid #8884; text-align: left; }}
td {{ font-variant-numeric: tabular-nums; vertical-align: top; }}
tr:nth-child(even) td {{ background: #8881; }}
details {{ border: 1px solid #8884; border-radius: 6px; margin: .6rem 0; padding: 0 .9rem; }}
summary {{ cursor: pointer; font-weight: 600; padding: .5rem 0; min-height: 24px; }}
img {{ max-width: 100%; background: #fff; border-radius: 6px; }}
</style></head><body><main>{body}</main></body></html>
"""
