"""A TCP proxy before the store that kills a process just before a chosen write."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.support.faults.tally import TALLY

# A request begins with its head; clients wait for an answer before they send the next one.
_WRITE = re.compile(rb"(PUT|POST|DELETE) /[^/ ]+/([^ ?]*)")
# What is another each time that it is written.
_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Tripwire:
    """Passes every byte on, until a write comes by at which somebody is to trip."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._wire: tuple[Callable[[str], bool], Callable[[], None]] | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.tripped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def stretch(self, trips: Callable[[str], bool], act: Callable[[], None]) -> None:
        """Have `act` happen before the first write that `trips` says so of reaches the store.

        It is told every write, as `PUT key`; what is random in a key is told as `*`.
        """
        self.tripped.clear()
        self._wire = (trips, act)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._ends += [client, server]
                threading.Thread(target=self._watch, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()

    def _watch(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while part := client.recv(65_536):
                if self._trips(part):
                    break
                server.sendall(part)
        _end(client, server)

    def _trips(self, part: bytes) -> bool:
        found = _WRITE.match(part)
        with self._lock:
            if found is None or self._wire is None:
                return False
            trips, act = self._wire
            key = _RANDOM.sub("*", found[2].decode())
            if not trips(f"{found[1].decode()} {key}"):
                return False
            self._wire = None
            act()
            TALLY.inject("a flow was killed before a write")
            self.tripped.set()
            return True

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while part := server.recv(65_536):
                client.sendall(part)
        _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
