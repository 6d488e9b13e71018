"""Limits by client: how many requests at once, and how many a second."""

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
    """Who is in: requests at once, of which no client may have more than a quarter."""

    def __init__(self, limits: Limits, in_flight: dict[int, str]) -> None:
        """`in_flight` holds the client of each request, by a number of the request's own."""
        self._waiting, self._large_bytes = limits.waiting, limits.large_bytes
        self._each = max(1, limits.waiting // 4)
        # A dictionary needs no lock of ours, and this one is in every request's way; that a few
        # come in too many at the very same moment does no harm.
        self._clients = in_flight
        self._lock = threading.Lock()
        self._held_bytes = 0

    def enter(self, request: int, client: str) -> None:
        """Count one more request of this client.

        Raises:
            Overloaded: there are too many already; nothing is counted.
        """
        inside = self._clients
        if len(inside) >= self._each:
            if len(inside) >= self._waiting:
                raise Overloaded(f"{self._waiting} requests are being answered or wait already")
            if list(inside.values()).count(client) >= self._each:
                raise Overloaded(f"{self._each} requests of yours are answered or wait already")
        inside[request] = client

    def leave(self, request: int) -> None:
        """Count it no longer; one that never came in is no error."""
        self._clients.pop(request, None)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Account for the bytes of a large body as they arrive, until it is answered.

        Raises:
            Overloaded: from what is yielded, when large bodies hold too much together.
        """
        held = 0

        def hold(more: int) -> None:
            nonlocal held
            with self._lock:
                if self._held_bytes + more > self._large_bytes:
                    raise Overloaded("large bodies take all the memory that is meant for them")
                self._held_bytes += more
                held += more

        try:
            yield hold
        finally:
            with self._lock:
                self._held_bytes -= held


class RateLimiter:
    """A token bucket for each client: it fills by `per_second`, and holds two seconds' worth.

    As many clients are remembered as asked last; whoever is forgotten starts with a full bucket.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._full = max(1.0, per_second * BURST_SECONDS)
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> None:
        """Take one token of this client's.

        Raises:
            TooManyRequests: there is none; says when there will be.
        """
        now = self._clock()
        with self._lock:
            left, since = self._buckets.pop(client, (self._full, now))
            left = min(self._full, left + (now - since) * self._per_second)
            enough = left >= 1.0
            # Taken out and put in again, the client that asked last is last.
            self._buckets[client] = (left - 1.0 if enough else left, now)
            if len(self._buckets) > REMEMBERED_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        if not enough:
            raise TooManyRequests(self._per_second, (1.0 - left) / self._per_second)


def neighbourhood(address: str) -> str:
    """What one client can be expected to own: an IPv4 address, or a /64 of IPv6.

    An IPv4 address as a socket for both tells it (`::ffff:192.0.2.7`) is one of IPv4.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return address
