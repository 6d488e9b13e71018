"""Claim: shadowing a tenth of the requests does not change the champion's p99.

    python benchmarks/serving/challenger.py [SECONDS] [ROUNDS]

Justifies the bounded queue and the niceness of `serving/challenger/comparison.py`: the champion's
p99 and CPU microseconds a request, without a challenger, and with one that shadows a tenth and all
of the requests. Three hosts of two workers each answer from a cache, in rounds that are
interleaved, so that a noisy machine is noisy for all of them; once at a steady rate that leaves the
cores some air, once as fast as they can.
"""

import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_rules import CHALLENGER

sys.path.insert(0, str(Path(__file__).parents[2]))

from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.wsgi import folder_of
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.challenge_terms import Terms
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, run_serving
from tests.support.signing_keys import TRUST, alias_log
from tests.support.waiting import until

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
CONNECTIONS, REQUESTS_PER_SECOND = 8, 200
PATH = "/v2/models/digits/infer"
NOWHERE = S3Address("http://127.0.0.1:9", "none", "none", "none")
IMAGE = np.random.default_rng(1).integers(0, 256, (1, 28, 28), dtype=np.uint8)
TENSOR = {
    "name": "image",
    "shape": [1, 28, 28],
    "datatype": "UINT8",
    "data": IMAGE.ravel().tolist(),
}
BODY = json.dumps({"inputs": [TENSOR]}).encode()
# Whatever it answers, it stays.
FOREVER = {"maximum_error_share": 1, "maximum_disagreement_share": 1, "maximum_slowdown": 1e9}
HOSTS = {"alone": None, "shadow 10 %": 0.1, "shadow 100 %": 1.0}


@contextmanager
def host(home: Path, share: float | None) -> Iterator[Serving]:
    """Two workers, from a cache that was filled beforehand; no store is used."""
    bucket = MemoryBucket()
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    alias_log(bucket, "digits").append(
        bundles.version_name(1), expected=None, actor=Actor("b", "b")
    )
    if share is not None:
        terms = Terms.model_validate({"mode": "shadow", "share": share, **FOREVER})
        alias_log(bucket, "digits", CHALLENGER).append(
            bundles.version_name(2),
            expected=None,
            actor=Actor("b", "b"),
            action="started",
            terms=terms,
            champion_sequence=1,
        )
    agent = HostAgent(
        bucket, FollowConfig(folder_of(home, NOWHERE), (), "host", 0.001, 1, 1), TRUST
    )
    while not agent.slots.ready or (share and len(agent.router.versions("digits")) < 2):
        agent.tick_leader(), agent.tick_challenges()
        agent.tick_loader()
    for _ in range(100):
        agent.tick_leader(), agent.tick_challenges()
        agent.tick_loader()
    agent.stop()
    settings = {"s3_endpoint": NOWHERE.endpoint, "s3_bucket": NOWHERE.bucket}
    with run_serving(place=home, serving_workers="2", poll_seconds="3600", **settings) as serving:
        until(serving.is_ready)
        yield serving


def load(port: int, seconds: float, *, per_second: float | None) -> list[float]:
    """Milliseconds of every request; at a steady rate, from when it was due."""
    took: list[float] = []
    start = time.monotonic() + 0.05

    def drive(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        pause = CONNECTIONS / per_second if per_second else 0.0
        due = start + pause * number / CONNECTIONS
        while due < start + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            began = due if per_second else time.monotonic()
            connection.request("POST", PATH, BODY, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"answered {response.status}")
            now = time.monotonic()
            took.append((now - began) * 1000)
            due = due + pause if per_second else now
        connection.close()

    clients = [threading.Thread(target=drive, args=(number,)) for number in range(CONNECTIONS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return took


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(serving: Serving, per_second: float | None) -> tuple[float, float, float, float]:
    """p50 and p99 in milliseconds, CPU microseconds a request, requests a second."""
    workers = serving.workers()
    before = cpu_seconds(workers)
    took = load(serving.port, SECONDS, per_second=per_second)
    spent = cpu_seconds(workers) - before
    p99 = statistics.quantiles(took, n=100)[98]
    return statistics.median(took), p99, spent / len(took) * 1e6, len(took) / SECONDS


def table(title: str, rows: dict[str, list[tuple[float, float, float, float]]]) -> None:
    """Medians of the rounds, and the median of each round's ratio to the host without."""
    print(f"\n{title}")
    print(f"{'':14}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}{'req/s':>9}{'p99 ×':>9}{'CPU ×':>9}")
    for name, rounds in rows.items():
        p50, p99, cpu, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        pairs = list(zip(rounds, rows["alone"], strict=True))
        slower, dearer = (
            statistics.median(shadowed[place] / alone[place] for shadowed, alone in pairs)
            for place in (1, 2)
        )
        print(f"{name:14}{p50:9.2f}{p99:9.2f}{cpu:9.0f}{rate:9.0f}{slower:9.2f}{dearer:9.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        hosts = {
            name: stack.enter_context(host(Path(place) / str(number), share))
            for number, (name, share) in enumerate(HOSTS.items())
        }
        for serving in hosts.values():
            load(serving.port, 0.5, per_second=None)
        for title, per_second in (("steady, 200 requests/s", REQUESTS_PER_SECOND), ("full", None)):
            rows: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in hosts}
            for _ in range(ROUNDS):
                for name, serving in hosts.items():
                    rows[name].append(measure(serving, per_second))
            table(title, rows)
        for name, serving in hosts.items():
            model = serving.request("GET", "/api/models/digits")[2]
            print(name, model["challenger"])


if __name__ == "__main__":
    main()
