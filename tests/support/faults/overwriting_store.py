"""A store that ignores conditional writes."""

from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket


class OverwritingBucket(MemoryBucket):
    """Overwrites existing keys without an error, as some S3-compatible servers do."""

    def create(self, key: str, body: bytes) -> None:
        keys.check(key)
        with self._lock:
            self._objects[key] = body
