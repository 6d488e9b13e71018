"""Monitor records are copied to the host, and served without the store."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.serving.history.monitor_sync import REMEMBERED_RECORDS, SHOWN_DISTANCES, MonitorSync
from overnight.serving.history.sync import SCORES_SECONDS
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.monitoring import (
    Consequence,
    DetectorState,
    LiveDistance,
    MonitorLog,
    MonitorRecord,
)
from tests.serving.history.test_history import Counting, Host
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import remembering
from tests.support.serving.stepped_host import OUTAGE, Flaky

MODEL = bundles.MODEL
START = datetime(2026, 11, 1, 1, tzinfo=UTC)


def write(bucket: MemoryBucket, sequence: int, features: int = 2) -> MonitorRecord:
    distances = tuple(
        LiveDistance(
            kind="inputs", feature=f"f{n}", against="training", distance=0.1, n=900, e=float(n)
        )
        for n in range(features)
    )
    return MonitorLog(bucket, MODEL).append(
        MonitorRecord(
            model=MODEL,
            sequence=sequence,
            champion=bundles.version_name(2),
            since=None,
            until=START + timedelta(days=sequence),
            distances=distances,
            detectors=(
                DetectorState(
                    name="drift", value=1, level=400, observations=9, details={"parts": [1] * 900}
                ),
            ),
            consequence=Consequence(action="wait", reason="a pause"),
        )
    )


@pytest.fixture
def store() -> Counting:
    bucket = Counting()
    bucket_history.hand_over(bucket)
    for sequence in (1, 2):
        write(bucket, sequence)
    return bucket


@pytest.fixture
def host(store, tmp_path) -> Host:
    return Host(store, tmp_path)


def test_records_are_copied_newest_first_without_the_states_of_detectors(host):
    records = host.later().monitoring

    assert [record.sequence for record in records] == [2, 1]
    assert records[0].consequence.reason == "a pause"
    assert records[0].detectors[0].value == 1
    assert records[0].detectors[0].details == {}


def test_a_record_is_read_once_and_new_ones_are_added(host, store):
    host.later()
    store.reads.clear()

    write(store, 3)
    records = host.later(SCORES_SECONDS).monitoring

    assert [record.sequence for record in records] == [3, 2, 1]
    read = {key for key in store.reads if "/monitoring/" in key}
    assert read == {keys.monitor_record(MODEL, 3), keys.monitor_record(MODEL, 4)}


def test_copied_records_survive_an_outage_and_a_restart(host, store, tmp_path):
    before = host.later().monitoring
    store.error = OUTAGE

    assert host.later(SCORES_SECONDS).monitoring == before
    store.error = None
    write(store, 3)
    again = Host(store, tmp_path).later(SCORES_SECONDS).monitoring
    assert [record.sequence for record in again] == [3, 2, 1]


@pytest.mark.parametrize("when", ["before the first copy", "after it"])
def test_a_damaged_record_is_named_and_hides_no_other(host, store, when):
    if when == "after it":
        host.later()
    store.create(keys.monitor_record(MODEL, 3), b"{}")
    write(store, 4)

    history = host.later(SCORES_SECONDS)

    assert [record.sequence for record in history.monitoring] == [4, 2, 1]
    assert len(history.damaged_monitoring) == 1
    assert "monitoring/00000003.json" in history.damaged_monitoring[0]
    assert len(host.later(SCORES_SECONDS).damaged_monitoring) == 1


def test_the_copy_is_bounded():
    bucket = MemoryBucket()
    for sequence in range(1, REMEMBERED_RECORDS + 4):
        write(bucket, sequence, features=SHOWN_DISTANCES + 5)
    sync = MonitorSync(bucket, MODEL)

    records = sync.update(()).records

    assert len(records) == REMEMBERED_RECORDS
    assert records[0].sequence == REMEMBERED_RECORDS + 3
    shown = records[0].distances
    assert len(shown) == SHOWN_DISTANCES
    assert shown[0].feature == f"f{SHOWN_DISTANCES + 4}"


@pytest.fixture
def bucket() -> Flaky:
    """The same for a whole host."""
    bucket = Flaky()
    bucket_history.hand_over(bucket)
    for sequence in (1, 2):
        write(bucket, sequence)
    bucket.create(keys.monitor_record(MODEL, 3), b"{}")
    return bucket


def test_the_api_serves_the_copied_records(worker, bucket):
    client = remembering(worker(), bucket)

    body = client.get(f"/api/models/{MODEL}/monitoring").get_json()

    assert [record["sequence"] for record in body["records"]] == [2, 1]
    newest = body["records"][0]
    assert newest["consequence"] == {"action": "wait", "reason": "a pause", "version": ""}
    assert "id" not in newest
    assert "00000003.json" in body["damaged"][0]
    assert client.get("/api/models/nothing/monitoring").status_code == 404
