"""Invalid records are reported with their key."""

from collections.abc import Callable

import pytest

from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.errors import CorruptRecord
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.size_limits import RECORD_BYTES
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.live_scores import LiveScores
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tuned_settings import TunedSettingsLog

MODEL, VERSION = "digits", "20261122T020000-0123456789ab"
PRINT = "0" * 64
READERS: dict[str, Callable[[Bucket], object]] = {
    keys.decision(MODEL, VERSION): lambda bucket: ModelRegistry(bucket, MODEL).decisions.find(
        VERSION
    ),
    keys.tombstone(MODEL, VERSION): lambda bucket: ModelRegistry(bucket, MODEL).tombstones.find(
        VERSION
    ),
    keys.tombstone_revoked(MODEL, VERSION): lambda bucket: ModelRegistry(
        bucket, MODEL
    ).tombstones.revoked(VERSION),
    keys.refusal(MODEL, PRINT, None): lambda bucket: ModelRegistry(bucket, MODEL).refusals.find(
        PRINT, compared_with=None
    ),
    keys.score(MODEL, VERSION, "day"): lambda bucket: LiveScores(bucket, MODEL).find(
        VERSION, "day"
    ),
    keys.pending_review(MODEL, "day"): lambda bucket: ArrivalReviews(bucket, MODEL).pending(),
    keys.arrival_review(MODEL, "day", 1): lambda bucket: ArrivalReviews(bucket, MODEL).excluded(),
    keys.tuned_record(MODEL, 1): lambda bucket: TunedSettingsLog(bucket, MODEL).current(),
}


@pytest.mark.parametrize("key", READERS)
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"model": "digits", "at"', b"\xff"])
def test_an_invalid_record_is_reported_with_its_key(key: str, body: bytes) -> None:
    bucket = MemoryBucket()
    bucket.create(key, body)

    with pytest.raises(CorruptRecord, match=f"{key}: expected a valid [A-Z]"):
        READERS[key](bucket)


@pytest.mark.parametrize("key", READERS)
def test_a_record_longer_than_any_is_reported_before_it_is_parsed(key: str) -> None:
    bucket = MemoryBucket()
    bucket.create(key, b" " * (RECORD_BYTES + 1))

    with pytest.raises(CorruptRecord, match=f"{key}: expected a .* of at most 4,000,000 bytes"):
        READERS[key](bucket)


def test_an_unreadable_withdrawal_is_an_error() -> None:
    bucket = MemoryBucket()
    record = AliasLog(bucket, MODEL, "challenger").append(
        VERSION, expected=None, actor=Actor("ann", "x"), action="started"
    )
    bucket.create(keys.withdrawal(MODEL, "challenger", 1), b"{}")

    with pytest.raises(CorruptRecord, match=r"withdrawn\.json"):
        Challenges(bucket, record.model).withdrawal(record)


@pytest.mark.parametrize("key", READERS)
def test_a_missing_record_is_no_error(key: str) -> None:
    READERS[key](MemoryBucket())
