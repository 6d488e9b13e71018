"""One suite over every bucket: in memory, and over a real S3 server."""

import threading
from collections.abc import Iterator

import pytest

from overnight.store.errors import (
    AlreadyExists,
    BadKey,
    NotFound,
    StoreDenied,
    StoreUnavailable,
    TooLarge,
    UnsafeStore,
)
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.conformance import probe
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.limits import LIMIT


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.servers)])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    if request.param == "memory":
        yield MemoryBucket()
    else:
        yield request.getfixturevalue("s3_bucket")


def test_a_created_object_is_read_back(bucket: Bucket) -> None:
    bucket.create("a/b.bin", b"\x00\xff" * 1000)

    assert bucket.read("a/b.bin", LIMIT) == b"\x00\xff" * 1000


def test_a_body_over_the_limit_is_refused_with_its_size(bucket: Bucket) -> None:
    bucket.create("a", b"12345")

    assert bucket.read("a", 5) == b"12345"
    with pytest.raises(TooLarge, match="a: expected at most 4 bytes, found 5 bytes"):
        bucket.read("a", 4)
    assert bucket.read("a", 5) == b"12345"


def test_a_longer_body_is_another_one_to_the_loser_of_a_creation(bucket: Bucket) -> None:
    bucket.create("a", b"12345")

    with pytest.raises(AlreadyExists):
        bucket.create("a", b"1234")


def test_first_writer_wins_creation(bucket: Bucket) -> None:
    bucket.create("a", b"1")

    with pytest.raises(AlreadyExists, match="a exists already"):
        bucket.create("a", b"2")

    assert bucket.read("a", LIMIT) == b"1"


def test_creating_equal_bytes_again_succeeds(bucket: Bucket) -> None:
    bucket.create("a", b"1")

    bucket.create("a", b"1")

    assert bucket.read("a", LIMIT) == b"1"


