"""A proxy in front of an HTTP server that goes wrong as networks and servers do, when told to.

It speaks HTTP/1.1 with kept connections and passes every byte on unchanged, so that signed
requests stay signed. What goes wrong is switched at run time, is drawn from a seed, and is counted;
what was asked is kept.
"""

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

from tests.faults.passing import Fault, Server, Wrong

__all__ = ["Fault", "FaultProxy", "Wrong"]


class FaultProxy:
    """`with FaultProxy("http://127.0.0.1:8333") as proxy:` and ask `proxy.endpoint` instead."""

    def __init__(self, behind: str, *, seed: int = 0) -> None:
        self.behind = urlsplit(behind).netloc
        self.injected: Counter[Wrong] = Counter()
        self.asked: list[tuple[str, str]] = []
        self._fault: Fault | None = None
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

    def inject(self, fault: Fault) -> None:
        """From here on requests go wrong so, and no longer as they did before."""
        self.heal()
        self._healed.clear()
        self._fault = fault
        if fault.wrong is Wrong.REFUSE:
            self._silence()
            # Bound and not listening: connections are refused, and the port stays ours.
            self._held = _bound(self.port)
            self.injected[Wrong.REFUSE] += 1

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

    def drawn(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request; counted."""
        with self._lock:
            self.asked.append((method, path))
            fault = self._fault
            if (
                fault is None
                or not fault.only(method, path)
                or self._chance.random() >= fault.share
            ):
                return None
            self.injected[fault.wrong] += 1
            return fault

    def wait(self, seconds: float | None = None) -> None:
        """Until it is healed, or for so long."""
        self._healed.wait(seconds)

    def spoiled(self, body: bytes) -> bytes:
        """The body with one bit of it turned over."""
        if not body:
            return body
        with self._lock:
            place, bit = self._chance.randrange(len(body)), 1 << self._chance.randrange(8)
        return body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]

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
