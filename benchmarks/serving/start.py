"""Claim: a host serves from its disk cache within seconds, without the store.

    python benchmarks/serving/start.py [STARTS] [NETWORK]

Justifies importing boto3 only where the store is used (`store/objects/s3.py`) and the batch sizes
of `serving/inference/runtime.py`: CPU seconds of the server and of each worker, and seconds on the
clock, until the host answers from its disk cache while the store is unreachable; and the memory of
a worker.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry

sys.path.insert(0, str(Path(__file__).parents[2]))

from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.wsgi import folder_of
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address
from overnight.store.schema import Schema
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, run_serving
from tests.support.signing_keys import SIGNER, TRUST, alias_log
from tests.support.waiting import until

STARTS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
NETWORK = Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else bundles.network(1)
NOWHERE = S3Address("http://127.0.0.1:9", "none", "none", "none")
BODY = json.dumps({"instances": np.zeros((1, 28, 28), int).tolist()}).encode()


def fill(home: Path) -> None:
    """Let a host follow a store in memory once, so that its cache holds what it answers with."""
    bucket, tensors = MemoryBucket(), bundles.TENSORS
    answer = Schema(inputs=tensors.inputs, outputs=tensors.outputs[:1], labels=tensors.labels)
    files = {"predictor.tflite": NETWORK}
    ModelRegistry(bucket, bundles.MODEL).publish(
        bundles.manifest(1, files, tensors=answer), files, SIGNER
    )
    alias_log(bucket, bundles.MODEL).append(
        bundles.version_name(1), expected=None, actor=Actor("b", "b")
    )
    following = FollowConfig(
        folder_of(home, NOWHERE), (), replica="host", poll_seconds=0.001, threads=1, workers=1
    )
    agent = HostAgent(bucket, following, TRUST)
    while not agent.slots.ready:
        agent.tick_leader()
        agent.tick_loader()
    agent.stop()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1000


def started(home: Path) -> tuple[float, float, float, float]:
    """Seconds until it answers, CPU seconds of the server and of a worker, MB of a worker."""
    settings = {"s3_endpoint": NOWHERE.endpoint, "s3_bucket": NOWHERE.bucket}
    began = time.monotonic()
    with run_serving(place=home, serving_workers="2", **settings) as serving:
        until(lambda: _answers(serving))
        clock, workers = time.monotonic() - began, serving.workers()
        parent, worker = cpu_seconds(serving.process.pid), max(map(cpu_seconds, workers))
        return clock, parent, worker, max(map(resident_mb, workers))


def _answers(serving: Serving) -> bool:
    return (
        serving.is_ready() and serving.request("POST", "/v1/models/digits:predict", BODY)[0] == 200
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place))
        starts = [started(Path(place)) for _ in range(STARTS)]
    clock, parent, worker, resident = (
        statistics.median(values) for values in zip(*starts, strict=True)
    )
    print(f"first answer after {clock:.2f} s")
    print(f"CPU seconds until then: {parent:.2f} of the server, {worker:.2f} of a worker")
    print(f"resident: {resident:.0f} MB a worker")


if __name__ == "__main__":
    main()
