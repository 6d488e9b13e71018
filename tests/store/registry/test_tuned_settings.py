"""Tuned settings are a log whose newest record applies."""

import threading

import pytest

from overnight.store.errors import AlreadyExists
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.tuned_settings import TunedSettings, TunedSettingsLog


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def tuned(**settings: float) -> TunedSettings:
    return TunedSettings(model="digits", sequence=0, settings=settings, by="ann", reason="slow")


def test_a_model_has_no_tuned_settings_at_first(bucket):
    assert TunedSettingsLog(bucket, "digits").current() is None


def test_the_newest_record_applies_and_older_ones_stay(bucket):
    first = TunedSettingsLog(bucket, "digits").append(tuned(epochs=5))
    second = TunedSettingsLog(bucket, "digits").append(tuned(epochs=7))

    assert (first.sequence, second.sequence) == (1, 2)
    newest = TunedSettingsLog(bucket, "digits").current()
    assert newest == second
    assert newest.settings == {"epochs": 7}
    assert len(bucket.keys_below(keys.tuned("digits"))) == 2


def test_another_model_has_a_log_of_its_own(bucket):
    TunedSettingsLog(bucket, "digits").append(tuned(epochs=5))

    assert TunedSettingsLog(bucket, "sales").current() is None


def test_searches_that_end_at_once_are_all_recorded(bucket):
    searches = [
        threading.Thread(
            target=TunedSettingsLog(bucket, "digits").append, args=(tuned(epochs=epochs),)
        )
        for epochs in range(1, 9)
    ]
    for search in searches:
        search.start()
    for search in searches:
        search.join()

    assert len(bucket.keys_below(keys.tuned("digits"))) == 8
    newest = TunedSettingsLog(bucket, "digits").current()
    assert newest is not None
    assert newest.sequence == 8


@pytest.mark.parametrize("stray", ["99999999.json/x", "00000002.json/x", "².json"])
def test_names_without_records_hide_no_record(bucket, stray):
    first = TunedSettingsLog(bucket, "digits").append(tuned(epochs=5))
    bucket._objects[f"{keys.tuned('digits')}/{stray}"] = b"x"

    assert TunedSettingsLog(bucket, "digits").current() == first
    assert TunedSettingsLog(bucket, "digits").append(tuned(epochs=7)).sequence == 2


def test_the_sequence_of_a_record_is_that_of_its_key(bucket):
    planted = tuned(epochs=5)
    bucket.create(keys.tuned_record("digits", 1), planted.model_dump_json().encode())

    assert TunedSettingsLog(bucket, "digits").append(tuned(epochs=7)).sequence == 2


class Overtaken(MemoryBucket):
    """A bucket in which another record is created first, once."""

    first: TunedSettings | None = None

    def create(self, key: str, body: bytes) -> None:
        if self.first is not None:
            first, self.first = self.first, None
            super().create(key, first.encoded())
        super().create(key, body)


def test_a_search_that_lost_its_number_is_recorded_after_the_winner():
    bucket = Overtaken()
    bucket.first = tuned(epochs=5)

    record = TunedSettingsLog(bucket, "digits").append(tuned(epochs=7))

    assert (record.sequence, record.settings) == (2, {"epochs": 7})
    assert TunedSettingsLog(bucket, "digits").current() == record
    assert len(bucket.keys_below(keys.tuned("digits"))) == 2


class Unanswered(MemoryBucket):
    """A bucket that creates an object and answers as to the second attempt."""

    def create(self, key: str, body: bytes) -> None:
        super().create(key, body)
        raise AlreadyExists(key)


def test_a_write_whose_response_was_lost_is_recorded_once():
    bucket, settings = Unanswered(), tuned(epochs=5)

    record = TunedSettingsLog(bucket, "digits").append(settings)

    assert (record.sequence, record.id) == (1, settings.id)
    assert len(bucket.keys_below(keys.tuned("digits"))) == 1
