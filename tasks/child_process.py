"""Child processes for heavy work, which end at a time-out or with their parent."""

import codecs
import io
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from overnight.store.project import current
from overnight.tasks.errors import StepFailed

_LOOK_SECONDS = 0.2


@contextmanager
def running(
    module: str, arguments: Sequence[str], *, log: Path, checkout: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `python -m module …` and kill it on exit.

    With `checkout`, the module and its imports are those of that source tree, as far as it has
    them; otherwise those of the project and of this environment. The child's standard input is a
    pipe of this process: it closes even if this process is killed, and `ends_with_parent` then ends
    the child. Standard error goes to `log`.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": _search_path(checkout)},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def run(
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    seconds: float,
    on_line: Callable[[str], None],
    checkout: Path | None = None,
) -> None:
    """Run a child to its end; `on_line` gets each line that it prints.

    Bytes that are no UTF-8 are replaced. What the child started ends with it.

    Raises:
        StepFailed: it ran out of time or ended with an error; names its log.
    """
    with running(module, arguments, log=log, checkout=checkout) as process:
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            _kill(process)

        timer = threading.Timer(seconds, stop)
        # A run that is interrupted must not wait for it.
        timer.daemon = True
        timer.start()
        try:
            for output_line in _lines(process):
                on_line(output_line)
            code = process.wait()
        finally:
            timer.cancel()
        if timed_out.is_set():
            raise StepFailed(
                f"{module} was stopped after {seconds:.0f} s; raise the time-out or train less; "
                f"its log: {log}"
            )
        if code != 0:
            raise StepFailed(
                f"{module} ended with {_exit_status(code)}: {_last_line(log)}; its log: {log}"
            )


def capture(
    command: Sequence[str], *, seconds: float, text: str = "", folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command with `text` as its input, to its end or to the time-out.

    Bytes of its output that are no UTF-8 are replaced. At the time-out all that it started is
    killed, and the exception has what was printed until then.

    Raises:
        OSError: it could not be started.
        subprocess.TimeoutExpired
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        start_new_session=True,
    )
    with process:
        try:
            output, errors = process.communicate(text.encode(), timeout=seconds)
        finally:
            # Before the pipes are closed: a process that holds their other end may be writing.
            _kill(process)
    shown = (output.decode(errors="replace"), errors.decode(errors="replace"))
    return subprocess.CompletedProcess(command, process.returncode, *shown)


def _search_path(checkout: Path | None) -> str:
    """Where a child imports from, before its environment: the checkout, or else the project."""
    folders = [checkout] if checkout else list(current().search_path)
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a child and its session, because a server that was started here may have workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _lines(process: "subprocess.Popen[bytes]") -> Iterator[str]:
    """The lines that a child prints, until it ends.

    Not until its output ends: a process that the child left behind may hold that open.
    """
    assert process.stdout is not None
    output, pending = process.stdout.fileno(), ""
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8")("replace"), translate=True
    )
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            # Asked before its output is: whatever it printed is in the pipe once it has ended.
            ended = process.poll() is not None
            if selector.select(0 if ended else _LOOK_SECONDS):
                if not (chunk := os.read(output, 65_536)):
                    break
                *lines, pending = (pending + decoder.decode(chunk)).split("\n")
                yield from lines
            elif ended:
                break
    if pending := pending + decoder.decode(b"", final=True):
        yield pending


def ends_with_parent() -> None:
    """Exit this process as soon as the parent's end of standard input closes."""

    def wait() -> None:
        # Not sys.stdin.read: its buffer's lock, held by this thread, would abort a normal exit.
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="ends-with-parent").start()


def _exit_status(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it printed no error"
