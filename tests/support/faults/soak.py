"""A soak test: runs, alias changes, requests and random faults by a seed."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from overnight.store.datasets.landing import Landing
from overnight.store.errors import (
    ChallengeRunning,
    ConfigurationError,
    NoChallenge,
    PromotionConflict,
    StoreUnavailable,
)
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.faults.killable_store import Store, storing
from tests.support.faults.pipeline_processes import PipelineRunner, start_runner
from tests.support.faults.pipeline_run import MODEL, PipelineContext, digits, files_of
from tests.support.faults.serving_clients import Clients
from tests.support.faults.tally import TALLY
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import alias_log, challenges, registry
from tests.support.waiting import until

PIPELINE_FAULTS = (
    Fault(FaultKind.FAIL, share=0.3, status=500),
    Fault(FaultKind.FAIL, share=0.3, status=503),
    Fault(FaultKind.LOSE_ANSWER, share=0.2),
    Fault(FaultKind.TRUNCATE_REQUEST, share=0.2),
    Fault(FaultKind.DELAY, share=0.5, seconds=0.1),
)
SERVING_FAULTS = (
    *PIPELINE_FAULTS,
    Fault(FaultKind.REFUSE),
    Fault(FaultKind.HANG),
    Fault(FaultKind.TRUNCATE_ANSWER, share=0.5),
    Fault(FaultKind.CORRUPT_ANSWER, share=0.5),
    Fault(FaultKind.STALE_LIST),
)
_BY = "the soak"
_MAY_BE_REFUSED = (
    ChallengeRunning,
    ConfigurationError,
    NoChallenge,
    PromotionConflict,
    StoreUnavailable,
)
_TRIES = 30
_SPARED_SECONDS = 12.0


@dataclass
class Soak:
    """All that runs, and what was done so far. `chance` drives runs and alias changes."""

    store: Store
    context: PipelineContext
    runner: PipelineRunner
    serving: Serving
    proxy: FaultProxy
    chance: random.Random
    arrivals: int = 0
    # When workers of serving were killed, in monotonic seconds.
    deaths: list[float] = field(default_factory=list)

    @property
    def bucket(self) -> S3Bucket:
        """Past the proxies: only a store that is down is seen."""
        return S3Bucket(self.context.address, read_seconds=5)

    @property
    def log(self) -> AliasLog:
        return alias_log(self.bucket, MODEL)

    def land_digits(self) -> None:
        """Files are dropped, again when the store was away."""
        name = f"dropped-{self.arrivals:04d}"
        files = files_of(digits(1_000 + self.arrivals))
        at = datetime.now(UTC)
        for _ in range(_TRIES):
            with suppress(StoreUnavailable):
                Landing(self.bucket, MODEL).land(name, files, by=_BY, at=at)
                self.arrivals += 1
                return
        raise AssertionError(f"{name} could not be delivered")

    def run(self, *, calm: bool = False) -> None:
        """Run the pipeline until it succeeds, however often it is killed or the store fails."""
        for _ in range(_TRIES):
            kill = 0 if calm or self.chance.random() < 0.6 else self.chance.randrange(1, 25)
            ended = self.runner.run(self.context, write=kill, before=self.chance.random() < 0.5)
            if ended.outcome in {"Promoted", "UpToDate"}:
                return
            assert ended.killed or ended.outcome.startswith("StoreUnavailable"), ended
        raise AssertionError("no run succeeded")

    def change_aliases(self) -> None:
        """Roll back, promote an earlier version, or start or stop a challenger."""
        act = self.chance.choice(("roll back", "promote", "start", "stop"))
        # Which of these comes when is tested elsewhere; here they are counted.
        with TALLY.counts(*_MAY_BE_REFUSED):
            history = self.log.history()
            current, other = history[-1], self.chance.choice(history).version
            if act == "roll back":
                Promotions(registry(self.bucket, MODEL)).roll_back(
                    expected=current.version, to=None, actor=Actor(_BY, act)
                )
            elif act == "promote":
                Promotions(registry(self.bucket, MODEL)).promote(
                    other, expected=current.version, actor=Actor(_BY, act)
                )
            elif act == "start":
                terms = Terms(mode="shadow", maximum_disagreement_share=1.0)
                challenges(self.bucket, MODEL).start(other, terms=terms, actor=Actor(_BY, act))
            else:
                challenges(self.bucket, MODEL).stop(Actor(_BY, act))

    def inject_fault(self, chance: random.Random) -> None:
        """One fault for a moment: between serving or a run and the store, or in either."""
        kind = chance.choice(("serving", "serving", "run", "run", "worker", "store", "disk"))
        seconds = chance.uniform(0.2, 2.0)
        if kind == "serving":
            with self.proxy.wrong(chance.choice(SERVING_FAULTS)):
                time.sleep(seconds)
        elif kind == "run":
            with self.runner.proxy.wrong(chance.choice(PIPELINE_FAULTS)):
                time.sleep(seconds)
        elif kind == "worker":
            self._kill_a_worker(chance)
        elif kind == "store":
            self.store.kill()
            self.store.start()
        else:
            with self.store.full_disk():
                time.sleep(seconds)
            # Its index refuses every write after one that failed, until it is opened again.
            self.store.kill()
            self.store.start()

    def _kill_a_worker(self, chance: random.Random) -> None:
        workers, now = self.serving.workers(), time.monotonic()
        # One at a time: the other one answers meanwhile. The server takes a worker that dies again
        # within seconds for one that never will live, and ends: whoever supervises it is not here.
        if len(workers) > 1 and not any(now - death < _SPARED_SECONDS for death in self.deaths):
            self.deaths.append(now)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
            TALLY.inject("a worker of serving was killed")
            until(lambda: len(self.serving.workers()) > 1, what="a worker in its place")

    def predictor(self, version: str) -> bytes:
        """A version's predictor, as soon as the store tells it."""

        def read() -> bytes | None:
            with suppress(StoreUnavailable):
                manifest = ModelRegistry(self.bucket, MODEL).manifest(version)
                return ModelRegistry(self.bucket, manifest.model).read_file(
                    manifest, "predictor.tflite"
                )
            return None

        found = until(read, what=f"the predictor of {version}")
        assert found is not None
        return found

    def has_caught_up(self) -> bool:
        current = self.log.current()
        return current is not None and self.serving.version() == current.version


