"""A door before the store with a wire across it: whoever is about to write a certain key trips."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Tripwire:
    """Passes every byte on, until a request to write a key that matches comes by."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._wire: tuple[re.Pattern[bytes], Callable[[], None]] | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.tripped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def stretch(self, key: str, act: Callable[[], None]) -> None:
        """Have `act` happen before the next write of a key that ends in `key` reaches the store."""
        self.tripped.clear()
        self._wire = (re.compile(rb"PUT /\S*" + re.escape(key.encode()) + rb"[ ?]"), act)

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
                if self._wire is not None and self._wire[0].search(part):
                    act, self._wire = self._wire[1], None
                    act()
                    self.tripped.set()
                    break
                server.sendall(part)
        _end(client, server)

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while part := server.recv(65_536):
                client.sendall(part)
        _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
