"""Whether the embedded store still takes writes, although it answers.

SeaweedFS keeps its index in LevelDB, which refuses every write after one has failed, as on a full
disk, until it is opened again; reads continue.
"""

import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from overnight.store.errors import OvernightError, StoreUnavailable
from overnight.store.objects.bucket import Bucket

# SeaweedFS takes no writes by itself while less than a hundredth of the disk is free.
_ROOM_SHARE = 0.02
_ROOM_BYTES = 100_000_000


def has_room(folder: Path) -> bool:
    """Whether a write that fails on this disk fails for another reason than a full disk."""
    usage = shutil.disk_usage(folder)
    return usage.free > max(_ROOM_BYTES, _ROOM_SHARE * usage.total)


class StoreWrites:
    """Tries a write now and then, and at each look once one has failed."""

    def __init__(
        self, bucket: Bucket, has_room: Callable[[], bool], *, every_seconds: float = 30
    ) -> None:
        self._bucket, self._has_room, self._every_seconds = bucket, has_room, every_seconds
        self._due = time.monotonic() + every_seconds
        self._failing = False

    def stuck(self) -> bool:
        """Whether writes fail although there is room for them: then only a restart helps."""
        if self._failing or time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every_seconds
            self._try()
        return self._failing and self._has_room()

    def _try(self) -> None:
        key = f"probe/{uuid.uuid4().hex}"
        try:
            self._bucket.create(key, b"writes")
        except StoreUnavailable as error:
            # One that does not answer in time is busy, or away, which the health check tells.
            self._failing = self._failing or error.answered
        except OvernightError:
            # No bucket yet, or no permission: restarting would not help.
            self._failing = False
        else:
            self._failing = False
            with suppress(OvernightError):
                self._bucket.remove(key)
