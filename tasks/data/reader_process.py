"""Reads arrivals in a child process with limits on memory and time.

`python -m overnight.tasks.data.reader_process MODEL MODULE WHERE MEGABYTES` answers requests, one
line of JSON each, until its standard input closes. Whatever breaks it refuses the arrival that it
was reading.
"""

import dataclasses
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from overnight import models
from overnight.models.definition import Places, StreamedDelivery
from overnight.models.errors import SourceUnavailable, as_reported
from overnight.models.sources.access import SourceAccess
from overnight.store.project import DeclaredModel
from overnight.store.values import Value
from overnight.tasks import child_process
from overnight.tasks.data.read_arrival import (
    DeliverOutcome,
    DeliverRequest,
    ReadHere,
    ReadOutcome,
    ReadRequest,
    undeliverable,
    unreadable,
)
from overnight.tasks.errors import StepFailed

_READY = b"ready"
# A process that a person or a shutdown ends says nothing about the files.
_STOPPED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ATTEMPTS = 2
_START_SECONDS = 120


class ReadLimits(Value):
    """The memory that reading one arrival may take, and the time."""

    memory_mb: int = 2_048
    seconds: float = 1_800


class ReaderProcess(AbstractContextManager["ReaderProcess"]):
    """An `ArrivalReader` that reads in a child, which is started when it is needed."""

    def __init__(self, model: str, places: Places, limits: ReadLimits, *, log: Path) -> None:
        self._model, self._places, self._limits = model, places, limits
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def read(self, request: ReadRequest) -> ReadOutcome:
        """Write the rows of an arrival; what breaks or outlasts the child refuses the arrival.

        Raises:
            StepFailed: the child cannot be started, was stopped, or failed for another reason
                than the files.
        """
        line, broken = self._exchange(request.model_dump_json())
        if broken:
            return unreadable(request.arrival, broken)
        return ReadOutcome.model_validate(_checked(line))

    def deliver(self, delivery: StreamedDelivery, request: DeliverRequest) -> DeliverOutcome:
        """Write the pieces of a streamed arrival, which the child asks its own source for.

        Raises:
            StepFailed: as `read` does.
            SourceUnavailable, UnusableSource: nothing can be landed.
        """
        line, broken = self._exchange(request.model_dump_json())
        if broken:
            return undeliverable(delivery, broken)
        return DeliverOutcome.model_validate(_checked(line))

    def _exchange(self, request: str) -> tuple[bytes, str]:
        """The child's answer, or how the files broke it."""
        for _ in range(_ATTEMPTS):
            child = self._child or self._start()
            line, timed_out = self._answer(child, request)
            if line:
                return line, ""
            code = child.wait()
            self._stop()
            if timed_out:
                why = f"reading them takes longer than {self._limits.seconds:,.0f} s"
                return b"", f"{why}; OVERNIGHT_ARRIVAL_SECONDS is the limit"
            if -code in _STOPPED:
                raise StepFailed(
                    f"the process that reads arrivals was stopped ({code}); its log: {self._log}"
                )
        # Twice, because the system also ends processes when memory is short elsewhere.
        ended = f"code {code}" if code >= 0 else signal.Signals(-code).name
        return b"", f"reading them ended the process by {ended}, twice"

    def _answer(self, child: "subprocess.Popen[bytes]", request: str) -> tuple[bytes, bool]:
        """The child's answer, empty if it died, and whether its time was over."""
        assert child.stdin is not None
        with _deadline(child, self._limits.seconds) as timed_out:
            try:
                child.stdin.write(request.encode() + b"\n")
                child.stdin.flush()
                line = _line(child)
            except BrokenPipeError:
                line = b""
        return line, timed_out.is_set() and not line

    def _start(self) -> "subprocess.Popen[bytes]":
        self._log.parent.mkdir(parents=True, exist_ok=True)
        # The child reads no settings, so that it cannot know which project declares the model.
        declared = models.declaration(self._model)
        memory = str(self._limits.memory_mb)
        arguments = [declared.name, declared.module, declared.where, memory]
        child = self._running.enter_context(
            child_process.running(__name__, arguments, log=self._log)
        )
        assert child.stdin is not None
        # Not by its arguments, which every user of the machine can list.
        with suppress(BrokenPipeError):
            child.stdin.write(_encoded(self._places) + b"\n")
            child.stdin.flush()
        with _deadline(child, _START_SECONDS):
            ready = _line(child).strip() == _READY
        if not ready:
            code = child.wait()
            self._stop()
            raise StepFailed(
                f"the process that reads arrivals did not start ({code}); its log: {self._log}"
            )
        self._child = child
        return child

    def _stop(self) -> None:
        self._child = None
        self._running.close()


