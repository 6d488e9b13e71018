"""Reviews of arrivals: decisions are kept, the last one counts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.errors import BadKey
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Finding

FINDING = Finding(gate="SameShares", metric="label", passed=False, message="sevens are missing")


def park(bucket: MemoryBucket, *names: str) -> None:
    for name in names:
        ArrivalReviews(bucket, "digits").park(name, [FINDING], compared_with="v1")


def test_a_parked_arrival_is_pending_with_its_first_findings() -> None:
    bucket = MemoryBucket()
    park(bucket, "night-2", "night-1")
    ArrivalReviews(bucket, "digits").park("night-1", [], compared_with="v2")

    first, second = ArrivalReviews(bucket, "digits").pending()

    assert (first.arrival, second.arrival) == ("night-1", "night-2")
    assert (first.findings, first.compared_with) == ((FINDING,), "v1")
    assert ArrivalReviews(bucket, "sales").pending() == []


def test_a_decision_ends_a_review_and_the_last_one_counts() -> None:
    bucket = MemoryBucket()
    park(bucket, "night-1", "night-2")

    ArrivalReviews(bucket, "digits").decide("night-1", "accepted", Actor("ann", "fine"))
    assert [one.arrival for one in ArrivalReviews(bucket, "digits").pending()] == ["night-2"]
    ArrivalReviews(bucket, "digits").decide("night-1", "excluded", Actor("bob", "not fine"))

    last = ArrivalReviews(bucket, "digits").decision("night-1")
    assert last is not None
    assert (last.verdict, last.by, last.sequence) == ("excluded", "bob", 2)
    assert ArrivalReviews(bucket, "digits").excluded() == ("night-1",)
    assert set(ArrivalReviews(bucket, "digits").decisions()) == {"night-1"}


def test_repeating_a_decision_returns_the_first_one() -> None:
    bucket = MemoryBucket()
    first = ArrivalReviews(bucket, "digits").decide("n", "accepted", Actor("ann", "fine"))

    assert ArrivalReviews(bucket, "digits").decide("n", "accepted", Actor("bob", "so")) == first


@pytest.mark.parametrize("name", ["a/b", "..", "", "ä"])
def test_an_invalid_arrival_name_never_reaches_the_store(name: str) -> None:
    with pytest.raises(BadKey):
        ArrivalReviews(MemoryBucket(), "digits").decide(name, "accepted", Actor("ann", "fine"))


@pytest.mark.servers
def test_of_concurrent_decisions_each_is_kept_and_one_is_last(s3_bucket: S3Bucket) -> None:
    def decide(n: int) -> None:
        verdict = ("accepted", "excluded")[n % 2]
        ArrivalReviews(s3_bucket, "digits").decide("n", verdict, Actor(f"p{n}", "so"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, range(4)))

    last = ArrivalReviews(s3_bucket, "digits").decision("n")
    assert last is not None
    assert len(s3_bucket.keys_below("datasets/digits/arrivals/n")) == last.sequence
    assert set(ArrivalReviews(s3_bucket, "digits").decisions()) == {"n"}
