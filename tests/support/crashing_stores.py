"""Buckets and datasets that raise at a chosen write, like a process killed there."""

import itertools
from collections.abc import Iterator, Mapping

import pyarrow as pa

from overnight.store.datasets.delta_table import Dataset
from overnight.store.objects.bucket import Bucket


class Killed(BaseException):
    """Raised where the process would have died; no code of ours catches it."""


class Fuse:
    """Lets `writes` writes pass, then kills `before` the next one or just after it."""

    def __init__(self, writes: int, *, before: bool = True) -> None:
        self._writes = writes
        self._before = before
        self._seen: Iterator[int] = itertools.count()

    def around(self, write):
        seen = next(self._seen)
        if seen > self._writes or (seen == self._writes and self._before):
            raise Killed
        answer = write()
        if seen == self._writes:
            raise Killed
        return answer


class ForwardingBucket:
    """Forwards every call to another bucket; subclasses override what fails."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def create(self, key: str, body: bytes) -> None:
        self._bucket.create(key, body)

    def read(self, key: str, limit: int) -> bytes:
        return self._bucket.read(key, limit)

    def keys_below(self, prefix: str) -> list[str]:
        return self._bucket.keys_below(prefix)

    def names_below(self, prefix: str) -> list[str]:
        return self._bucket.names_below(prefix)

    def sizes_below(self, prefix: str) -> dict[str, int]:
        return self._bucket.sizes_below(prefix)

    def remove(self, key: str) -> None:
        self._bucket.remove(key)

    def discard(self, key: str) -> None:
        self._bucket.discard(key)


class KillingBucket(ForwardingBucket):
    """A bucket that dies at its fuse's write."""

    def __init__(self, bucket: Bucket, fuse: Fuse | int) -> None:
        super().__init__(bucket)
        self._fuse = Fuse(fuse) if isinstance(fuse, int) else fuse

    def create(self, key: str, body: bytes) -> None:
        self._fuse.around(lambda: self._bucket.create(key, body))

    def remove(self, key: str) -> None:
        self._fuse.around(lambda: self._bucket.remove(key))

    def discard(self, key: str) -> None:
        self._fuse.around(lambda: self._bucket.discard(key))


class KillingDataset(Dataset):
    """A dataset that dies at its fuse's write."""

    def __init__(self, uri: str, fuse: Fuse) -> None:
        super().__init__(uri)
        self._fuse = fuse

    def append(self, rows: pa.Table, arrival: str, details: Mapping[str, str] | None = None) -> int:
        append = super().append
        return self._fuse.around(lambda: append(rows, arrival, details))

    def append_batches(
        self,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        arrival: str,
        details: Mapping[str, str] | None = None,
    ) -> int:
        append = super().append_batches
        return self._fuse.around(lambda: append(schema, batches, arrival, details))
