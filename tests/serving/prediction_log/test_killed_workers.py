"""A worker that is killed under load loses at most the declared seconds of its log."""

import os
import signal
import threading
import time
from contextlib import suppress
from http.client import HTTPException

import pytest

from overnight.store.predictions.segment_reader import decode
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.tally import TALLY
from tests.support.serving import bundles
from tests.support.serving.clients import IMAGES, INFER, v2
from tests.support.serving.prediction_logs import POLICY
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import SIGNER
from tests.support.waiting import until

pytestmark = pytest.mark.servers

LOST_SECONDS = 2.0


def test_only_the_last_seconds_of_a_killed_worker_are_lost(bucket, address, log, tmp_path):
    # Given a host of two workers that answers, and ships what it answered.
    files = bundles.files(1)
    manifest = bundles.manifest(1, files).model_copy(update={"logged": POLICY})
    ModelRegistry(bucket, bundles.MODEL).publish(manifest, files, SIGNER)
    bundles.approve(bucket, 1)
    promote(log, 1)
    answered: dict[str, float] = {}
    settings = follow_settings(
        address,
        prediction_log_seconds=str(LOST_SECONDS),
        prediction_log_segment_seconds="1",
    )
    with run_serving(place=tmp_path, **settings) as serving:
        until(serving.is_ready)
        ended = threading.Event()

        def send() -> None:
            while not ended.is_set():
                # Requests of the killed worker are cut; these have no answer, and no record is due.
                with suppress(OSError, HTTPException):
                    status, headers, _ = serving.request("POST", INFER, v2(IMAGES[:1]))
                    if status == 200:
                        answered[headers["x-request-id"]] = time.monotonic()

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        time.sleep(LOST_SECONDS + 1)

        # When one of them is killed.
        killed = time.monotonic()
        os.kill(serving.workers()[0], signal.SIGKILL)
        TALLY.inject("a worker with a prediction log was killed")
        time.sleep(1)
        ended.set()
        for sender in senders:
            sender.join()
        until(lambda: bucket.keys_below("spool") != [], what="segments are shipped")

    # Then its answers of the last seconds may be missing, and no others; nothing is decoded that
    # was not answered, and nothing twice.
    requests: list[str] = []
    segments = {path.name: path.read_bytes() for path in tmp_path.rglob("predictions/*/*.log*")}
    # A segment that was just shipped is still on the disk, by the same name.
    for key in bucket.keys_below("spool"):
        segments[key.rpartition("/")[2]] = bucket.read(key, 50_000_000)
    for body in segments.values():
        reader = decode(body)
        requests += [record.request for record in reader if record.model == bundles.MODEL]
        assert reader.damaged_frames == 0
    lost = {request: at - killed for request, at in answered.items() if request not in requests}
    assert len(requests) == len(set(requests))
    assert len(answered) - len(lost) > 100
    assert all(-LOST_SECONDS <= at <= 0.5 for at in lost.values()), lost
