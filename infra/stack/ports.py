"""Ports: which are free, who holds the ones that are not, and whether a server answers there."""

import errno
import ipaddress
import socket
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException

import psutil

from overnight.store.errors import ConfigurationError


@dataclass(frozen=True)
class Listening:
    """A port that a service listens at, and the setting that moves it."""

    port: int
    setting: str
    host: str = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody listens at the port now.

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
        ConfigurationError: naming the port, the setting that moves it, and who holds it; or why
            nobody can listen there.
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


def answers(url: str, *, timeout_seconds: float = 2) -> bool:
    """Whether a server answers there with success."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds):  # noqa: S310  our own address
            return True
    # A server that is just dying, or somebody else's, may answer anything.
    except (OSError, HTTPException, ValueError):
        return False


def _named(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:80]})"
