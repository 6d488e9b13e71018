"""What requests that write alias records share: their reason, their versions, and their turn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serving.routes.bodies import registry
from store import keys
from store.bucket import Bucket
from store.errors import BadInput, NotServed, Overloaded

LONGEST_REASON = 500
_writing = threading.Lock()


@contextmanager
def alone() -> Iterator[Bucket]:
    """The bucket, for one request at a time: who waits for the store keeps a thread from answering.

    Raises:
        NotServed: this server follows no store.
        Overloaded: another request is writing at this moment.
    """
    bucket = registry()
    if bucket is None:
        raise NotServed("this server follows no store, so nothing can be changed here", ())
    if not _writing.acquire(blocking=False):
        raise Overloaded("another change is under way here; look at its outcome first")
    try:
        yield bucket
    finally:
        _writing.release()


def reason_of(asked: dict[str, Any]) -> str:
    """Why, in words that are kept for good.

    Raises:
        BadInput: nothing, or too much.
    """
    reason = asked.get("reason")
    words = " ".join(reason.split()) if isinstance(reason, str) else ""
    if not words or len(words) > LONGEST_REASON:
        found = f"{len(words)} characters" if isinstance(reason, str) else f"{reason!r:.80}"
        raise BadInput("reason", expected=f"1 to {LONGEST_REASON} characters", found=found)
    return words


def version_of(asked: dict[str, Any], field: str) -> str | None:
    """A version by its name, or None where none is named.

    Raises:
        BadInput: it is no version's name.
    """
    version = asked.get(field)
    if version is None or (isinstance(version, str) and keys.is_version(version)):
        return version
    raise BadInput(field, expected="the name of a version", found=f"{version!r:.80}")