def test_exactly_one_of_many_creators_wins(bucket: Bucket) -> None:
    won: list[int] = []
    lost: list[int] = []

    def create(who: int) -> None:
        try:
            bucket.create("contended", str(who).encode())
            won.append(who)
        except AlreadyExists:
            lost.append(who)

    threads = [threading.Thread(target=create, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert len(lost) == 7
    assert bucket.read("contended", LIMIT) == str(won[0]).encode()


def test_a_missing_key_is_named(bucket: Bucket) -> None:
    with pytest.raises(NotFound, match="nobody/wrote/this does not exist"):
        bucket.read("nobody/wrote/this", LIMIT)


def test_a_listing_has_every_depth_in_order_and_only_the_prefix(bucket: Bucket) -> None:
    for key in ("p/b", "p/a/2", "p/a/1", "pp/x", "p.json"):
        bucket.create(key, b"x")

    assert bucket.keys_below("p") == ["p/a/1", "p/a/2", "p/b"]
    assert bucket.names_below("p") == ["a", "b"]
    assert bucket.keys_below("q") == []
    assert bucket.names_below("q") == []


def test_a_name_can_be_both_an_object_and_a_folder(bucket: Bucket) -> None:
    bucket.create("log/00000001.json", b"x")
    bucket.create("log/00000001/replicas/one.json", b"x")

    assert bucket.names_below("log") == ["00000001", "00000001.json"]


def test_listings_longer_than_a_page_are_complete(bucket: Bucket) -> None:
    threads = [
        threading.Thread(
            target=lambda part: [
                bucket.create(f"many/{n:05d}", b"") for n in range(part, 1100, 11)
            ],
            args=(part,),
        )
        for part in range(11)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bucket.keys_below("many") == [f"many/{n:05d}" for n in range(1100)]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        ".",
        "a\\b",
        "ä",
        "a b",
        "a\n",
        "x" * 256,
        "a?b",
        "a/" * 600,
    ],
)
def test_no_key_outside_the_grammar_reaches_the_store(bucket: Bucket, key: str) -> None:
    for act in (bucket.keys_below, bucket.names_below):
        with pytest.raises(BadKey):
            act(key)
    with pytest.raises(BadKey):
        bucket.read(key, LIMIT)
    with pytest.raises(BadKey):
        bucket.create(key, b"")


def test_only_arrivals_and_probes_can_be_removed(bucket: Bucket) -> None:
    bucket.create("landing/digits/2026-11-22/a/f", b"x")
    bucket.create("models/digits/versions/v", b"x")

    bucket.remove("landing/digits/2026-11-22/a/f")
    bucket.remove("landing/digits/2026-11-22/a/f")
    with pytest.raises(BadKey, match="only keys under"):
        bucket.remove("models/digits/versions/v")

    assert bucket.keys_below("landing") == []
    assert bucket.read("models/digits/versions/v", LIMIT) == b"x"


def test_of_versions_only_files_can_be_discarded(bucket: Bucket) -> None:
    version = "models/digits/versions/20261122T020000-0123456789ab"
    for name in ("network.keras", "manifest.json", "decision.json", "signatures/0a.json"):
        bucket.create(f"{version}/{name}", b"x")

    bucket.discard(f"{version}/network.keras")
    bucket.discard(f"{version}/network.keras")
    bucket.discard(f"{version}/signatures/0a.json")
    for kept in (
        f"{version}/manifest.json",
        f"{version}/decision.json",
        f"{version}/collected.json",
        f"{version}/../decision.json",
        "models/digits/aliases/champion/00000001.json",
        "models/digits/settings/00000001.json",
        "datasets/digits/rows/part-0.parquet",
        "landing/digits/2026-11-22/a/f",
    ):
        with pytest.raises(BadKey, match="only files of versions may be discarded"):
            bucket.discard(kept)

    assert [key.removeprefix(version) for key in bucket.keys_below(version)] == [
        "/decision.json",
        "/manifest.json",
    ]


def test_sizes_are_listed_below_a_prefix_and_of_the_whole_bucket(bucket: Bucket) -> None:
    for key, body in {"p/b": b"22", "p/a/1": b"", "pp/x": b"333"}.items():
        bucket.create(key, body)

    assert bucket.sizes_below("p") == {"p/a/1": 0, "p/b": 2}
    assert list(bucket.sizes_below("p")) == ["p/a/1", "p/b"]
    assert bucket.sizes_below("") == {"p/a/1": 0, "p/b": 2, "pp/x": 3}
    assert bucket.sizes_below("nothing") == {}
    with pytest.raises(BadKey):
        bucket.sizes_below("p/")


def test_the_probe_accepts_a_conforming_store(bucket: Bucket) -> None:
    probe(bucket, where="here")

    assert bucket.keys_below("probe") == []


class Careless(MemoryBucket):
    """A store that answers 200 and overwrites, as several that call themselves S3 do."""

    def create(self, key: str, body: bytes) -> None:
        with self._lock:
            self._objects[key] = body


def test_the_probe_refuses_a_store_that_overwrites() -> None:
    with pytest.raises(UnsafeStore, match="a second creation of one key was accepted"):
        probe(Careless(), where="http://careless")


def test_an_unreachable_store_is_named_with_its_setting() -> None:
    nowhere = S3Address("http://127.0.0.1:9", "b", "AK", "SK")

    with pytest.raises(StoreUnavailable, match="OVERNIGHT_S3_ENDPOINT"):
        S3Bucket(nowhere, tries=1).read("a", LIMIT)


@pytest.mark.servers
def test_wrong_credentials_are_reported_as_such(s3_address: S3Address) -> None:
    wrong = S3Address(s3_address.endpoint, s3_address.bucket, s3_address.access_key, "wrong")

    with pytest.raises(StoreDenied, match="OVERNIGHT_S3_SECRET_KEY"):
        S3Bucket(wrong).read("a", LIMIT)


def test_the_repr_of_an_address_has_no_secret() -> None:
    assert "hidden" not in repr(S3Address("http://s3", "b", "AK", "hidden"))
