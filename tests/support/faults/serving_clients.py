"""Clients that send requests all the time and check each response against the version it names."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Self

import numpy as np

from overnight.tasks.evaluation.published import answers
from tests.support.faults.tally import TALLY
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving

_CLIENTS = 2
_PAUSE_SECONDS = 0.02
# A load balancer retries when a worker dies during a request.
_TRIES = 4
# A dead worker's socket closes within this time, and connections queued at it are reset.
_GRACE_SECONDS = 3.0


@dataclass
class Clients:
    """`predictor` reads the predictor of a version; each is read once.

    `deaths` are the times at which workers were killed (monotonic seconds): a request that was
    interrupted then is retried and counted; one interrupted at any other time has failed.
    """

    serving: Serving
    predictor: Callable[[str], bytes]
    deaths: Sequence[float] = ()
    sent: int = 0
    cut: int = 0
    failures: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._expected: dict[str, np.ndarray] = {}
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(_CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        TALLY.requests(self.sent, failed=len(self.failures), cut=self.cut)

    def _ask_on(self) -> None:
        while not self._over.wait(_PAUSE_SECONDS):
            self._count(self._failure())

    def _failure(self) -> str:
        """Send one request; returns what was wrong with the response, or nothing."""
        for _ in range(_TRIES):
            requested = time.monotonic()
            try:
                status, headers, answer = self.serving.request(
                    "POST", "/v1/models/digits:predict", {"instances": bundles.IMAGES.tolist()}
                )
            except (OSError, HTTPException) as error:
                if isinstance(error, TimeoutError) or not self._died_since(requested):
                    return f"cut while no worker died: {error!r}"
                with self._lock:
                    self.cut += 1
                self._over.wait(0.2)
                continue
            return self._wrong(status, headers.get("x-model-version", ""), answer)
        return f"no answer in {_TRIES} tries"

    def _died_since(self, requested: float) -> bool:
        return any(death > requested - _GRACE_SECONDS for death in self.deaths[-1:])

    def _wrong(self, status: int, version: str, answer: Any) -> str:
        if status != 200:
            return f"answered {status}: {answer}"
        with self._lock:
            if version not in self._expected:
                requested = {"image": bundles.IMAGES}
                found = answers(self.predictor(version), requested)["probabilities"]
                self._expected[version] = np.asarray(found)
            self.seen.add(version)
        near = np.allclose(answer["predictions"], self._expected[version], atol=1e-6)
        return "" if near else f"{version} answered as another would"

    def _count(self, failure: str) -> None:
        with self._lock:
            self.sent += 1
            if failure:
                self.failures.append(failure)
