"""The landing: arrivals are whole or invisible, and nothing that arrived is ever lost."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.datasets.landing import Arrival, Landing
from overnight.store.errors import AlreadyExists, BadFile, BadKey
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.size_limits import ARRIVAL_BYTES
from tests.support.crashing_stores import ForwardingBucket, Killed, KillingBucket
from tests.support.limits import LIMIT

AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
FILES = {"a.csv": b"one", "b.csv": b"two"}


def land(bucket, name="night-0000", files=FILES, at=AT) -> Arrival:
    return Landing(bucket, "digits").land(name, files, by="ann", at=at)


def bodies(bucket, arrival: Arrival) -> dict[str, bytes | None]:
    landing = Landing(bucket, arrival.model)
    return {file: landing.read_file(arrival, file) for file in arrival.files}


def test_an_arrival_is_read_back_as_it_was_delivered() -> None:
    bucket = MemoryBucket()

    land(bucket)

    (arrival,) = Landing(bucket, "digits").pending()
    assert (arrival.name, arrival.delivered_by, arrival.delivered_at) == ("night-0000", "ann", AT)
    assert bodies(bucket, arrival) == FILES


@pytest.mark.parametrize("writes", range(3))
def test_a_delivery_that_was_killed_is_invisible_and_can_be_repeated(writes: int) -> None:
    bucket = MemoryBucket()

    with pytest.raises(Killed):
        land(KillingBucket(bucket, writes))

    assert Landing(bucket, "digits").pending() == []
    land(bucket, files={"a.csv": b"one", "b.csv": b"another"})
    (arrival,) = Landing(bucket, "digits").pending()
    assert bodies(bucket, arrival)["b.csv"] == b"another"


def test_delivering_the_same_again_changes_nothing() -> None:
    bucket = MemoryBucket()
    first = land(bucket)

    again = land(bucket, at=AT + timedelta(hours=1))

    assert again == first


def test_other_files_under_the_same_name_are_refused() -> None:
    bucket = MemoryBucket()
    land(bucket)

    with pytest.raises(AlreadyExists, match=r"night-0000/arrival\.json"):
        land(bucket, files={"a.csv": b"other"})


def test_names_outside_the_key_grammar_are_kept() -> None:
    bucket = MemoryBucket()
    files = {"7/ä b.png": b"1", "7//ä b.png": b"2", "arrival.json": b"3", "x" * 300: b"4"}

    land(bucket, files=files)

    (arrival,) = Landing(bucket, "digits").pending()
    assert bodies(bucket, arrival) == files


def test_arrivals_come_oldest_first() -> None:
    bucket = MemoryBucket()
    for name, days in (("c", 0), ("a", 2), ("b", 1)):
        land(bucket, name, at=AT + timedelta(days=days))

    assert [arrival.name for arrival in Landing(bucket, "digits").pending()] == ["c", "b", "a"]


def test_a_delivery_of_no_files_is_refused() -> None:
    with pytest.raises(BadFile, match="expected at least one file, found none"):
        land(MemoryBucket(), files={})


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadFile, match="a name in UTF-8"):
        land(MemoryBucket(), files={"a\udcff.png": b"1"})


@pytest.mark.parametrize("name", ["a/b", "", "..", "a b"])
def test_an_arrival_is_named_within_the_key_grammar(name: str) -> None:
    with pytest.raises(BadKey):
        land(MemoryBucket(), name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format"', '"form', "valid arrival"),
        ('"night-0000"', '"night-0001"', "the arrival of this key"),
        ('"segment": "', '"segment": "../../models/', "segment"),
    ],
)
def test_a_foreign_arrival_is_named_and_left_alone(old: str, new: str, message: str) -> None:
    bucket = MemoryBucket()
    arrival, other = land(bucket), land(bucket, "night-0002")
    key = f"{arrival.prefix}/arrival.json"
    body = bucket.read(key, LIMIT).decode().replace(old, new)
    bucket.remove(key)
    bucket.create(key, body.encode())

    listing = Landing(bucket, "digits").listing()

    (stray,) = listing.strays
    assert listing.arrivals == (other,)
    assert (stray.key, message in stray.why) == (arrival.prefix, True)


class LitteredBucket(ForwardingBucket):
    """A bucket into which somebody copied files by other tools, under names of their own."""

    def names_below(self, prefix: str) -> list[str]:
        names = super().names_below(prefix)
        if prefix == "landing/digits":
            return [*names, "..", "٢٠٢٦-١١-٢٢", "README.md", "quarantine"]
        return [*names, "..", "Report (1).csv"] if prefix.endswith("2026-11-22") else names

    def keys_below(self, prefix: str) -> list[str]:
        return [*super().keys_below(prefix), f"{prefix}/Report (1).csv"]


def test_stray_names_are_left_alone_and_the_arrivals_are_listed_and_cleared() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket)
    landing = Landing(LitteredBucket(bucket), "digits")

    listing = landing.listing()
    landing.clear(arrival)

    assert listing.arrivals == (arrival,)
    assert [stray.key.removeprefix("landing/digits/") for stray in listing.strays] == [
        "2026-11-22/..",
        "2026-11-22/Report (1).csv",
        "..",
        "٢٠٢٦-١١-٢٢",
        "README.md",
    ]
    assert landing.quarantined() == []
    assert bucket.keys_below("landing") == []


def test_changed_and_missing_files_are_reported_and_the_others_returned() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket, files={**FILES, "c.csv": b"three"})
    bucket.remove(arrival.key("a.csv"))
    bucket.remove(arrival.key("b.csv"))
    bucket.create(arrival.key("b.csv"), b"tow")

    assert bodies(bucket, arrival) == {"a.csv": None, "b.csv": None, "c.csv": b"three"}


def test_of_a_delivered_file_no_more_is_read_than_was_delivered() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket)
    bucket._objects[arrival.key("a.csv")] += b"more"

    assert bodies(bucket, arrival)["a.csv"] is None


def test_an_arrival_longer_than_any_is_left_alone_by_name() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket)
    bucket._objects[arrival.manifest_key] += b" " * ARRIVAL_BYTES

    (stray,) = Landing(bucket, "digits").listing().strays

    assert "arrival.json: expected at most 64,000,000 bytes" in stray.why


def test_clearing_removes_everything_of_an_arrival_and_nothing_of_others() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket)
    other = land(bucket, "night-0001")
    with pytest.raises(Killed):
        land(KillingBucket(bucket, 2), at=AT - timedelta(days=1))

    Landing(bucket, arrival.model).clear(arrival)

    assert Landing(bucket, "digits").pending() == [other]
    assert bucket.keys_below("landing") == bucket.keys_below(other.prefix)


@pytest.mark.parametrize("removals", range(3))
def test_a_half_cleared_arrival_is_still_pending(removals: int) -> None:
    bucket = MemoryBucket()
    arrival = land(bucket)

    with pytest.raises(Killed):
        Landing(KillingBucket(bucket, removals), arrival.model).clear(arrival)

    assert Landing(bucket, "digits").pending() == [arrival]
    Landing(bucket, arrival.model).clear(arrival)
    assert bucket.keys_below("landing") == []


def test_a_quarantined_file_is_kept_with_its_first_reason() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket)

    Landing(bucket, arrival.model).quarantine(arrival, "a.csv", b"one", "label 11")
    Landing(bucket, arrival.model).quarantine(arrival, "a.csv", b"one", "label 11, said otherwise")
    Landing(bucket, arrival.model).quarantine(arrival, "b.csv", None, "lost")
    Landing(bucket, arrival.model).clear(arrival)

    quarantined = Landing(bucket, "digits").quarantined()
    assert [(bad.file, bad.reason) for bad in quarantined] == [
        ("a.csv", "label 11"),
        ("b.csv", "lost"),
    ]
    key = f"landing/digits/quarantine/night-0000/{quarantined[0].segment}"
    assert bucket.read(key, LIMIT) == b"one"
    assert Landing(bucket, "digits").pending() == []


def test_a_quarantined_file_is_never_mistaken_for_a_reason() -> None:
    bucket = MemoryBucket()
    arrival = land(bucket, files={"reason-a.json": b"no reason"})

    Landing(bucket, arrival.model).quarantine(arrival, "reason-a.json", b"no reason", "unknown")

    assert [bad.file for bad in Landing(bucket, "digits").quarantined()] == ["reason-a.json"]
