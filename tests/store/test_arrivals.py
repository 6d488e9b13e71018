"""Words about arrivals: kept for ever, the last one counts, and what nobody spoke of waits."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from store.arrivals import decide, decision, decisions, excluded, hold, waiting
from store.errors import BadKey
from store.manifest import Finding
from store.memory import MemoryBucket
from store.s3 import S3Bucket

FINDING = Finding(gate="SameShares", metric="label", passed=False, message="sevens are missing")


def held(bucket: MemoryBucket, *names: str) -> None:
    for name in names:
        hold(bucket, "digits", name, [FINDING], compared_with="v1")


def test_what_is_held_waits_with_what_was_found_first() -> None:
    bucket = MemoryBucket()
    held(bucket, "night-2", "night-1")
    hold(bucket, "digits", "night-1", [], compared_with="v2")

    first, second = waiting(bucket, "digits")

    assert (first.arrival, second.arrival) == ("night-1", "night-2")
    assert (first.findings, first.compared_with) == ((FINDING,), "v1")
    assert waiting(bucket, "sales") == []


def test_a_word_ends_the_waiting_and_the_last_one_counts() -> None:
    bucket = MemoryBucket()
    held(bucket, "night-1", "night-2")

    decide(bucket, "digits", "night-1", verdict="accepted", by="ann", reason="fine")
    assert [one.arrival for one in waiting(bucket, "digits")] == ["night-2"]
    decide(bucket, "digits", "night-1", verdict="excluded", by="bob", reason="not fine")

    last = decision(bucket, "digits", "night-1")
    assert last is not None
    assert (last.verdict, last.by, last.sequence) == ("excluded", "bob", 2)
    assert excluded(bucket, "digits") == ("night-1",)
    assert set(decisions(bucket, "digits")) == {"night-1"}


def test_the_same_word_again_is_the_first_one() -> None:
    bucket = MemoryBucket()
    first = decide(bucket, "digits", "n", verdict="accepted", by="ann", reason="fine")

    assert decide(bucket, "digits", "n", verdict="accepted", by="bob", reason="so") == first


@pytest.mark.parametrize("name", ["a/b", "..", "", "ä"])
def test_a_name_that_cannot_be_an_arrival_s_never_reaches_the_store(name: str) -> None:
    with pytest.raises(BadKey):
        decide(MemoryBucket(), "digits", name, verdict="accepted", by="ann", reason="fine")


@pytest.mark.servers
def test_of_words_at_the_same_moment_each_is_kept_and_one_is_last(s3_bucket: S3Bucket) -> None:
    def say(n: int) -> None:
        verdict = ("accepted", "excluded")[n % 2]
        decide(s3_bucket, "digits", "n", verdict=verdict, by=f"p{n}", reason="so")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(say, range(4)))

    last = decision(s3_bucket, "digits", "n")
    assert last is not None
    assert len(s3_bucket.keys_below("datasets/digits/arrivals/n")) == last.sequence
    assert set(decisions(s3_bucket, "digits")) == {"n"}
