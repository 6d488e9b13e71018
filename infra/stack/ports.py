"""TCP ports: which are free, which process holds one, and whether a server responds."""

import errno
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from overnight.store.errors import ConfigurationError

# With what lies 10,000 above them, under 32,768, where Linux's outgoing connections begin.
_SERVER_PORTS = range(10_240, 22_768)


@dataclass(frozen=True)
class Listening:
    """A port at which a service listens, and the setting that moves it."""

    port: int
    setting: str
    host: str = "127.0.0.1"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether no process listens at the port now.

    Raises:
        OSError: no server of this user can ever listen there.
    """
    family, _type, _protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    )[0]
    with socket.socket(family) as attempt:
        # As servers do: connections that linger from a stopped server do not count.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def free_port(*, exclude: Iterable[int] = (), twin: int = 0) -> int:
    """A port nobody listens at, not among `exclude`, and free as well so many ports above it.

    Below the ports that the kernel gives to outgoing connections: one of those would keep a server
    that is restarted there from listening.
    """
    excluded = set(exclude)
    # Not of the process's own generator, which models and tests seed: two would choose alike.
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_SERVER_PORTS)
        if port not in excluded and is_free(port) and is_free(port + twin):
            return port


def check_free(listening: Listening) -> None:
    """Check that a server could listen at a port.

    Raises:
        ConfigurationError: naming the port, the setting that moves it, and the process that
            holds it; or why no server can listen there.
    """
    try:
        free = is_free(listening.port, listening.host)
    except PermissionError as error:
        raise ConfigurationError(
            f"this user may not listen at port {listening.port} ({error.strerror}); set "
            f"{listening.setting} to a port from 1024 on"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"no server can listen at {listening.host} ({error.strerror}); set "
            f"{listening.setting.removesuffix('PORT')}HOST to an address of this machine"
        ) from None
    if not free:
        raise ConfigurationError(
            f"port {listening.port} is taken by {holder(listening.port)}; stop that, or set "
            f"{listening.setting} to a free port"
        )


def holder(port: int) -> str:
    """The process that listens at a port, as far as this user may see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.pid:
            _host, listening_port = connection.laddr
            if listening_port == port:
                return _named(connection.pid)
    return "another process"


def responds(url: str, *, timeout_seconds: float = 2) -> bool:
    """Whether a server of this machine answers at a URL with success."""
    import httpx

    try:
        # Ours on this machine, which no proxy of the environment can reach.
        return httpx.get(url, timeout=timeout_seconds, trust_env=False).is_success
    # A server that is stopping, or a foreign one at our port, may answer anything.
    except httpx.HTTPError:
        return False


def _named(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:80]})"