@contextmanager
def _deadline(child: "subprocess.Popen[bytes]", seconds: float) -> Iterator[threading.Event]:
    """Kill a child when its time is over; the event is set then."""
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, stop)
    # A run that is interrupted must not wait for it.
    timer.daemon = True
    timer.start()
    try:
        yield timed_out
    finally:
        timer.cancel()


def _line(child: "subprocess.Popen[bytes]") -> bytes:
    assert child.stdout is not None
    return child.stdout.readline()


def _encoded(places: Places) -> bytes:
    return json.dumps(dataclasses.asdict(places), default=str).encode()


def _decoded(line: str) -> Places:
    places = json.loads(line)
    folder = places["folder"]
    return Places(
        folder=None if folder is None else Path(folder),
        cache=Path(places["cache"]),
        access=SourceAccess(**places["access"]),
    )


def _checked(line: bytes) -> object:
    """The child's answer.

    Raises:
        SourceUnavailable, UnusableSource: as the child raised them.
        StepFailed: it failed for another reason than the files.
    """
    answer = json.loads(line)
    if "error" in answer:
        if (reported := as_reported(answer["kind"], answer["error"])) is not None:
            raise reported
        raise StepFailed(f"an arrival could not be read: {answer['kind']}: {answer['error']}")
    return answer


def main(model: DeclaredModel, memory_mb: int) -> None:
    """Answer requests until the parent closes standard input; the first line is `Places`."""
    # Only answers may reach the parent, whatever a library prints.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Arrow's own allocator takes memory in large blocks, which the limit would count as used.
    pa.set_memory_pool(pa.system_memory_pool())
    definition = models.load(model)
    lines = _requests()
    source = definition.open_source(_decoded(next(lines)))
    reader = ReadHere(source, definition.data_gates)
    print(_READY.decode(), file=answers, flush=True)
    for line in lines:
        _limit_memory(memory_mb)
        try:
            answer = _answered(reader, line)
        except Exception as error:  # noqa: BLE001 - the parent reports it
            answer = json.dumps({"kind": type(error).__name__, "error": str(error)})
        print(answer, file=answers, flush=True)


def _answered(reader: ReadHere, line: str) -> str:
    """The answer to a request for one arrival that was landed, or for the source's next one."""
    if "rows_file" in json.loads(line):
        return reader.read(ReadRequest.model_validate_json(line)).model_dump_json()
    request = DeliverRequest.model_validate_json(line)
    delivery = reader.source.deliver(frozenset(request.delivered))
    if not isinstance(delivery, StreamedDelivery):
        raise SourceUnavailable("the next arrival", ["it has changed meanwhile"], "run again")
    return reader.deliver(delivery, request).model_dump_json()


def _requests() -> Iterator[str]:
    """Lines of standard input; the process exits when it closes, even while it reads files."""
    lines: queue.Queue[str] = queue.Queue()

    def receive() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=receive, daemon=True, name="requests").start()
    while True:
        yield lines.get()


def _limit_memory(megabytes: int) -> None:
    """Limit what this process may allocate beyond what it has; only Linux enforces that.

    Not its addresses (RLIMIT_AS), of which threads reserve far more than they use.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        allocated = int(statm.read_text().split()[5]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = allocated + megabytes * 1_000_000
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == "__main__":
    main(DeclaredModel(*sys.argv[1:4]), int(sys.argv[4]))
