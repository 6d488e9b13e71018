"""A log as a host follows it: from the last record that it knows, and only ever forwards.

A store that was set back, or in which somebody rewrote history, would have serving take up what
was rolled back long ago. The last record is on the host's own disk, and the log has to hold it.
"""

import time
from collections.abc import Callable
from pathlib import Path

from serving.errors import LogWentBack
from store.aliases import AliasLog, AliasRecord

CHECK_SECONDS = 60.0


class Followed:
    """What is newer in a log than what is remembered of it."""

    def __init__(
        self, log: AliasLog, memory: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`memory` is the folder in which this host remembers the log; it is told to people."""
        self._log, self._memory, self._clock = log, memory, clock
        self._checked_at: float | None = None

    def newer(self, last: AliasRecord | None) -> AliasRecord | None:
        """The newest record after `last`, if there is one: mostly one small GET.

        That the log still holds `last` is asked at first, now and then, and before anything newer
        is taken from it.

        Raises:
            LogWentBack: it does not, or holds another record in its place.
        """
        if last is None:
            return self._log.current() if self._log.at(1) is not None else None
        now = self._clock()
        if self._checked_at is None or now - self._checked_at >= CHECK_SECONDS:
            self._check(last, now)
        following = self._log.at(last.sequence + 1)
        if following is None:
            return None
        if self._checked_at != now:
            self._check(last, now)
        return self._log.current(since=following.sequence)

    def _check(self, last: AliasRecord, now: float) -> None:
        found = self._log.at(last.sequence)
        if found is None or found.id != last.id:
            self._checked_at = None
            raise LogWentBack(
                self._log.name,
                known=f"record {last.sequence} to be that of {last.version} as it was followed",
                found=f"another one, of {found.version}" if found else "none of this number",
                memory=str(self._memory),
            )
        self._checked_at = now
