"""The bodies that are being received: each has a least rate, a deadline, and bounded company.

They are received on the event loop and hold neither a thread nor a place among the requests that
are answered. When there are too many, the slowest is given up for the newest: fast ones are done
long before they are the slowest, so slow senders keep nobody out.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from overnight.serving.errors import Overloaded
from overnight.serving.inference.limits import Limits

# A body that is less late than this is not given up for another one.
_PATIENCE_SECONDS = 1.0


@dataclass(eq=False)
class Upload:
    """One body: whose it is, since when it is received, and how much of it came.

    `drop` ends the request; `dropped` is why.
    """

    client: str
    began: float
    drop: Callable[[], object]
    received: int = 0
    dropped: str = ""


class Uploads:
    """All bodies that one worker is receiving. Not thread-safe: used on the event loop alone."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._most, self._each = limits.waiting, max(1, limits.waiting // 4)
        self._uploads: set[Upload] = set()

    def begin(self, client: str, drop: Callable[[], object]) -> Upload:
        """Begin to receive a body; another one may be given up for it.

        Raises:
            Overloaded: there are too many, and none of them is slow.
        """
        if len(self._uploads) >= self._each:
            own = [upload for upload in self._uploads if upload.client == client]
            if len(own) >= self._each and not self._drop_slowest(own):
                raise Overloaded(f"{len(own)} bodies of this client are being received")
            if len(self._uploads) >= self._most and not self._drop_slowest(self._uploads):
                raise Overloaded(f"{len(self._uploads)} bodies are being received")
        upload = Upload(client, self._clock(), drop)
        self._uploads.add(upload)
        return upload

    def end(self, upload: Upload) -> None:
        """The body came, or it was given up."""
        self._uploads.discard(upload)

    def make_room(self, upload: Upload, *, least_bytes: int) -> bool:
        """Give up the slowest other body of which `least_bytes` came; False when none is slow."""
        large = [other for other in self._uploads if other.received >= least_bytes]
        return self._drop_slowest(other for other in large if other is not upload)

    def drop_late(self) -> None:
        """Give up every body that is below the least rate, or past its deadline."""
        now = self._clock()
        for upload in [*self._uploads]:
            if self._lateness(upload) > self._limits.body_grace_seconds:
                self._drop(
                    upload, f"at least {self._limits.body_bytes_per_second:,} bytes a second"
                )
            elif now - upload.began > self._limits.body_seconds:
                self._drop(upload, f"its end within {self._limits.body_seconds:g} s")

    def _lateness(self, upload: Upload) -> float:
        """The seconds that a body has taken longer than it would at the least rate."""
        due = upload.received / self._limits.body_bytes_per_second
        return self._clock() - upload.began - due

    def _drop_slowest(self, uploads: Iterable[Upload]) -> bool:
        slowest = max(uploads, key=self._lateness, default=None)
        if slowest is None or self._lateness(slowest) < _PATIENCE_SECONDS:
            return False
        self._drop(slowest, "more while others wait")
        return True

    def _drop(self, upload: Upload, expected: str) -> None:
        seconds = self._clock() - upload.began
        upload.dropped = f"expected {expected}, found {upload.received:,} bytes in {seconds:.1f} s"
        self.end(upload)
        upload.drop()
