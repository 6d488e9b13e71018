"""`python -m serving` answers for the champions; `--rehearse DIR` for the one bundle in DIR."""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import Interfaces

from infra import logging, settings
from serving.cache import read_bundle
from serving.limits import Limits
from serving.wsgi import application, rehearsal
from store import keys
from store.errors import ConfigurationError, OvernightError

# A request in flight is given this long when we are asked to stop.
DRAIN_SECONDS = 30


def main() -> int:
    """Serve until asked to stop; exit code 0 done, 1 failed, 2 wrong usage."""
    asked = _arguments()
    if asked.with_parent:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        chosen = settings.load()
        logging.configure(chosen.log_level)
        if asked.rehearse is None:
            _check_settings(chosen)
            workers, loader = chosen.serving_workers, application
        else:
            read_bundle(asked.rehearse)  # a broken bundle is told here, in one line
            limits = Limits(chosen.maximum_body_bytes, chosen.maximum_batch_rows)
            workers = 1
            loader = partial(
                rehearsal, asked.rehearse, chosen.serving_threads, limits, chosen.log_level
            )
        host, port = asked.host or chosen.serving_host, asked.port or chosen.serving_port
        _check_free(host, port)
        server = _server(
            host,
            port,
            workers=workers,
            threads=chosen.serving_threads,
            respawn=asked.rehearse is None,
        )
        server.serve(target_loader=partial(_load, loader), wrap_loader=False)
    except OvernightError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--rehearse", type=Path, metavar="DIR", help="a folder with manifest.json")
    parser.add_argument("--host", help="the address to listen at (OVERNIGHT_SERVING_HOST)")
    parser.add_argument("--port", type=int, help="the port to listen at (OVERNIGHT_SERVING_PORT)")
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when standard input closes, as a parent's death closes it",
    )
    return parser.parse_args()


def _leave_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _load(make: Callable[[], Flask]) -> Flask:
    """Make the application in a worker that still listens to its parent's signal handlers.

    Those would swallow a request to stop until the drain time is over; while loading there is
    nothing to drain.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    return make()


def _check_settings(chosen: settings.Settings) -> None:
    """Find out here, in one line, what would end every worker."""
    for model in chosen.serving_models:
        keys.check_model(model)
    try:
        (chosen.home / "serving").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"OVERNIGHT_HOME: {chosen.home} cannot be written to ({error.strerror}); "
            "make it writable or name another folder"
        ) from None


def _check_free(host: str, port: int) -> None:
    """Find out about a taken port now: two servers that share one would answer in turns."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigurationError(
            f"port {port} on {host} cannot be listened at ({error.strerror}); "
            "stop what uses it, or set OVERNIGHT_SERVING_PORT"
        ) from None


def _server(host: str, port: int, *, workers: int, threads: int, respawn: bool) -> Any:
    return Granian(
        "serving.wsgi:application",  # only its name: `serve` is told how to make it
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        # Requests beyond what the threads take wait in the kernel's queue, not in ours.
        backpressure=max(threads * 8, 64),
        respawn_failed_workers=respawn,
        workers_kill_timeout=DRAIN_SECONDS,
        log_dictconfig=logging.for_server(),
    )


if __name__ == "__main__":
    sys.exit(main())
