"""Files that several public places offer: ask all at once, take the first that answers."""

import contextlib
import queue
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence

from overnight.store.errors import BadFile

_CONNECT_SECONDS = 5.0
# Looking up a name can take longer than any time-out of a socket.
_RACE_SECONDS = 8.0
_FETCH_SECONDS = 120.0
_MAXIMUM_BYTES = 100_000_000
_CHUNK_BYTES = 1 << 20


def fetch_first(
    mirrors: Sequence[str], names: Sequence[str], *, race_seconds: float = _RACE_SECONDS
) -> Mapping[str, bytes]:
    """All files of the first mirror that hands over the smallest and then all of them.

    Without a network this gives up after `race_seconds`, whatever the network does.

    Raises:
        BadFile: naming every mirror and what it said.
    """
    refusals: dict[str, str] = {}
    answers: queue.Queue[tuple[str, str | None]] = queue.Queue()
    for mirror in mirrors:
        # A daemon, so that a name that is never found keeps nobody from ending.
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
        except OSError as error:
            refusal = str(error)
        refusals[mirror] = refusal or "nothing"
    reasons = "; ".join(f"{mirror} {refusals.get(mirror, 'did not answer')}" for mirror in mirrors)
    raise BadFile("the mirrors", expected="one that answers", found=reasons)


def _probe(mirror: str, name: str, answers: queue.Queue[tuple[str, str | None]]) -> None:
    """Report whether a mirror hands over one small file."""
    try:
        _fetch(mirror + name)
    except (OSError, ValueError) as error:
        answers.put((mirror, str(error)))
    else:
        answers.put((mirror, None))


def _fetch(address: str) -> bytes:
    """The body at an address, with a limit on its size and on the time it may take."""
    deadline = time.monotonic() + _FETCH_SECONDS
    parts: list[bytes] = []
    total_bytes = 0
    with contextlib.closing(
        urllib.request.urlopen(address, timeout=_CONNECT_SECONDS)  # noqa: S310 - constants of ours
    ) as answer:
        while part := answer.read(_CHUNK_BYTES):
            parts.append(part)
            total_bytes += len(part)
            if total_bytes > _MAXIMUM_BYTES or time.monotonic() > deadline:
                raise OSError(f"{address} is too large or too slow")
    return b"".join(parts)
