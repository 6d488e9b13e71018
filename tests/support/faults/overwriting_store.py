"""A store on which nothing may rest."""

from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket


class OverwritingBucket(MemoryBucket):
    """It answers 200 and overwrites, as several do that call themselves S3."""

    def create(self, key: str, body: bytes) -> None:
        keys.check(key)
        with self._lock:
            self._objects[key] = body
