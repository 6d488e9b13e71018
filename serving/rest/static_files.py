"""Where the pages' scripts and styles are: under the digest of all of them, so caches keep them.

A page of another release names another address, and scripts import one another relative to
their own. So no cache can mix files of two releases, and none has to ask whether one changed.
"""

import functools
import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "static"
CACHE_SECONDS = 365 * 24 * 3_600
_SHOWN = 16


@functools.cache
def static_path() -> str:
    """The path of the folder of static files of this release."""
    contents = hashlib.sha256()
    for file in sorted(path for path in _FOLDER.rglob("*") if path.is_file()):
        body = file.read_bytes()
        contents.update(f"{file.relative_to(_FOLDER)} {len(body)}\n".encode() + body)
    return f"/static/{contents.hexdigest()[:_SHOWN]}"
