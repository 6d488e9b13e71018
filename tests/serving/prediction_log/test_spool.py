"""The spool of a host: what fits is written in time, what does not is dropped and counted."""

import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from overnight.infra import settings
from overnight.serving.prediction_log import spool as spools
from overnight.serving.prediction_log.segment_files import SegmentFile
from overnight.serving.prediction_log.shipper import SegmentShipper
from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
from overnight.store.errors import ConfigurationError
from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.records import SentLabel
from overnight.store.predictions.segments import encode_label
from tests.serving.lifecycle.test_full_disks import full_disk
from tests.support.serving import bundles
from tests.support.serving.clients import INFER, v2
from tests.support.serving.prediction_logs import (
    LABEL,
    POLICY,
    LoggedApplication,
    decoded,
    dropped,
    records_below,
)
from tests.support.serving.stepped_host import OUTAGE, Flaky

MANIFEST = bundles.manifest(1, bundles.files(1)).model_copy(update={"logged": POLICY})
INCARNATION = "0f" * 16


def offer(spool: PredictionSpool, number: int, *, side: int = 4, **inputs: object) -> None:
    spool.offer_answer(
        MANIFEST,
        inputs or {"image": np.zeros((1, side), np.uint8)},
        {"probabilities": np.zeros((1, 2), np.float32)},
        request=f"r-{number}",
        caller="",
        client="acme",
        route="champion",
        seconds=0.001,
    )


def requests(records: list) -> list[str]:
    return [record.request for record in records]


def test_a_full_disk_costs_no_answer_and_what_follows_it_is_recorded(tmp_path):
    application = LoggedApplication(tmp_path)
    first = application.client.post(INFER, json=v2())
    application.spool.write()

    with full_disk():
        lost = [application.client.post(INFER, json=v2()).status_code for _ in range(3)]
        application.spool.write()
    last = application.client.post(INFER, json=v2())

    records = application.records()
    assert lost == [200] * 3
    assert requests(records) == [first.headers["X-Request-Id"], last.headers["X-Request-Id"]]
    assert dropped(application.spool) == {"disk": 3}


def test_a_frame_that_the_disk_took_in_part_is_cut_off(tmp_path):
    import resource

    file = SegmentFile(tmp_path, INCARNATION, 1)
    file.write(encode_label(LABEL))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.size + 20, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            file.write(encode_label(LABEL))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.write(encode_label(LABEL))
    file.close()

    assert records_below(tmp_path) == [LABEL, LABEL]


def test_the_queue_is_bounded_in_number_and_in_bytes(tmp_path):
    few, many = PredictionSpool(SpoolConfig(tmp_path)), PredictionSpool(SpoolConfig(tmp_path))
    tracemalloc.start()
    for number in range(40):
        offer(few, number, side=2_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for number in range(spools.QUEUED + 5):
        offer(many, number)

    assert dropped(few) == {"queue": 25}
    assert peak < spools.QUEUED_BYTES + 4_000_000
    assert dropped(many) == {"queue": 5}


def test_a_full_spool_drops_the_newest_and_takes_records_again_once_it_was_shipped(
    tmp_path, caplog
):
    spool = PredictionSpool(SpoolConfig(tmp_path, spool_bytes=200_000))
    for number in range(10):
        offer(spool, number, side=50_000)
        spool.write()

    kept = requests(records_below(tmp_path))
    assert kept == [f"r-{number}" for number in range(len(kept))]
    assert dropped(spool) == {"spool": 10 - len(kept)}
    assert f"the spool {tmp_path} is full: 200,000 bytes" in caplog.text
    assert "OVERNIGHT_PREDICTION_LOG_SPOOL_MB" in caplog.text
    assert spool.usage().size_bytes <= 200_000
    assert not spool.offer_labels([replace(LABEL, truth={"y": "x" * 200_000})])

    SegmentShipper(tmp_path, MemoryBucket(), replica="host").tick()
    offer(spool, 10)
    spool.close()
    assert requests(records_below(tmp_path))[-1] == "r-10"


def test_what_cannot_be_encoded_is_counted_and_takes_nothing_else_along(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path))
    texts = np.array(["Grüße", None], object).reshape(1, 2)

    offer(spool, 1, name=texts)
    offer(spool, 2, name=np.array([[object(), object()]], object))
    offer(spool, 3, name=texts)
    spool.close()

    records = records_below(tmp_path)
    assert requests(records) == ["r-1", "r-3"]
    assert records[1].inputs["name"].tolist() == [["Grüße", None]]
    assert dropped(spool) == {"unencodable": 1}


def test_a_label_is_recorded_once_it_is_on_the_disk(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path, lost_seconds=60))
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            spool.tick()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    # It waits for no minute: a label wakes the thread that writes.
    assert spool.offer_label(LABEL)
    assert records_below(tmp_path) == [LABEL]
    ended.set()
    assert spool.offer_labels([LABEL, LABEL])
    thread.join(5)

    spool.close()
    assert not spool.offer_label(LABEL)
    assert records_below(tmp_path) == [LABEL] * 3
    assert dropped(spool) == {"queue": 1}


def test_a_label_on_a_full_disk_is_not_recorded(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path, lost_seconds=0.1))
    writer = threading.Thread(target=spool.tick)

    with full_disk():
        writer.start()
        assert not spool.offer_label(LABEL)
    writer.join()

    assert dropped(spool) == {"disk": 1}