@contextmanager
def soak_environment(folder: Path, seed_of: Callable[[str], str]) -> Iterator[Soak]:
    """A store, serving and runs, with a fault proxy before each of the two; a champion serves."""
    (folder / "home").mkdir()
    (folder / "store").mkdir()
    with (
        storing(folder / "store") as store,
        FaultProxy(store.endpoint, seed=seed_of("serving")) as proxy,
        start_runner(store.endpoint, folder / "runs.log", seed=seed_of("nights")) as runs,
    ):
        context = PipelineContext(store.address("soak"), folder / "home")
        assert runs.run(context).outcome == "Promoted"
        seen = replace(context.address, endpoint=proxy.endpoint)
        with run_serving(place=folder / "host", **follow_settings(seen)) as serving:
            soak = Soak(store, context, runs, serving, proxy, random.Random(seed_of("moves")))
            until(soak.has_caught_up, what="the first version is served")
            yield soak


def soak_for(soak: Soak, seconds: float, chance: random.Random) -> Clients:
    """Let runs, moves, requests and faults go on for so long, then be calm; what clients saw.

    Faults strike by `chance`.
    """
    end = time.monotonic() + seconds
    failures: list[BaseException] = []

    def inject_faults() -> None:
        try:
            while time.monotonic() < end:
                soak.inject_fault(chance)
                time.sleep(chance.uniform(0.2, 1.0))
        except BaseException as error:  # noqa: BLE001  told where it can be seen
            failures.append(error)

    striking = threading.Thread(target=inject_faults)
    with Clients(soak.serving, soak.predictor, soak.deaths) as clients:
        striking.start()
        try:
            while time.monotonic() < end:
                soak.land_digits()
                soak.run()
                soak.change_aliases()
        finally:
            striking.join()
        assert not failures, failures
        soak.land_digits()
        soak.run(calm=True)
        reported = f"serving has caught up; clients saw {Counter(clients.failures)}"
        until(soak.has_caught_up, what=reported)
    return clients
