"""The load generator: `python -m benchmarks.serving.peers.load`, its order on standard input.

One thread, one epoll, raw sockets: kept connections that each send again as soon as they are
answered. Requests are made beforehand and sent in turns. It costs some 20 µs of CPU a request,
in a process of its own, so that nothing of it is counted as the server's. Over gRPC it is grpcio's
client, which costs as much as a server does: rates and latencies of that load are not those of the
others, CPU times are.
"""

import itertools
import json
import queue
import re
import select
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from benchmarks.serving.peers import processes

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_GOOD = re.compile(rb"HTTP/1\.[01] 200 ")
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Order:
    """The load of one measurement; `leader` is the first process of the server."""

    port: int
    leader: int
    requests: tuple[str, ...]
    connections: int
    warm_seconds: float
    seconds: float
    # The method that is called where it is no load of HTTP; requests are then its messages.
    grpc_method: str = ""


@dataclass(frozen=True)
class Tally:
    """Result of a measurement; `failures` counts answers other than 200, by their first line."""

    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    answers: int
    failures: dict[str, int]


class Connection:
    """One closed-loop client."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self.is_kept = b"", True

    def send(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The status line once the answer is complete, else None; sets `is_kept`."""
        try:
            part = self.socket.recv(65_536)
        except ConnectionError:
            part = b""
        received = self._received = self._received + part
        if not is_complete(received, ended=not part):
            self.is_kept = bool(part)
            return None if part else b"the server hung up"
        self.is_kept = bool(part) and not _CLOSES.search(received.partition(b"\r\n\r\n")[0])
        self._received = b""
        return received.partition(b"\r\n")[0]


def is_complete(received: bytes, *, ended: bool = False) -> bool:
    """Whether an HTTP/1 answer is complete; `ended` when the server closed the connection."""
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return False
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    if _CHUNKED.search(head):
        return body.endswith(b"0\r\n\r\n")
    return ended


class Clients:
    """All clients, on one thread."""

    def __init__(self, order: Order) -> None:
        self._requests = itertools.cycle([text.encode("latin-1") for text in order.requests])
        self._poll = select.epoll()
        self._clients: dict[int, Connection] = {}
        for _ in range(order.connections):
            client = Connection(order.port)
            self._enter(client)
            client.send(next(self._requests))

    def drive(self, seconds: float, answers: int) -> tuple[list[float], Counter[str], float]:
        """Seconds of each request, failures and duration of at least `seconds` and `answers`."""
        took: list[float] = []
        failures: Counter[str] = Counter()
        began = now = time.perf_counter()
        while now < began + seconds or len(took) < answers:
            if now > began + seconds + PATIENCE_SECONDS:
                raise SystemExit(f"{len(took)} answers in {now - began:.0f} s, then none")
            for descriptor, _ in self._poll.poll(1):
                client = self._clients[descriptor]
                if (status := client.receive()) is not None:
                    took.append(time.perf_counter() - client.began)
                    if not _GOOD.match(status):
                        failures[status.decode("latin-1")] += 1
                    self._send_next(descriptor, client)
            now = time.perf_counter()
        return took, failures, now - began

    def _send_next(self, descriptor: int, client: Connection) -> None:
        if not client.is_kept:
            self._poll.unregister(descriptor)
            del self._clients[descriptor]
            client.socket.close()
            client.connect()
            self._enter(client)
        client.send(next(self._requests))

    def _enter(self, client: Connection) -> None:
        self._clients[client.socket.fileno()] = client
        self._poll.register(client.socket.fileno(), select.EPOLLIN)


class GrpcClients:
    """All clients over gRPC, each with a connection of its own, and one thread that sends."""

    def __init__(self, order: Order) -> None:
        self._requests = itertools.cycle([text.encode("latin-1") for text in order.requests])
        self._ended: queue.SimpleQueue[tuple[Any, float, Any]] = queue.SimpleQueue()
        # Channels to one address share their connection by default.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        for _ in range(order.connections):
            channel = grpc.insecure_channel(f"127.0.0.1:{order.port}", options=alone)
            self._send(channel.unary_unary(order.grpc_method))

    def drive(self, seconds: float, answers: int) -> tuple[list[float], Counter[str], float]:
        """Seconds of each request, failures and duration of at least `seconds` and `answers`."""
        took: list[float] = []
        failures: Counter[str] = Counter()
        began = now = time.perf_counter()
        while now < began + seconds or len(took) < answers:
            call, sent, future = self._ended.get(timeout=2 * PATIENCE_SECONDS)
            now = time.perf_counter()
            took.append(now - sent)
            if future.code() is not grpc.StatusCode.OK:
                failures[future.code().name] += 1
            self._send(call)
        return took, failures, now - began

    def _send(self, call: Any) -> None:
        sent = time.perf_counter()
        future = call.future(next(self._requests), timeout=PATIENCE_SECONDS)
        future.add_done_callback(lambda ended: self._ended.put((call, sent, ended)))


def run(order: Order) -> Tally:
    """Keep every connection busy, first to warm up, then measured."""
    clients = GrpcClients(order) if order.grpc_method else Clients(order)
    clients.drive(order.warm_seconds, 2 * order.connections)
    before = _spent(order.leader)
    took, failures, seconds = clients.drive(order.seconds, order.connections)
    return summarise(took, failures, seconds=seconds, spent=_spent(order.leader) - before)


def _spent(leader: int) -> float:
    return processes.cpu_seconds(processes.family(leader, processes.running()))


def summarise(
    took: Sequence[float], failures: Counter[str], *, seconds: float, spent: float
) -> Tally:
    """Rates from seconds of each request, wall seconds and CPU seconds of the server."""
    return Tally(
        cpu_us=spent / len(took) * 1e6,
        per_second=len(took) / seconds,
        p50_ms=statistics.median(took) * 1e3,
        p99_ms=statistics.quantiles(took, n=100, method="inclusive")[98] * 1e3,
        answers=len(took),
        failures=dict(failures),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(run(Order(**json.load(sys.stdin))))))
