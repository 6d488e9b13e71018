"""Child processes for heavy work, which end at a time-out or with their parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from overnight.tasks.errors import StepFailed


@contextmanager
def running(
    module: str, arguments: Sequence[str], *, log: Path, checkout: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start `python -m module …` and kill it on exit.

    With `checkout`, the module and its imports are those of that source tree. The child's standard
    input is a pipe of this process: it closes even if this process is killed, and
    `ends_with_parent` then ends the child. Standard error goes to `log`.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=checkout,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # The whole session, because a server that was started here may have workers.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
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

    Raises:
        StepFailed: it ran out of time or ended with an error; names its log.
    """
    with running(module, arguments, log=log, checkout=checkout) as process:
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        # A run that is interrupted must not wait for it.
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            for output_line in process.stdout:
                on_line(output_line.rstrip("\n"))
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
