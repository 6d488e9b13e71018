"""What answering one picture costs: `python benchmarks/serving/overhead.py [SECONDS]`.

Justifies granian, LiteRT and the way JSON is read: CPU microseconds a request and resident memory
of two workers, beside a Flask application that only parses the same body on the same server, and
beside the bare network. CPU time is what holds on a noisy machine, so rounds are interleaved.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from serving.fleet import Fleet, Following
from serving.predictor import Predictor
from serving.wsgi import folder_of
from store.aliases import AliasLog
from store.memory import MemoryBucket
from store.s3 import S3Address
from tests.deadline import until
from tests.seaweed import free_ports
from tests.serving import bundles
from tests.serving.rig import ROOT, Serving, running

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
CONNECTIONS, ROUNDS = 16, 3
PATH = "/v2/models/digits/infer"
IMAGE = np.random.default_rng(1).integers(0, 256, (1, 28, 28), dtype=np.uint8)
NOWHERE = S3Address("http://127.0.0.1:9", "none", "none", "none")

BARE = """
import orjson
from flask import Flask, Response, request
application = Flask(__name__)
@application.get("/v2/health/ready")
def ready():
    return "ready"
@application.post("/v2/models/digits/infer")
def parse():
    orjson.loads(request.get_data())
    return Response(b'{"outputs":[]}', content_type="application/json")
"""


def body(*, nested: bool) -> bytes:
    data = IMAGE.tolist() if nested else IMAGE.ravel().tolist()
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


@contextmanager
def ours(home: Path) -> Iterator[Serving]:
    """Two workers of serving, from a cache that was filled beforehand; no store is asked."""
    bucket = MemoryBucket()
    bundles.put(bucket, 1)
    AliasLog(bucket, "digits").append(bundles.version_name(1), over=None, by="b", reason="b")
    following = Following(folder_of(home, NOWHERE), (), "host", 0.001, 1, 1)
    fleet = Fleet(bucket, following)
    while not fleet.slots.ready:
        fleet.lead()
        fleet.attend()
    fleet.stop()
    settings = {"s3_endpoint": NOWHERE.endpoint, "s3_bucket": NOWHERE.bucket}
    with running(place=home, serving_workers="2", poll_seconds="3600", **settings) as serving:
        until(serving.is_ready)
        yield serving


@contextmanager
def bare(home: Path) -> Iterator[Serving]:
    """A Flask application that parses and answers a constant, on the same server."""
    home.mkdir(parents=True)
    (home / "bare.py").write_text(BARE)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "granian", "bare:application", "--interface", "wsgi",
               "--port", str(port), "--workers", "2", "--blocking-threads", "2",
               "--backpressure", "64", "--working-dir", str(home), "--no-log"]  # fmt: skip
    process = subprocess.Popen(command, cwd=home)
    try:
        serving = Serving(process, port, home / "log")
        until(serving.is_ready)
        yield serving
    finally:
        process.terminate()
        process.wait(20)


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def load(port: int, sent: bytes, seconds: float) -> list[float]:
    """Closed-loop clients; milliseconds of every request."""
    took: list[float] = []
    end = time.monotonic() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while time.monotonic() < end:
            began = time.perf_counter()
            connection.request("POST", PATH, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"answered {response.status}")
            took.append((time.perf_counter() - began) * 1000)
        connection.close()

    clients = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return took


def measure(serving: Serving, sent: bytes) -> tuple[float, float, float]:
    """CPU microseconds a request, p50 and p99 in milliseconds."""
    load(serving.port, sent, 0.5)
    workers = serving.workers()
    before = cpu_seconds(workers)
    took = load(serving.port, sent, SECONDS)
    spent = cpu_seconds(workers) - before
    p99 = statistics.quantiles(took, n=100)[98]
    return spent / len(took) * 1e6, statistics.median(took), p99


def bare_network() -> float:
    predictor = Predictor(bundles.manifest(1, bundles.files(1)), bundles.network(1), threads=1)
    began = time.process_time()
    for _ in range(5_000):
        predictor.answer({"image": IMAGE}, ["probabilities"])
    return (time.process_time() - began) / 5_000 * 1e6


def resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        with ours(home / "ours") as one, bare(home / "bare") as other:
            rows: dict[str, list[tuple[float, float, float]]] = {}
            for _ in range(ROUNDS):
                for nested in (False, True):
                    name = "nested" if nested else "flat"
                    sent = body(nested=nested)
                    rows.setdefault(f"overnight, {name}", []).append(measure(one, sent))
                    rows.setdefault(f"bare Flask, {name}", []).append(measure(other, sent))
            print(f"{'':24}{'CPU µs':>10}{'p50 ms':>10}{'p99 ms':>10}")
            for name, rounds in rows.items():
                cpu, p50, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
                print(f"{name:24}{cpu:10.0f}{p50:10.2f}{p99:10.2f}")
            memory = [resident_mb(pid) for pid in one.workers()]
            print("resident MB of each worker:", " ".join(f"{mb:.0f}" for mb in memory))
        print(f"the network alone, in process: {bare_network():.0f} CPU µs  ({ROOT.name})")


if __name__ == "__main__":
    main()
