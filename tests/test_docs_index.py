"""The index of the documentation lists every page that there is."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_index_lists_every_page_but_single_decisions() -> None:
    listed = set(re.findall(r"\]\(([\w./-]+\.md)\)", (DOCS / "README.md").read_text()))

    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    expected = {page for page in pages if not re.match(r"decisions/\d", page)} - {"README.md"}
    assert expected - listed == set()
