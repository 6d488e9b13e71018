"""Limits of each client: concurrent requests, and requests per second."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address

from overnight.serving.errors import Overloaded, TooManyRequests
from overnight.serving.inference.limits import Limits

REMEMBERED_CLIENTS = 10_000
BURST_SECONDS = 2.0


class ConcurrencyLimiter:
    """Limits requests in flight, of which one client may have a quarter."""

    def __init__(self, limits: Limits, in_flight: dict[int, str]) -> None:
        """`in_flight` holds the client of each request, by the id of its environ."""
        self._waiting, self._large_bytes = limits.waiting, limits.large_bytes
        self._each = max(1, limits.waiting // 4)
        # Without a lock, which every request would contend for: single operations of a dictionary
        # are atomic, and a race may only admit a few requests over the limit.
        self._clients = in_flight
        self._lock = threading.Lock()
        self._held_bytes = 0

    def enter(self, request: int, client: str) -> None:
        """Count a request of this client.

        Raises:
            Overloaded: the limit is reached; the request is not counted.
        """
        clients = self._clients
        if len(clients) >= self._each:
            if len(clients) >= self._waiting:
                raise Overloaded(f"{self._waiting} requests are in flight")
            if list(clients.values()).count(client) >= self._each:
                raise Overloaded(f"{self._each} requests of this client are in flight")
        clients[request] = client

    def leave(self, request: int) -> None:
        """Stop counting a request; no error for one that was refused."""
        self._clients.pop(request, None)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Reserve memory for a large body until its request is done, by the function yielded.

        Raises:
            Overloaded: by that function, when large bodies exceed their memory together.
        """
        held = 0

        def hold(more: int) -> None:
            nonlocal held
            with self._lock:
                if self._held_bytes + more > self._large_bytes:
                    raise Overloaded("large bodies use all the memory reserved for them")
                self._held_bytes += more
                held += more

        try:
            yield hold
        finally:
            with self._lock:
                self._held_bytes -= held


class RateLimiter:
    """A token bucket for each client: filled by `per_second`, with room for two seconds.

    The most recent clients are remembered; a forgotten one starts with a full bucket.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._full = max(1.0, per_second * BURST_SECONDS)
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> None:
        """Take one token of this client.

        Raises:
            TooManyRequests: its bucket is empty; says when to retry.
        """
        now = self._clock()
        with self._lock:
            left, since = self._buckets.pop(client, (self._full, now))
            left = min(self._full, left + (now - since) * self._per_second)
            enough = left >= 1.0
            # Popped above and inserted again, so that the dictionary is in order of use.
            self._buckets[client] = (left - 1.0 if enough else left, now)
            if len(self._buckets) > REMEMBERED_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        if not enough:
            raise TooManyRequests(self._per_second, (1.0 - left) / self._per_second)


def client_network(address: str) -> str:
    """The addresses that belong to one client: an IPv4 address, or an IPv6 network /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        # A dual-stack socket reports IPv4 clients as `::ffff:192.0.2.7`.
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return address