def test_closed_segments_are_shipped_and_removed_and_open_ones_stay(tmp_path):
    bucket, spool = MemoryBucket(), PredictionSpool(SpoolConfig(tmp_path))
    shipper = SegmentShipper(tmp_path, bucket, replica="host-1")
    offer(spool, 1)
    spool.write()
    shipper.tick()
    assert bucket.keys_below("spool") == []

    spool.close()
    shipper.tick()

    (key,) = bucket.keys_below("spool/digits/host-1")
    assert requests(decoded(bucket.read(key, 10_000))) == ["r-1"]
    assert records_below(tmp_path) == []
    assert [(each.model, each.segments) for each in shipper.shipped()] == [("digits", 1)]


def test_segments_are_closed_by_age_but_not_before_the_one_before_was_shipped(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path, segment_seconds=0))
    for number in range(3):
        offer(spool, number)
        spool.write()
    assert len(list((tmp_path / "digits").iterdir())) == 2

    SegmentShipper(tmp_path, MemoryBucket(), replica="host").tick()
    offer(spool, 3)
    spool.write()

    assert [path.suffix for path in (tmp_path / "digits").iterdir()] == [".log"]
    assert requests(records_below(tmp_path)) == ["r-1", "r-2", "r-3"]


def test_an_absent_store_keeps_every_segment_until_it_is_back(tmp_path):
    bucket, labels = Flaky(), [replace(LABEL, row=row) for row in range(4)]
    for number, label in enumerate(labels):
        file = SegmentFile(tmp_path / "digits", INCARNATION, number)
        file.write(encode_label(label))
        file.close()
    shipper = SegmentShipper(tmp_path, bucket, replica="host")

    bucket.error = OUTAGE
    assert shipper.tick() > 1
    assert len(records_below(tmp_path)) == 4
    bucket.error = None
    shipper.tick()

    shipped = [decoded(bucket.read(key, 10_000)) for key in bucket.keys_below("spool")]
    assert shipped == [[label] for label in labels]
    assert records_below(tmp_path) == []


def test_a_segment_that_was_shipped_before_its_host_died_is_shipped_once(tmp_path):
    bucket, name = MemoryBucket(), f"{INCARNATION}-00000001.log"
    file = SegmentFile(tmp_path / "digits", INCARNATION, 1)
    file.write(encode_label(LABEL))
    file.close()
    bucket.create(f"spool/digits/host/{name}", encode_label(LABEL))

    SegmentShipper(tmp_path, bucket, replica="host").tick()

    assert bucket.keys_below("spool") == [f"spool/digits/host/{name}"]
    assert records_below(tmp_path) == []


def test_segments_of_dead_workers_are_shipped_up_to_where_they_are_torn(tmp_path):
    bucket, folder = MemoryBucket(), tmp_path / "digits"
    folder.mkdir()
    body = encode_label(LABEL)
    (folder / f"{INCARNATION}-00000001.log.open").write_bytes(body + body[:50])
    (folder / f"{INCARNATION}-00000002.log.open").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"not ours")

    SegmentShipper(tmp_path, bucket, replica="host").tick()

    (key,) = bucket.keys_below("spool")
    assert decoded(bucket.read(key, 10_000), may_be_torn=True) == [LABEL]
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_metrics_have_what_was_recorded_and_dropped_and_what_waits(tmp_path):
    application = LoggedApplication(tmp_path)
    application.client.post(INFER, json=v2())
    application.spool.write()

    lines = application.client.get("/metrics").text.splitlines()

    size = next(line for line in lines if line.startswith("overnight_prediction_spool_bytes "))
    assert int(size.split()[1]) == application.spool.usage().size_bytes > 2_352
    assert any(line.startswith("overnight_prediction_spool_age_seconds ") for line in lines)
    counted = application.spool.counters().recorded
    assert [(each.kind, each.records) for each in counted] == [("answer", 1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREDICTION_LOG", "sometimes"),
        ("PREDICTION_LOG_SPOOL_MB", "0"),
        ("PREDICTION_LOG_SECONDS", "0"),
        ("PREDICTION_LOG_SECONDS", "61"),
        ("PREDICTION_LOG_SECONDS", "soon"),
        ("PREDICTION_LOG_SEGMENT_SECONDS", "0.5"),
    ],
)
def test_a_setting_that_is_wrong_is_named(monkeypatch, tmp_path, name, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"OVERNIGHT_{name}", value)

    with pytest.raises(ConfigurationError, match=f"OVERNIGHT_{name}"):
        settings.load()


def test_the_log_of_a_host_is_switched_off_by_one_setting(monkeypatch, tmp_path):
    from overnight.serving.wsgi import prediction_log

    monkeypatch.chdir(tmp_path)
    assert prediction_log(settings.load(), tmp_path) == SpoolConfig(tmp_path / "predictions")

    monkeypatch.setenv("OVERNIGHT_PREDICTION_LOG", "off")
    assert prediction_log(settings.load(), tmp_path) is None


def test_labels_of_several_models_go_into_segments_of_their_own(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path))
    labels: list[SentLabel] = [LABEL, replace(LABEL, model="sales")]
    writer = threading.Thread(target=spool.tick)
    writer.start()

    assert spool.offer_labels(labels)

    writer.join()
    spool.close()
    assert records_below(tmp_path / "sales") == [labels[1]]
    assert records_below(tmp_path / "digits") == [labels[0]]
