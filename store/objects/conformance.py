"""Conformance check at every start: the store must honour create-only writes."""

import uuid

from overnight.store.errors import AlreadyExists, UnsafeStore
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.size_limits import RECORD_BYTES


def probe(bucket: Bucket, *, where: str) -> None:
    """Create one key twice, with different bodies, and expect the second to be refused.

    Raises:
        UnsafeStore: the second creation was let through, or it changed the first.
    """
    key = f"probe/{uuid.uuid4().hex}"
    bucket.create(key, b"first")
    try:
        try:
            bucket.create(key, b"second")
        except AlreadyExists:
            # A store might report the conflict and still overwrite the object.
            if bucket.read(key, RECORD_BYTES) == b"first":
                return
            raise UnsafeStore(where, "a refused write changed the object") from None
        raise UnsafeStore(where, "a second creation of one key was accepted")
    finally:
        bucket.remove(key)
