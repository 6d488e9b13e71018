"""Claim, which does not hold yet: recording every answer costs at most 3 % of a request's CPU.

    python -m benchmarks.serving.prediction_log [SECONDS] [NETWORK] [ROUNDS] [BEFORE]

Measures the batches and the tuples of `serving/prediction_log/`: CPU microseconds a request of one
worker with all its threads, for bodies of one picture as JSON and as raw bytes, answered by the
network with its log on (every request, with inputs and digests of clients) and off. The
hosts answer from a cache with no store, at full speed; rounds are interleaved and in turns, because
the speed of a shared machine drifts, and a ratio is that of two neighbours. BEFORE, the folder of a
checkout of an earlier commit with an environment of its own, is measured as a third host. SECONDS
and NETWORK are those of `overhead.py`: `digits` is the network of digits.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving.overhead import ANSWER, FILES, measure, requests
from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.wsgi import folder_of
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import LogPolicy
from overnight.store.registry.registry import ModelRegistry
from tests.support.serving import bundles
from tests.support.serving.server_process import ROOT, Serving, run_serving
from tests.support.signing_keys import SIGNER, TRUST, alias_log
from tests.support.waiting import until

ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 15
BEFORE = Path(sys.argv[4]) if len(sys.argv) > 4 else None
KINDS = ("JSON, flat", "binary")
NOWHERE = S3Address("http://127.0.0.1:9", "none", "none", "none")
POLICY = LogPolicy(share=1.0, inputs="values", clients="digest", feedback=True)


@contextmanager
def host(home: Path, folder: Path, **settings: str) -> Iterator[Serving]:
    """One worker that answers from its cache by the code in a folder."""
    bucket = MemoryBucket()
    manifest = bundles.manifest(1, FILES, tensors=ANSWER)
    if settings:
        manifest = manifest.model_copy(update={"logged": POLICY})
    ModelRegistry(bucket, bundles.MODEL).publish(manifest, FILES, SIGNER)
    bundles.approve(bucket, 1)
    alias_log(bucket, bundles.MODEL).append(
        bundles.version_name(1), expected=None, actor=Actor("b", "b")
    )
    following = FollowConfig(folder_of(home, NOWHERE), (), "host", 0.001, 1, 1)
    agent = HostAgent(bucket, following, TRUST)
    for _ in range(100):
        agent.tick_leader()
        agent.tick_loader()
    until(lambda: (agent.tick_leader(), agent.tick_loader(), agent.slots.ready)[2])
    agent.stop()
    store = {"s3_endpoint": NOWHERE.endpoint, "s3_bucket": NOWHERE.bucket}
    python = folder / ".venv" / "bin" / "python"
    with run_serving(
        place=home,
        python=python if python.exists() else Path(sys.executable),
        folder=folder,
        serving_workers="1",
        poll_seconds="3600",
        **store,
        **settings,
    ) as serving:
        until(serving.is_ready)
        yield serving


def main() -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        home = Path(place)
        # 4 GB, so that no host of a fast machine fills its spool, and drops, within the minutes.
        log = {"prediction_log_spool_mb": "4000"}
        hosts = {
            "off": stack.enter_context(host(home / "off", ROOT, prediction_log="off")),
            "on": stack.enter_context(host(home / "on", ROOT, **log)),
        }
        if BEFORE is not None:
            hosts["before"] = stack.enter_context(host(home / "before", BEFORE))
        sent = requests()
        cpu: dict[tuple[str, str], list[float]] = {}
        for number in range(ROUNDS):
            for kind in KINDS:
                # In turns, also within a round: the second one finds another machine.
                for name in list(hosts)[:: 1 if number % 2 else -1]:
                    tally = measure(hosts[name], sent[kind])
                    cpu.setdefault((name, kind), []).append(tally.cpu_us)
        report(cpu)
        metrics = hosts["on"].request("GET", "/metrics")[2]
        assert isinstance(metrics, bytes)
        lines = metrics.decode().splitlines()
        print(*(line for line in lines if line.startswith("overnight_prediction_")), sep="\n")


def report(cpu: dict[tuple[str, str], list[float]]) -> None:
    """Medians, and the median ratio of neighbours with its 95 % interval by the binomial."""
    print(f"{'CPU µs a request':18}{'median':>9}{'× off':>9}{'low':>9}{'high':>9}")
    for (name, kind), figures in cpu.items():
        ratios = sorted(a / b for a, b in zip(figures, cpu["off", kind], strict=True))
        # Ranks between which the median lies with 95 %, by the normal approximation.
        reach = round(0.98 * len(ratios) ** 0.5)
        low, high = (
            ratios[max(0, len(ratios) // 2 - reach)],
            ratios[min(len(ratios) - 1, len(ratios) // 2 + reach)],
        )
        middle = statistics.median(ratios)
        print(
            f"{name + ': ' + kind:18}{statistics.median(figures):9.1f}"
            f"{middle:9.3f}{low:9.3f}{high:9.3f}"
        )


if __name__ == "__main__":
    main()
