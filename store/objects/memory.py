"""A bucket in memory, for tests: the same contract as over S3."""

import threading

from overnight.store.errors import AlreadyExists, NotFound, TooLarge
from overnight.store.objects import keys


class MemoryBucket:
    """A `Bucket` that lives as long as the process."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def create(self, key: str, body: bytes) -> None:
        keys.check(key)
        with self._lock:
            # Equal bytes succeed, as over S3, where they may be a retry of our own write.
            if self._objects.setdefault(key, body) != body:
                raise AlreadyExists(key)

    def read(self, key: str, limit: int) -> bytes:
        keys.check(key)
        with self._lock:
            try:
                body = self._objects[key]
            except KeyError:
                raise NotFound(key) from None
        if len(body) > limit:
            raise TooLarge.object(key, limit, len(body))
        return body

    def keys_below(self, prefix: str) -> list[str]:
        keys.check(prefix)
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix + "/"))

    def names_below(self, prefix: str) -> list[str]:
        return sorted({key[len(prefix) + 1 :].split("/")[0] for key in self.keys_below(prefix)})

    def sizes_below(self, prefix: str) -> dict[str, int]:
        below = f"{keys.check(prefix)}/" if prefix else ""
        with self._lock:
            return {
                key: len(body)
                for key, body in sorted(self._objects.items())
                if key.startswith(below)
            }

    def remove(self, key: str) -> None:
        keys.check_removable(key)
        with self._lock:
            self._objects.pop(key, None)

    def discard(self, key: str) -> None:
        keys.check_discardable(key)
        with self._lock:
            self._objects.pop(key, None)
