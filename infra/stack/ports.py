"""Ports: which are free, and who holds the ones that are not."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from store.errors import ConfigurationError


@dataclass(frozen=True)
class Listening:
    """A port that a service listens at, and the setting that moves it."""

    port: int
    setting: str
    host: str = "127.0.0.1"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen at the port now."""
    with socket.socket() as attempt:
        # As servers do: connections that linger from a stopped server do not count.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError:
            return False
    return True


def free_port(*, below: int = 65_536, taken: Iterable[int] = ()) -> int:
    """A port nobody listens at, below a limit and not among `taken`."""
    while True:
        with socket.socket() as attempt:
            attempt.bind(("127.0.0.1", 0))
            port: int = attempt.getsockname()[1]
        if port < below and port not in set(taken):
            return port


def check_free(listening: Listening) -> None:
    """Nothing, when a server could listen there.

    Raises:
        ConfigurationError: naming the port, the setting that moves it, and who holds it.
    """
    if not is_free(listening.port, listening.host):
        raise ConfigurationError(
            f"port {listening.port} is taken by {holder(listening.port)}; stop that, or set "
            f"{listening.setting} to a free port"
        )


def holder(port: int) -> str:
    """Who listens at a port, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.pid:
            _host, taken = connection.laddr
            if taken == port:
                return _named(connection.pid)
    return "another process"


def _named(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:80]})"
