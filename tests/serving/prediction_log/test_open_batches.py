"""Answers of one row are collected by columns, among others that are not; each comes back whole."""

import gc
import random
import threading
import weakref

import numpy as np

from overnight.serving.prediction_log import spool as spools
from overnight.serving.prediction_log.open_batches import BATCH
from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
from tests.support.serving import bundles
from tests.support.serving.prediction_logs import POLICY, dropped, records_below
from tests.support.waiting import until

MANIFEST = bundles.manifest(1, bundles.files(1)).model_copy(update={"logged": POLICY})
Arrays = dict[str, np.ndarray]


def offer(spool: PredictionSpool, request: str, inputs: Arrays, outputs: Arrays, **more) -> None:
    details = {"caller": "", "client": "acme", "route": "champion", "seconds": 0.001} | more
    spool.offer_answer(MANIFEST, inputs, outputs, request=request, **details)


def answers(number: int) -> dict[str, tuple[Arrays, Arrays]]:
    """Answers of every kind that one version can give, with values that differ."""
    image = np.full((1, 4, 4), number % 256, np.uint8)
    shares = np.full((1, 2), number, np.float32)
    rows = np.arange(number, number + 32, dtype=np.int32).reshape(2, 4, 4)
    text = np.array([[f"Größe {number}", None]], object)
    return {
        "one row": ({"image": image}, {"probabilities": shares}),
        "a shadow's": ({}, {"probabilities": shares}),
        "another type": ({"image": image.astype(np.float64)}, {"probabilities": shares}),
        "another name": ({"picture": image}, {"probabilities": shares}),
        "another output": ({"image": image}, {"size": shares[:, :1]}),
        "more outputs": ({"image": image}, {"probabilities": shares, "size": shares[:, :1]}),
        "another length": ({"image": image[:, :3]}, {"probabilities": shares}),
        "two rows": (
            {"image": image[[0, 0]]},
            {"probabilities": shares[[0, 0]] + np.array([[0], [1]], np.float32)},
        ),
        # As many bytes as one row.
        "two short rows": (
            {"image": image.reshape(2, 2, 4)},
            {"probabilities": shares.reshape(2, 1)},
        ),
        "texts": ({"image": text}, {"probabilities": shares}),
        "other axes": ({"image": np.asfortranarray(rows[:1])}, {"probabilities": shares}),
        "big-endian": ({"image": rows[:1].astype(">i4")}, {"probabilities": shares}),
        "large": ({"image": np.full((1, 200, 200), number, np.int32)}, {"probabilities": shares}),
    }


def test_answers_of_any_kind_come_back_in_any_order(tmp_path):
    chosen, spool = random.Random(7), PredictionSpool(SpoolConfig(tmp_path))
    expected: dict[str, tuple[Arrays, Arrays]] = {}
    for number in range(3 * BATCH):
        # Mostly the usual one, so that batches are filled as well.
        kinds = answers(number)
        kind = chosen.choice(["one row"] * 20 + list(kinds))
        expected[f"{kind} {number}"] = kinds[kind]
        offer(spool, f"{kind} {number}", *kinds[kind], client=f"c{number % 3}")
        if number % 300 == 299:
            spool.write()
    spool.close()

    records = {record.request: record for record in records_below(tmp_path)}
    assert records.keys() == expected.keys()
    assert {kind.rsplit(" ", 1)[0] for kind in records} == answers(0).keys()
    for request, (inputs, outputs) in expected.items():
        record = records[request]
        for found, given in ((record.inputs, inputs), (record.outputs, outputs)):
            assert found.keys() == given.keys()
            for name, rows in given.items():
                assert found[name].dtype == rows.dtype.newbyteorder("=")
                assert found[name].tolist() == rows.tolist()
        assert record.n == len(next(iter(outputs.values())))
    assert dropped(spool) == {}


def test_a_text_that_cannot_be_encoded_costs_its_own_answer_alone(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path))
    for number in range(BATCH):
        offer(spool, f"r-{number}", *answers(number)["one row"], caller="\ud800" * (number == 77))
    spool.close()

    records = records_below(tmp_path)
    assert [record.request for record in records] == [
        f"r-{number}" for number in range(BATCH) if number != 77
    ]
    assert all(
        record.outputs["probabilities"][0, 0] == int(record.request[2:]) for record in records
    )
    assert dropped(spool) == {"unencodable": 1}


def test_threads_that_answer_at_once_mix_no_answers(tmp_path):
    spool, ended = PredictionSpool(SpoolConfig(tmp_path, lost_seconds=0.02)), threading.Event()

    def answer(first: int) -> None:
        for number in range(first, first + 1_500):
            offer(spool, str(number), *answers(number)["one row"])

    def write() -> None:
        while not ended.is_set():
            spool.tick()

    threads = [threading.Thread(target=answer, args=(first,)) for first in (0, 10_000, 20_000)]
    writer = threading.Thread(target=write)
    for thread in (*threads, writer):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    writer.join()
    spool.close()

    records = records_below(tmp_path)
    assert len(records) == len({record.request for record in records}) == 4_500
    for record in records:
        assert record.outputs["probabilities"].tolist() == [[float(record.request)] * 2]
        assert record.inputs["image"][0, 0, 0] == int(record.request) % 256


def test_a_batch_that_is_full_is_written_before_its_time(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path, lost_seconds=60))
    writer = threading.Thread(target=spool.tick)
    writer.start()

    for number in range(BATCH + 1):
        offer(spool, f"r-{number}", *answers(number)["one row"])
    writer.join(20)

    assert len(records_below(tmp_path)) == BATCH
    spool.close()
    assert len(records_below(tmp_path)) == BATCH + 1


def test_a_spool_is_full_also_for_batches_that_are_written_before_their_time(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path, lost_seconds=60, spool_bytes=20_000))
    done = threading.Thread(target=lambda: [spool.tick() for _ in range(3)])
    done.start()

    for number in range(3 * BATCH):
        offer(spool, f"r-{number}", *answers(number)["one row"])
        if number % BATCH == BATCH - 1:
            written = number + 1
            until(
                lambda: sum(dropped(spool).values()) + len(records_below(tmp_path)) == written  # noqa: B023
            )
    done.join(20)

    assert dropped(spool)["spool"] >= BATCH
    assert spool.usage().size_bytes <= 20_000


def test_more_versions_than_there_is_room_for_are_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(spools, "QUEUED_BYTES", 3_000)
    spool = PredictionSpool(SpoolConfig(tmp_path))

    for number in range(5):
        offer(spool, f"r-{number}", *answers(number)["one row"])
    spool.write()
    kept = len(records_below(tmp_path))
    offer(spool, "r-5", *answers(5)["one row"])
    spool.close()

    assert 0 < kept < 5
    assert dropped(spool) == {"queue": 5 - kept}
    assert records_below(tmp_path)[-1].request == "r-5"


def test_the_buffers_of_a_version_that_answers_no_more_are_freed(tmp_path):
    spool = PredictionSpool(SpoolConfig(tmp_path))
    manifest = MANIFEST.model_copy()
    inputs, outputs = answers(1)["one row"]
    spool.offer_answer(manifest, inputs, outputs, "r", "", "acme", "champion", 0.001)
    gone = weakref.ref(manifest)
    del manifest

    spool.write()
    spool.write()

    gc.collect()
    assert gone() is None
