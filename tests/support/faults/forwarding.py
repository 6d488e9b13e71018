"""The HTTP server of the fault proxy, which forwards requests and applies faults to them."""

import http.client
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

_HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding"}


class FaultKind(StrEnum):
    """The faults that can be injected into a request."""

    REFUSE = "nobody listens, and open connections are reset"
    HANG = "the request is taken and never answered"
    DELAY = "the request is passed on late"
    FAIL = "an error is answered, and the server behind is not asked"
    TRUNCATE_REQUEST = "half of the request's body arrives, then the connection is cut"
    TRUNCATE_ANSWER = "half of the answer's body arrives, then the connection is cut"
    LOSE_ANSWER = "the request is carried out, and its answer never arrives"
    CORRUPT_REQUEST = "a bit of the request's body is another"
    CORRUPT_ANSWER = "a bit of the answer's body is another"
    STALE_LIST = "a listing tells what it told before the fault"


@dataclass(frozen=True)
class Response:
    """The response of the server behind the proxy."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    content: bytes


@dataclass(frozen=True)
class Fault:
    """A kind of fault, the requests it applies to (`only`, of method and path), and their share.

    `code` is the S3 error code that is answered with `status`.
    """

    wrong: FaultKind
    share: float = 1.0
    status: int = 503
    code: str = ""
    seconds: float = 0.5
    only: Callable[[str, str], bool] = field(default=lambda method, path: True)


class FaultPolicy(Protocol):
    """Decides which requests get a fault."""

    behind: str

    def draw_fault(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if any; counts it."""

    def count_write(self, method: str, path: str) -> int:
        """The number of this write, from one; 0 for a read."""

    def crashes(self, write: int, *, before: bool) -> bool:
        """Kill the client if it is to die at this write; whether it was killed."""

    def list_response(self, path: str, answer: Response, *, stale: bool) -> Response:
        """The response to a listing; if `stale`, the one from before the fault."""

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the fault is removed, or for `seconds`."""

    def flip_bit(self, body: bytes) -> bytes:
        """The body with one bit flipped."""


class Server(ThreadingHTTPServer):
    """Keeps its open connections, so that they can be reset."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], proxy: FaultPolicy) -> None:
        super().__init__(address, ForwardingHandler)
        self.proxy = proxy
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect: faults make them do so."""

    def reset_all(self) -> None:
        for connection in list(self._connections):
            _reset(connection)


class ForwardingHandler(BaseHTTPRequestHandler):
    """Forwards each request over a new connection to the server behind."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _pass_on(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        write = proxy.count_write(self.command, self.path)
        if proxy.crashes(write, before=True):
            return self._cut()
        fault = proxy.draw_fault(self.command, self.path)
        wrong = fault.wrong if fault else None
        if fault is not None and wrong is FaultKind.DELAY:
            proxy.wait(fault.seconds)
        if wrong is FaultKind.HANG:
            proxy.wait()
            return self._cut()
        if fault is not None and wrong is FaultKind.FAIL:
            return self._answer(fault.status, "Failed", [], _failure(fault))
        if wrong is FaultKind.TRUNCATE_REQUEST and body:
            self._ask_half(body)
            return self._cut()
        if wrong is FaultKind.CORRUPT_REQUEST:
            body = proxy.flip_bit(body)
        return self._return_response(body, wrong, write)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def _return_response(self, body: bytes, wrong: FaultKind | None, write: int) -> None:
        proxy = self.server.proxy
        found = self._forwarded(body)
        if proxy.crashes(write, before=False) or wrong is FaultKind.LOSE_ANSWER:
            return self._cut()
        if is_listing(self.command, self.path):
            found = proxy.list_response(self.path, found, stale=wrong is FaultKind.STALE_LIST)
        content = found.content
        if wrong is FaultKind.CORRUPT_ANSWER:
            content = proxy.flip_bit(content)
        sent = content[: len(content) // 2] if wrong is FaultKind.TRUNCATE_ANSWER else content
        self._answer(found.status, found.reason, found.headers, sent, whole=len(content))
        return self._cut() if wrong is FaultKind.TRUNCATE_ANSWER else None

    def _forwarded(self, body: bytes) -> Response:
        """Forward the request; returns the server's response."""
        with self._behind() as behind:
            self._put_head(behind)
            behind.endheaders(body)
            found = behind.getresponse()
            return Response(found.status, found.reason, found.getheaders(), found.read())

    def _ask_half(self, body: bytes) -> None:
        with self._behind() as behind:
            self._put_head(behind)
            behind.endheaders(body[: len(body) // 2])

    def _put_head(self, behind: http.client.HTTPConnection) -> None:
        """Send the head unchanged: the host is part of the signature."""
        behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                behind.putheader(name, value)

    @contextmanager
    def _behind(self) -> Iterator[http.client.HTTPConnection]:
        behind = http.client.HTTPConnection(self.server.proxy.behind, timeout=60)
        try:
            yield behind
        finally:
            behind.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # The whole body is known now, so it is forwarded with its length.
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        body = b"".join(parts)
        self.headers["Content-Length"] = str(len(body))
        return body

    def _answer(
        self,
        status: int,
        reason: str,
        headers: list[tuple[str, str]],
        content: bytes,
        *,
        whole: int | None = None,
    ) -> None:
        self.send_response_only(status, reason)
        reported = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if "content-length" not in reported:
            self.send_header("Content-Length", str(len(content) if whole is None else whole))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        # Shut down instead of closing, or the client may lose what was sent before the end.
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Log nothing: injected faults are counted."""


def _reset(connection: socket.socket) -> None:
    """Reset a connection, like a machine that lost its power."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def is_listing(method: str, path: str) -> bool:
    """Whether a request is an S3 listing."""
    return method == "GET" and "list-type=2" in path


def _failure(fault: Fault) -> bytes:
    busy = fault.status == HTTPStatus.SERVICE_UNAVAILABLE
    code = fault.code or ("SlowDown" if busy else "InternalError")
    return f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
