"""Claim: replacing a version under load fails no request, and less than doubles p99.

    python benchmarks/serving/swap.py [SWAPS] [NETWORK]

Justifies loading during requests in small steps (`serving/lifecycle/loader.py`), and what stays
loaded (`OVERNIGHT_LOADED_VERSIONS_MB`): two workers and a real SeaweedFS under steady load, a
promotion every few seconds. Reported are p99 in the second of each swap over p99 of the seconds
between, requests that failed, and resident memory before, at its peak and after. NETWORK names
another .tflite that takes `image` and answers `probabilities`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry

sys.path.insert(0, str(Path(__file__).parents[2]))

from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.schema import Schema
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import SIGNER, alias_log
from tests.support.waiting import until

SWAPS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
NETWORK = Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else None
STEADY = Path(__file__).with_name("steady.py")
RATE, BETWEEN_SECONDS, WARM_SWAPS = 200.0, 2.0, 3
# The steady second is the last before the next promotion: what is freed is freed by then.
SWAP_SECONDS = STEADY_SECONDS = 1.0


def put(bucket: S3Bucket, number: int) -> str:
    """Version `number`, of the tests' tiny network or of the one that was named."""
    if NETWORK is None:
        return bundles.publish(bucket, number)
    files = {"predictor.tflite": NETWORK, "network.keras": b"not needed to serve"}
    tensors = bundles.TENSORS
    answer = Schema(inputs=tensors.inputs, outputs=tensors.outputs[:1], labels=tensors.labels)
    ModelRegistry(bucket, bundles.MODEL).publish(
        bundles.manifest(number, files, tensors=answer), files, SIGNER
    )
    return bundles.version_name(number)


class Memory:
    """Resident MB of the workers, sampled beside everything."""

    def __init__(self, serving: Serving) -> None:
        self._workers, self._stopped = serving.workers(), threading.Event()
        self.samples: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def now(self) -> float:
        return max(_resident_mb(pid) for pid in self._workers)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            self.samples.append(self.now())


def _resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1000


def promote(log: AliasLog, number: int) -> float:
    """Promote; the moment at which the record was written."""
    current = log.current()
    version = bundles.version_name(number)
    log.append(version, expected=current.version if current else None, actor=Actor("b", "b"))
    return time.monotonic()


def swapped(bucket: S3Bucket, address: S3Address, home: Path) -> None:
    log = alias_log(bucket, bundles.MODEL)
    for number in range(SWAPS + WARM_SWAPS + 1):
        put(bucket, number)
    settings = follow_settings(address) | {"poll_seconds": "0.1"}
    with run_serving(place=home, **settings) as serving:
        for number in range(WARM_SWAPS + 1):
            promote(log, number)
            wanted = bundles.version_name(number)
            until(lambda wanted=wanted: serving.version() == wanted)
        memory = Memory(serving)
        seconds = SWAPS * BETWEEN_SECONDS + 5
        asking = subprocess.Popen(
            [sys.executable, str(STEADY), str(serving.port), str(RATE), str(seconds)],
            stdout=subprocess.PIPE,
        )
        time.sleep(2)
        before, at = memory.now(), []
        for number in range(WARM_SWAPS + 1, WARM_SWAPS + SWAPS + 1):
            at.append(promote(log, number))
            time.sleep(max(at[0] + len(at) * BETWEEN_SECONDS - time.monotonic(), 0))
        answered = json.loads(asking.communicate()[0])
        memory.stop()
        report(answered, at)
        print(
            f"resident MB of the largest worker: {before:.0f} before, "
            f"{max(memory.samples):.0f} at most, {memory.now():.0f} after {SWAPS} swaps; "
            f"last answers by {serving.version()}"
        )


def report(answered: list[tuple[float, float, int]], at: list[float]) -> None:
    swap, steady = [], []
    for due, took, _ in answered:
        for moment in at:
            if moment <= due < moment + SWAP_SECONDS:
                swap.append(took * 1000)
            if moment - STEADY_SECONDS <= due < moment:
                steady.append(took * 1000)
    failed = sum(status != 200 for _, _, status in answered)
    worst = {}
    for name, milliseconds in (("steady", steady), ("in a swap's second", swap)):
        cuts = statistics.quantiles(milliseconds, n=100)
        worst[name] = cuts[98]
        print(f"{name:20} p50 {cuts[49]:6.2f} ms   p99 {cuts[98]:6.2f} ms   of {len(milliseconds)}")
    ratio = worst["in a swap's second"] / worst["steady"]
    print(f"p99 in a swap's second over the steady p99: {ratio:.2f}")
    print(f"{failed} of {len(answered)} requests failed")


def main() -> None:
    with tempfile.TemporaryDirectory() as place, seaweed(Path(place)) as endpoint:
        address = S3Address(endpoint, "swaps", ACCESS, SECRET)
        bucket = S3Bucket(address)
        until(lambda: _is_writable(bucket))
        swapped(bucket, address, Path(place) / "home")


def _is_writable(bucket: S3Bucket) -> bool:
    with suppress(OvernightError):
        bucket.ensure()
        bucket.create("probe/ready", b"ready")
        return True
    return False


if __name__ == "__main__":
    main()
