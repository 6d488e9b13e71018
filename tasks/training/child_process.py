"""Heavy work in a process of its own, which ends at its time-out or with its parent."""

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
    module: str, arguments: Sequence[str], *, log: Path, tree: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start `python -m module …` and make sure that it is gone afterwards.

    With `tree`, another checkout, it is that one's module and finds that one's others.
    Its standard input is a pipe that we hold: `ends_with_parent` in the child notices our death,
    however sudden. Its standard error goes to `log`.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=tree,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # The whole session: a server that was started here may have workers.
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
    line: Callable[[str], None],
    tree: Path | None = None,
) -> None:
    """Run a child to its end, handing on each line it prints.

    Raises:
        StepFailed: it ran out of time or ended with an error; says where its log is.
    """
    with running(module, arguments, log=log, tree=tree) as process:
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            for printed in process.stdout:
                line(printed.rstrip("\n"))
            code = process.wait()
        finally:
            timer.cancel()
        if late.is_set():
            raise StepFailed(
                f"{module} was stopped after {seconds:.0f} s; allow more or train less. Log: {log}"
            )
        if code != 0:
            raise StepFailed(f"{module} ended with {_told(code)}: {_last_words(log)} Log: {log}")


def ends_with_parent() -> None:
    """Called in a child: leave at once when the parent's end of standard input closes."""

    def wait() -> None:
        # Past Python's buffer: its lock, held by a waiting thread, would abort our own exit.
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="ends-with-parent").start()


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing."
