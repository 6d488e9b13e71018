"""Pipeline runs as processes that can be killed at any write, and the invariants of the store."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from overnight.store.datasets.landing import Landing
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.fault_proxy import FaultProxy
from tests.support.faults.pipeline_run import FITS, MODEL, PipelineContext
from tests.support.faults.tally import TALLY
from tests.support.limits import LIMIT
from tests.support.signing_keys import TRUST, alias_log

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class EndedRun:
    """How a night ended: by itself, saying something, or by a signal."""

    code: int
    outcome: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class PipelineRunner:
    """Runs one pipeline at a time, with a fault proxy between it and the store."""

    def __init__(self, process: "subprocess.Popen[str]", proxy: FaultProxy) -> None:
        self._process, self.proxy = process, proxy
        self._child = 0
        self._is_known = threading.Event()

    def run(self, context: PipelineContext, *, write: int = 0, before: bool = True) -> EndedRun:
        """Run the pipeline; with `write`, kill it just before or just after that write."""
        proxied = replace(context.address, endpoint=self.proxy.endpoint)
        requested = {
            "address": asdict(proxied),
            "home": str(context.home),
            "least_accuracy": context.least_accuracy,
        }
        self._is_known.clear()
        self.proxy.crash_at(write, before=before, kill=self._kill)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(requested) + "\n")
        self._process.stdin.flush()
        self._child = int(self._read_line())
        self._is_known.set()
        ended = EndedRun(**json.loads(self._read_line()))
        TALLY.versions(ended.outcome == "Promoted")
        return ended

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _kill(self) -> None:
        # A run may write before its process id was read.
        assert self._is_known.wait(60), "a run wrote without having reported its process id"
        os.kill(self._child, signal.SIGKILL)


@contextmanager
def start_runner(endpoint: str, log: Path, *, seed: int | str = 0) -> Iterator[PipelineRunner]:
    """Start the process that forks pipeline runs, and a fault proxy with this seed."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    with log.open("wb") as errors, FaultProxy(endpoint, seed=seed) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faults.pipeline_run"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            yield PipelineRunner(process, proxy)
            process.communicate(timeout=60)
        finally:
            # A run that hangs has child processes, so the whole group is killed.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


def copy_bucket(source: S3Bucket, address: S3Address) -> None:
    """Another bucket with everything that one has."""
    bucket = S3Bucket(address)
    bucket.ensure()
    for top in ("datasets", "landing", "models"):
        for key in source.keys_below(top):
            bucket.create(key, source.read(key, LIMIT))


def check_invariants(context: PipelineContext, before: list[str], where: str) -> list[str]:
    """Nothing half is visible, no row is there twice; the champions so far, which only grow."""
    bucket = S3Bucket(context.address)
    with TALLY.keeps(f"a whole version {where}"):
        for version in ModelRegistry(bucket, MODEL).versions():
            manifest = ModelRegistry(bucket, MODEL, TRUST).trusted(version).manifest
            for name in manifest.files:
                ModelRegistry(bucket, manifest.model).read_file(manifest, name)
    with TALLY.keeps(f"a record of the champion {where}"):
        history = alias_log(bucket, MODEL).history()
        champions = [record.version for record in history]
        assert champions[: len(before)] == before
        assert [record.sequence for record in history] == list(range(1, len(history) + 1))
    with TALLY.keeps(f"an approval {where}"):
        decided = map(ModelRegistry(bucket, MODEL).decisions.find, champions)
        assert all(one is not None and one.verdict == "approved" for one in decided)
    with TALLY.keeps(f"rows that count once {where}"):
        rows = context.table("rows")
        if rows.version() is not None:
            digests = Counter(rows.read(columns=["digest"]).column("digest").to_pylist())
            assert not [one for one, n in digests.items() if n > 1]
    return champions


def count_refusals(context: PipelineContext) -> int:
    """How many refusals are remembered."""
    return len(S3Bucket(context.address).keys_below(f"models/{MODEL}/refusals"))


def check_final_state(
    context: PipelineContext, champions: list[str], *, rows: int, where: str, refusals: int = 0
) -> None:
    """All that arrived is in, once; one more version serves, and it was trained once.

    With a refusal it is remembered instead, and what served before still does.
    """
    bucket = S3Bucket(context.address)
    with TALLY.keeps(f"rows of an arrival {where}"):
        assert context.table("rows").read(columns=["digest", "arrival"]).num_rows == rows
        assert Landing(bucket, MODEL).pending() == []
    now = check_invariants(context, champions, where)
    with TALLY.keeps(f"exactly one version more {where}"):
        assert len(now) == len(champions) + (0 if refusals else 1)
        assert ModelRegistry(bucket, MODEL).versions() == sorted(now)
        newest = ModelRegistry(bucket, MODEL).manifest(now[-1])
        assert refusals or newest.data.rows == rows
    with TALLY.keeps(f"a refusal {where}"):
        assert count_refusals(context) == refusals
    with TALLY.keeps(f"one fit for each version {where}"):
        assert len((context.home / FITS).read_text().splitlines()) == len(now) + refusals
