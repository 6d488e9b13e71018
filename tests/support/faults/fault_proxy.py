"""A proxy in front of an HTTP server that injects faults of networks and servers.

It speaks HTTP/1.1 with persistent connections and forwards every byte unchanged, so that signatures
stay valid. Faults are switched at run time, drawn from a seed, and counted; requests are recorded.
A client can be killed just before or just after any of its writes.
"""

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

from tests.support.faults.forwarding import Fault, FaultKind, Response, Server
from tests.support.faults.tally import TALLY

__all__ = ["Fault", "FaultKind", "FaultProxy"]

_WRITING = {"PUT", "POST", "DELETE"}
_Crash = tuple[int, bool, Callable[[], None]]


class FaultProxy:
    """`with FaultProxy("http://127.0.0.1:8333") as proxy:` and ask `proxy.endpoint` instead."""

    def __init__(self, behind: str, *, seed: int | str = 0) -> None:
        self.behind = urlsplit(behind).netloc
        self.injected: Counter[FaultKind] = Counter()
        self.requested: list[tuple[str, str]] = []
        self.writes: list[tuple[str, str]] = []
        self._crash: _Crash | None = None
        self._listings: dict[str, Response] = {}
        self._fault: Fault | None = None
        self._spared: int | None = 0
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._held: socket.socket | None = None
        self._server = Server(("127.0.0.1", 0), self)
        self.port = int(self._server.server_address[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._silence()

    def reseed(self, seed: int | str) -> None:
        """From here on chance falls as it does for everybody with this seed."""
        with self._lock:
            self._chance = random.Random(seed)
        self.injected.clear()

    def inject(self, fault: Fault) -> None:
        """From here on requests go wrong so, and no longer as they did before."""
        self.heal()
        self._healed.clear()
        self._fault, self._spared = fault, 0
        if fault.wrong is FaultKind.REFUSE:
            self._silence()
            # Bound and not listening: connections are refused, and the port stays ours.
            self._held = _bound(self.port)
            self._count(FaultKind.REFUSE)

    def heal(self) -> None:
        """From here on nothing goes wrong; requests that hang end with a cut connection."""
        self._fault = None
        self._healed.set()
        if self._held is not None:
            self._held.close()
            self._held = None
            self._server = Server(("127.0.0.1", self.port), self)
            self._listen()

    @contextmanager
    def wrong(self, fault: Fault) -> Iterator[None]:
        """Let requests go wrong for a while."""
        self.inject(fault)
        try:
            yield
        finally:
            self.heal()

    def draw_fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request; counted."""
        with self._lock:
            self.requested.append((method, path))
            fault = self._fault
            if fault is None or not fault.only(method, path) or not self._is_drawn(fault):
                return None
            # Only a listing that was told before can be told again.
            if fault.wrong is FaultKind.STALE_LIST and path not in self._listings:
                return None
            self._count(fault.wrong)
            return fault

    def _is_drawn(self, fault: Fault) -> bool:
        """By chance; but the first comes no later than is to be expected, however chance falls."""
        draw_fault = self._chance.random() < fault.share
        if self._spared is not None:
            self._spared += 1
            draw_fault = draw_fault or self._spared * fault.share >= 1
        if draw_fault:
            self._spared = None
        return draw_fault

    def crash_at(self, write: int, *, before: bool, kill: Callable[[], None]) -> None:
        """Have `kill` end whoever makes this write, counted from one from here on."""
        with self._lock:
            self.writes.clear()
            self._crash = (write, before, kill)

    def count_write(self, method: str, path: str) -> int:
        """The number of this write among all, from one; 0 when it writes nothing."""
        with self._lock:
            if method not in _WRITING:
                return 0
            self.writes.append((method, path))
            return len(self.writes)

    def crashes(self, write: int, *, before: bool) -> bool:
        """Whether whoever writes this was killed at this very moment."""
        with self._lock:
            if not write or self._crash is None or self._crash[:2] != (write, before):
                return False
            kill, self._crash = self._crash[2], None
        kill()
        TALLY.inject("killed before a write" if before else "killed after a write")
        return True

    def list_response(self, path: str, answer: Response, *, stale: bool) -> Response:
        """What is told of a listing: the answer, or the one that was told before the fault."""
        with self._lock:
            if stale:
                return self._listings[path]
            if self._fault is None:
                self._listings[path] = answer
            return answer

    def wait(self, seconds: float | None = None) -> None:
        """Until it is healed, or for so long."""
        self._healed.wait(seconds)

    def flip_bit(self, body: bytes) -> bytes:
        """The body with one bit of it turned over."""
        if not body:
            return body
        with self._lock:
            place, bit = self._chance.randrange(len(body)), 1 << self._chance.randrange(8)
        return body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]

    def _count(self, wrong: FaultKind) -> None:
        self.injected[wrong] += 1
        TALLY.inject(wrong.value)

    def _listen(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _silence(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.reset_all()


def _bound(port: int) -> socket.socket:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    return holder
