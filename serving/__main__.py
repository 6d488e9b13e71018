"""`python -m overnight.serving` serves the champions; `--rehearse DIR` the one bundle in DIR."""

import argparse
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from logging import getLogger
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces

from overnight.infra import logging, settings
from overnight.serving import wsgi
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.disk_cache import read_bundle
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.objects import keys

# A request in flight is given this long when the drain is over.
FINISH_SECONDS = 30
# Threads that are free to refuse, and to tell how we are, when all others wait for something.
SPARE_THREADS = 4
# Idle connections cost next to nothing, but as long as they are open each counts.
CONNECTIONS = 1_024


def main() -> int:
    """Serve until asked to stop; exit code 0 done, 1 failed, 2 wrong usage."""
    asked = _arguments()
    if asked.with_parent:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        chosen = settings.load()
        logging.configure(chosen.log_level)
        host, port = asked.host or chosen.serving_host, asked.port or chosen.serving_port
        if asked.rehearse is None:
            _answer(chosen, host, port)
        else:
            _rehearse(asked.rehearse, chosen, host, port)
    except OvernightError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    return 0


def _answer(chosen: settings.Settings, host: str, port: int) -> None:
    _check_settings(chosen)
    _check_free(host, port)
    said = chosen.home / "serving" / f"draining-{port}"
    draining = DrainFlag.afresh(said)
    server = _server(
        host, port, workers=chosen.serving_workers, limits=wsgi.limits(chosen), respawn=True
    )
    server.on_startup(partial(_drain_when_asked, server, draining, chosen.drain_seconds))
    loader = partial(_load, partial(wsgi.application, said))
    server.serve(target_loader=loader, wrap_loader=False)


def _rehearse(folder: Path, chosen: settings.Settings, host: str, port: int) -> None:
    read_bundle(folder)  # a broken bundle is told here, in one line
    _check_free(host, port)
    # Nobody but the rehearsal itself asks, and it may ask as fast as it can.
    limits = replace(wsgi.limits(chosen), per_second=None)
    server = _server(host, port, workers=1, limits=limits, respawn=False)
    make = partial(wsgi.rehearsal, folder, chosen.serving_threads, limits, chosen.log_level)
    server.serve(target_loader=partial(_load, make), wrap_loader=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m overnight.serving", description=__doc__)
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
    nothing to drain. Ctrl-C at a terminal reaches the workers, too: when they end is their
    parent's to say.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    return make()


def _drain_when_asked(server: Any, draining: DrainFlag, seconds: float) -> None:
    """Asked to stop, first be not ready, then stop; asked again, leave at once.

    Where nobody asks whether we are ready, nobody has to be told, and there is nothing to wait for.
    """

    def asked(_number: int, _frame: FrameType | None) -> None:
        if draining.begun:
            for worker in server.wrks:
                worker.kill()
            server.signal_handler_interrupt()
            return
        draining.begin()
        wait = threading.Timer(
            seconds if draining.is_watched else 0, server.signal_handler_interrupt
        )
        wait.daemon = True
        wait.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)


def _check_settings(chosen: settings.Settings) -> None:
    """Find out here, in one line, what would end every worker."""
    for model in chosen.serving_models:
        keys.check_model(model)
    wsgi.administrators(chosen)
    wsgi.prediction_keys(chosen)
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


def _allow_files(wanted: int) -> None:
    """Raise the number of open files to what our connections need, as far as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _server(host: str, port: int, *, workers: int, limits: Limits, respawn: bool) -> Any:
    _allow_files(CONNECTIONS + 512)
    # It would warn of many threads; ours mostly wait, and few of them answer at a time.
    getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
    return Granian(
        "overnight.serving.wsgi:application",  # only its name: `serve` is told how to make it
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        # Started when they are needed, as for senders that take their time.
        blocking_threads=limits.waiting + SPARE_THREADS,
        # Connections, not requests; those beyond wait in the kernel's queue.
        backpressure=max(CONNECTIONS, 2 * limits.waiting),
        # A connection brings one request at a time, so that limits of connections are limits.
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=respawn,
        workers_kill_timeout=FINISH_SECONDS,
        log_dictconfig=logging.for_server(),
    )


if __name__ == "__main__":
    sys.exit(main())
