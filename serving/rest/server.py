"""The application as the HTTP server calls it (RSGI): bodies on the event loop, answers in threads.

WSGI would read a body in a thread that nothing can interrupt, so a client that sends slowly would
hold a thread for as long as it likes; and it folds `X_API_KEY` and `X-API-Key` into one. Here the
head of a request is admitted first, then its body is received within limits, and only a whole
request is answered: on the event loop if that is known to take little, else in a thread.
"""

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from flask import Flask
from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]
from werkzeug.exceptions import NotFound

from overnight.serving.errors import BadInput, LimitExceeded, Overloaded, TooSlow
from overnight.serving.inference.codecs.content_types import Environ, Hold
from overnight.serving.rest.environ import environ_of
from overnight.serving.rest.headers import ADMITTED, HOLD, REFUSAL, SLOT
from overnight.serving.rest.middleware.admission import AdmissionMiddleware
from overnight.serving.rest.quick_paths import QuickPaths
from overnight.serving.rest.resources import Resources
from overnight.serving.rest.uploads import Upload, Uploads
from overnight.store.errors import OvernightError

# Threads left for refusals and health checks while all others wait.
SPARE_THREADS = 4
LARGE_BYTES = 65_536
# Longer numbers are no length, and `int` refuses to parse the longest.
_DIGITS = 18
_WATCH_SECONDS = 0.5
_RELEASE_SECONDS = 0.01


class Companion(Protocol):
    """Another server of the same worker."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Finish what is being answered, for a few seconds at most, and answer nothing else."""


class Server:
    """One worker's application for granian."""

    def __init__(self, application: Flask, companion: Companion | None = None) -> None:
        """`companion` answers by the same application, and is started and stopped with this."""
        self._companion = companion
        shared: Resources = application.extensions["overnight"]
        # Not the application itself, which would add nothing but a call.
        self._admission: AdmissionMiddleware = application.wsgi_app  # type: ignore[assignment]
        self._limits, self._predictions = shared.limits, shared.predictions
        self._uploads = Uploads(shared.limits)
        self._quick = QuickPaths()
        # Started on demand; nearly all of them only wait for one of the few inference slots.
        self._threads = ThreadPoolExecutor(shared.limits.waiting + SPARE_THREADS, "request")

    # Called by granian before the first request, and after the last.
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watch()
        if self._companion is not None:
            self._companion.start()

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        if self._companion is not None:
            self._companion.stop()
        self._threads.shutdown(wait=False)
        # What was answered in the last half second is still in memory.
        if self._predictions is not None:
            self._predictions.close()

    def _watch(self) -> None:
        self._uploads.drop_late()
        self._loop.call_later(_WATCH_SECONDS, self._watch)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        environ = environ_of(scope)
        try:
            with self._admission.holding() as hold:
                environ[HOLD] = hold
                self._admission.admit(environ)
                body = await self._receive(environ, protocol, hold)
                await self._answer(environ, body, protocol)
                return
        except (OvernightError, NotFound) as error:
            environ[REFUSAL] = error
        await self._answer(environ, b"", protocol)

    async def _answer(self, environ: Environ, body: bytes, protocol: Any) -> None:
        environ["wsgi.input"] = io.BytesIO(body)
        if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
            environ["CONTENT_LENGTH"] = str(len(body))
        # A hand-over to a thread and back takes longer than most predictions.
        if len(body) <= LARGE_BYTES and self._quick.has(environ) and self._admission.take_slot():
            environ[SLOT] = True
            try:
                self._run(environ, protocol)
            finally:
                self._admission.return_slot()
        else:
            await self._loop.run_in_executor(self._threads, self._run, environ, protocol)

    async def _receive(self, environ: Environ, protocol: Any, hold: Hold) -> bytes:
        """The whole body; never more than the limit, whatever length the request declares.

        Raises:
            LimitExceeded: the body is, or is declared, longer than the limit.
            BadInput: it is shorter than declared.
            TooSlow: it came too slowly.
            Overloaded: large bodies hold all their memory, or there are too many bodies.
        """
        declared = environ.get("CONTENT_LENGTH")
        if declared is None and "HTTP_TRANSFER_ENCODING" not in environ:
            return b""
        length = _length(declared, self._limits.body_bytes) if declared else None
        task = asyncio.current_task()
        assert task is not None
        upload = self._uploads.begin(environ[ADMITTED], task.cancel)
        try:
            if length is not None and length <= LARGE_BYTES:
                body: bytes = await protocol()
            else:
                body = await self._receive_blocks(protocol, upload, hold)
        except asyncio.CancelledError:
            if not upload.dropped:
                raise
            task.uncancel()
            raise TooSlow(upload.dropped) from None
        except (ProtocolClosed, ProtocolError):
            # Nobody waits for the answer any more.
            raise BadInput("the body", expected="its end", found="a closed connection") from None
        finally:
            self._uploads.end(upload)
        if length is not None and len(body) != length:
            raise BadInput("the body", expected=f"{length} bytes", found=f"an end at {len(body)}")
        return body

    async def _receive_blocks(self, protocol: Any, upload: Upload, hold: Hold) -> bytes:
        blocks: list[bytes] = []
        async for block in protocol:
            upload.received += len(block)
            if upload.received > self._limits.body_bytes:
                most = self._limits.body_bytes
                raise LimitExceeded("the body", expected=f"at most {most} bytes", found="more")
            await self._hold(hold, len(block), upload)
            blocks.append(block)
        return b"".join(blocks)

    async def _hold(self, hold: Hold, size: int, upload: Upload) -> None:
        while True:
            try:
                return hold(size)
            except Overloaded:
                if not self._uploads.make_room(upload, least_bytes=LARGE_BYTES):
                    raise
                # The body that was given up releases its memory in its own task.
                await asyncio.sleep(_RELEASE_SECONDS)

    def _run(self, environ: Environ, protocol: Any) -> None:
        """Run the WSGI application, and remember how long it took."""
        began = time.thread_time()
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, headers))

        parts = self._admission(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                close()
        status, headers = started[-1]
        if status.startswith("200"):
            self._quick.note(environ, time.thread_time() - began)
        protocol.response_bytes(int(status[:3]), headers, body)


def _length(declared: str, most: int) -> int:
    if not (declared.isascii() and declared.isdigit()):
        raise BadInput("Content-Length", expected="a number of bytes", found=repr(declared[:20]))
    if len(declared) > _DIGITS or int(declared) > most:
        raise LimitExceeded("the body", expected=f"at most {most} bytes", found=declared[:_DIGITS])
    return int(declared)
