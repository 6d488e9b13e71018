"""Downloads files from the first of several mirrors that responds."""

import queue
import threading
import time
from collections.abc import Mapping, Sequence

import httpx

from overnight.store.errors import BadFile

_CONNECT_SECONDS = 5.0
# Resolving a host name can take longer than any time-out of a socket.
_RACE_SECONDS = 8.0
_FETCH_SECONDS = 120.0
_MAXIMUM_BYTES = 100_000_000
_CHUNK_BYTES = 1 << 20


def fetch_first(
    mirrors: Sequence[str], names: Sequence[str], *, race_seconds: float = _RACE_SECONDS
) -> Mapping[str, bytes]:
    """All files of the first mirror that delivers the last of `names` and then all of them.

    Without a network this gives up after `race_seconds`.

    Raises:
        BadFile: naming every mirror and its error.
    """
    refusals: dict[str, str] = {}
    answers: queue.Queue[tuple[str, str | None]] = queue.Queue()
    for mirror in mirrors:
        # Daemon threads, so that a host name that never resolves does not block the exit.
        threading.Thread(target=_probe, args=(mirror, names[-1], answers), daemon=True).start()
    deadline = time.monotonic() + race_seconds
    while len(refusals) < len(mirrors):
        try:
            mirror, refusal = answers.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            break
        try:
            if refusal is None:
                return {name: _fetch(mirror + name) for name in names}
        except (httpx.HTTPError, OSError) as error:
            refusal = str(error)
        refusals[mirror] = refusal or "no reason"
    reasons = "; ".join(f"{mirror} {refusals.get(mirror, 'did not answer')}" for mirror in mirrors)
    raise BadFile("the mirrors", expected="one that answers", found=reasons)


def _probe(mirror: str, name: str, answers: queue.Queue[tuple[str, str | None]]) -> None:
    """Fetch one small file of a mirror, and put its error, or None, into the queue."""
    try:
        _fetch(mirror + name)
    except (httpx.HTTPError, OSError, ValueError) as error:
        answers.put((mirror, str(error)))
    else:
        answers.put((mirror, None))


def _fetch(address: str) -> bytes:
    """The body at an address, with a limit on its size and on the time it may take."""
    deadline = time.monotonic() + _FETCH_SECONDS
    body = bytearray()
    with httpx.stream("GET", address, timeout=_CONNECT_SECONDS, follow_redirects=True) as response:
        response.raise_for_status()
        # Raw: some mirrors declare `Content-Encoding: gzip` for files that are gzip by themselves.
        for part in response.iter_raw(_CHUNK_BYTES):
            body += part
            if len(body) > _MAXIMUM_BYTES or time.monotonic() > deadline:
                raise OSError(f"{address} is too large or too slow")
    return bytes(body)
