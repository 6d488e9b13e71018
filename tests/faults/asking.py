"""Clients that ask serving all the time, and hold answers against the versions they name."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Self

import numpy as np

from tasks.evaluate import answers
from tests.faults.tally import TALLY
from tests.serving import bundles
from tests.serving.rig import Serving

_CLIENTS = 2
_PAUSE_SECONDS = 0.02
# A load balancer asks again when a worker died with the request in its hands.
_TRIES = 4


@dataclass
class Clients:
    """`predictor` reads the predictor of a version; each is read once."""

    serving: Serving
    predictor: Callable[[str], bytes]
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
        TALLY.requests(self.sent, failed=len(self.failures))

    def _ask_on(self) -> None:
        while not self._over.wait(_PAUSE_SECONDS):
            self._count(self._failure())

    def _failure(self) -> str:
        """Ask once; what was wrong with the answer, if anything."""
        for _ in range(_TRIES):
            try:
                status, headers, answer = self.serving.ask(
                    "POST", "/v1/models/digits:predict", {"instances": bundles.IMAGES.tolist()}
                )
            except (OSError, HTTPException):
                with self._lock:
                    self.cut += 1
                self._over.wait(0.2)
                continue
            return self._wrong(status, headers.get("x-model-version", ""), answer)
        return f"no answer in {_TRIES} tries"

    def _wrong(self, status: int, version: str, answer: Any) -> str:
        if status != 200:
            return f"answered {status}: {answer}"
        with self._lock:
            if version not in self._expected:
                asked = {"image": bundles.IMAGES}
                found = answers(self.predictor(version), asked)["probabilities"]
                self._expected[version] = np.asarray(found)
            self.seen.add(version)
        near = np.allclose(answer["predictions"], self._expected[version], atol=1e-6)
        return "" if near else f"{version} answered as another would"

    def _count(self, failure: str) -> None:
        with self._lock:
            self.sent += 1
            if failure:
                self.failures.append(failure)
