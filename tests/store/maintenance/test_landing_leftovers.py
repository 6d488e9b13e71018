"""What refused and killed deliveries left in the landing is removed, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.datasets.landing import Landing
from overnight.store.maintenance.landing_leftovers import leftovers, remove
from overnight.store.objects.memory import MemoryBucket
from tests.support.crashing_stores import Killed, KillingBucket

AT = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
FILES = {"a.csv": b"one", "b.csv": b"two"}


@pytest.fixture
def bucket() -> MemoryBucket:
    """A landing with a whole arrival, one that was killed, and one in quarantine."""
    bucket = MemoryBucket()
    arrival = Landing(bucket, "digits").land("whole", FILES, by="ann", at=AT)
    Landing(bucket, "digits").quarantine(arrival, "a.csv", b"one", "because")
    with pytest.raises(Killed):
        Landing(KillingBucket(bucket, 1), "digits").land("killed", FILES, by="ann", at=AT)
    return bucket


def test_the_files_of_a_delivery_without_a_manifest_are_removed_after_the_grace(
    bucket: MemoryBucket,
) -> None:
    before = bucket.keys_below("landing")

    (leftover,) = leftovers(bucket, "digits", grace_days=2, now=AT + timedelta(days=3))
    removed = remove(bucket, leftover)

    assert leftover.prefix == "landing/digits/2026-11-22/killed"
    assert (removed, leftover.size_bytes) == (True, 3)
    assert set(before) - set(bucket.keys_below("landing")) == {*leftover.files}
    assert [arrival.name for arrival in Landing(bucket, "digits").pending()] == ["whole"]


def test_a_delivery_that_may_be_in_progress_stays(bucket: MemoryBucket) -> None:
    assert leftovers(bucket, "digits", grace_days=2, now=AT + timedelta(days=2)) == []


def test_a_delivery_that_has_become_visible_meanwhile_stays(bucket: MemoryBucket) -> None:
    (leftover,) = leftovers(bucket, "digits", grace_days=2, now=AT + timedelta(days=3))
    arrival = Landing(bucket, "digits").land("killed", FILES, by="ann", at=AT)

    assert not remove(bucket, leftover)
    landing = Landing(bucket, "digits")
    assert {file: landing.read_file(arrival, file) for file in arrival.files} == FILES
