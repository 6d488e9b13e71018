"""Monitor records are a create-only log; a damaged record hides no other."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from overnight.store.errors import AlreadyExists, CorruptRecord
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.monitoring import CarriedOut, MonitorLog, MonitorRecord

DAY = datetime(2026, 11, 30, tzinfo=UTC)


def record(sequence: int, **fields: object) -> MonitorRecord:
    return MonitorRecord.model_validate(
        {
            "model": "digits",
            "sequence": sequence,
            "champion": None,
            "since": None,
            "until": DAY,
            **fields,
        }
    )


def test_the_newest_record_is_the_last_of_the_log():
    log = MonitorLog(MemoryBucket(), "digits")

    assert log.last() is None
    written = [log.append(record(sequence)) for sequence in (1, 2, 3)]

    assert log.last() == written[-1]
    assert log.recent(2).records == (written[2], written[1])


def test_of_two_runs_at_once_exactly_one_writes_a_number():
    log = MonitorLog(MemoryBucket(), "digits")

    def write(_: int) -> bool:
        try:
            log.append(record(1))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        wrote = list(threads.map(write, range(8)))

    assert wrote.count(True) == 1
    assert log.last_sequence() == 1


def test_a_damaged_record_is_named_and_hides_nothing_else():
    bucket = MemoryBucket()
    log = MonitorLog(bucket, "digits")
    first = log.append(record(1))
    bucket.create(keys.monitor_record("digits", 2), b'{"model": "digits"')
    third = log.append(record(3))

    recent = log.recent(10)

    assert recent.records == (third, first)
    assert len(recent.damaged) == 1
    assert "monitoring/00000002.json" in recent.damaged[0]
    assert log.last_sequence() == 3


def test_a_damaged_newest_record_does_not_stop_the_log():
    bucket = MemoryBucket()
    log = MonitorLog(bucket, "digits")
    first = log.append(record(1))
    bucket.create(keys.monitor_record("digits", 2), b"\x00")

    assert log.last() == first
    assert log.last_sequence() == 2
    with pytest.raises(CorruptRecord, match=r"expected a valid MonitorRecord"):
        log.at(2)


def test_a_record_of_a_later_release_says_so():
    bucket = MemoryBucket()
    log = MonitorLog(bucket, "digits")
    bucket.create(keys.monitor_record("digits", 1), record(1, format=2).encoded())

    with pytest.raises(CorruptRecord, match="expected format 1, found 2, of another release"):
        log.at(1)


def test_unknown_fields_of_a_later_release_are_ignored():
    bucket = MemoryBucket()
    log = MonitorLog(bucket, "digits")
    body = record(1).encoded().replace(b'"model"', b'"mood": "calm",\n  "model"', 1)
    bucket.create(keys.monitor_record("digits", 1), body)

    assert log.last() is not None


def test_the_number_in_the_key_counts():
    bucket = MemoryBucket()
    bucket.create(keys.monitor_record("digits", 1), record(7).encoded())

    newest = MonitorLog(bucket, "digits").last()

    assert newest is not None
    assert newest.sequence == 1


def test_that_a_consequence_was_carried_out_is_noted_once():
    bucket = MemoryBucket()
    log = MonitorLog(bucket, "digits")
    log.append(record(1))
    assert log.carried_out(1) is None

    log.note_carried_out(1, CarriedOut(run="first", message="requested"))
    log.note_carried_out(1, CarriedOut(run="second", message="requested"))

    noted = log.carried_out(1)
    assert noted is not None
    assert noted.run == "first"
    # The note lies in a folder of the record's name, which is no number of the log.
    assert log.last_sequence() == 1
