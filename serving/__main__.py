"""`python -m overnight.serving` serves the champions; `--rehearse DIR` the one bundle in DIR."""

import argparse
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces

from overnight.infra import connections, logging, settings
from overnight.serving import wsgi
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.host.watchdog import replace_silent_workers
from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.disk_cache import read_bundle
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.rest.middleware.client_address import TrustedProxies
from overnight.serving.rest.server import Companion, Server
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.objects import keys

MakeGrpc = Callable[[Flask], Companion]
# Requests in flight get this long after the drain.
FINISH_SECONDS = 30
# Idle connections are cheap, but each counts against the backpressure limit of granian.
CONNECTIONS = 1_024


def main() -> int:
    """Serve until asked to stop; exit code 0 done, 1 failed, 2 wrong usage."""
    arguments = _arguments()
    if arguments.with_parent:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        chosen = settings.load()
        logging.configure(chosen.log_level)
        host, port = arguments.host or chosen.serving_host, arguments.port or chosen.serving_port
        if arguments.rehearse is None:
            grpc_port = arguments.grpc_port
            _serve(chosen, host, port, chosen.serving_grpc_port if grpc_port is None else grpc_port)
        else:
            # Beside a host that serves: its port is taken.
            _rehearse(arguments.rehearse, chosen, host, port, arguments.grpc_port or 0)
    except OvernightError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(chosen: settings.Settings, host: str, port: int, grpc_port: int) -> None:
    _check_settings(chosen)
    _check_free(host, port, "OVERNIGHT_SERVING_PORT")
    grpc = _grpc(chosen, host, grpc_port)
    drain_file = chosen.home / "serving" / f"draining-{port}"
    draining = DrainFlag.create(drain_file)
    server = _server(
        host, port, workers=chosen.serving_workers, limits=wsgi.limits(chosen), respawn=True
    )
    server.on_startup(partial(_install_signal_handlers, server, draining, chosen.drain_seconds))
    folder = wsgi.folder_of(chosen.home, connections.address(chosen))
    server.on_startup(partial(_watch_workers, server, folder, chosen.serving_silent_seconds))
    loader = partial(_load, partial(wsgi.application, drain_file, time.time()), grpc)
    server.serve(target_loader=loader, wrap_loader=False)
    # Only a server that was asked to stop comes here.
    LoadNotes(folder / "loading").forget_all()


def _watch_workers(server: Any, folder: Path, seconds: float) -> None:
    watching = partial(replace_silent_workers, server, folder / "workers", seconds=seconds)
    threading.Thread(target=watching, daemon=True).start()


def _rehearse(
    folder: Path, chosen: settings.Settings, host: str, port: int, grpc_port: int
) -> None:
    read_bundle(folder)  # an invalid bundle is reported here, in one line, not by each worker
    _check_free(host, port, "OVERNIGHT_SERVING_PORT")
    grpc = _grpc(chosen, host, grpc_port)
    # The rehearsal is the only client, and sends requests as fast as it can.
    limits = replace(wsgi.limits(chosen), per_second=None)
    server = _server(host, port, workers=1, limits=limits, respawn=False)
    make = partial(wsgi.rehearsal, folder, chosen.serving_threads, limits, chosen.log_level)
    server.serve(target_loader=partial(_load, make, grpc), wrap_loader=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m overnight.serving", description=__doc__)
    parser.add_argument("--rehearse", type=Path, metavar="DIR", help="a folder with manifest.json")
    parser.add_argument("--host", help="the address to listen at (OVERNIGHT_SERVING_HOST)")
    parser.add_argument("--port", type=int, help="the port to listen at (OVERNIGHT_SERVING_PORT)")
    parser.add_argument(
        "--grpc-port",
        type=int,
        help="the port for gRPC, 0 for none (OVERNIGHT_SERVING_GRPC_PORT; a rehearsal has none)",
    )
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when standard input closes, as a parent's death closes it",
    )
    return parser.parse_args()


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _load(make: Callable[[], Flask], grpc: MakeGrpc | None) -> Server:
    """Create the application in a worker, which has inherited the signal handlers of its parent."""
    # The inherited handler would delay SIGTERM by the drain time, with nothing to drain yet.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Ctrl-C at a terminal reaches the workers as well, but the parent decides when they end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    application = make()
    return Server(application, grpc and grpc(application))


def _install_signal_handlers(server: Any, draining: DrainFlag, seconds: float) -> None:
    """On SIGTERM or SIGINT, report not ready, drain and stop; on a second one, stop at once.

    If no readiness check was ever received, no load balancer waits for one, and neither do we.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        if draining.begun:
            for worker in server.wrks:
                worker.kill()
            server.signal_handler_interrupt()
            return
        draining.begin()
        wait = threading.Timer(
            seconds if draining.is_polled else 0, server.signal_handler_interrupt
        )
        wait.daemon = True
        wait.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _check_settings(chosen: settings.Settings) -> None:
    """Check what would otherwise make every worker fail, so that there is one error."""
    for model in chosen.serving_models:
        keys.check_model(model)
    wsgi.administrators(chosen)
    wsgi.prediction_keys(chosen)
    TrustedProxies(chosen.trusted_proxies)
    try:
        (chosen.home / "serving").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"OVERNIGHT_HOME: {chosen.home} cannot be written to ({error.strerror}); "
            "make it writable or name another folder"
        ) from None


def _grpc(chosen: settings.Settings, host: str, port: int) -> MakeGrpc | None:
    """What makes the gRPC server of a worker; None without a port.

    Raises:
        ConfigurationError: the port is taken, or the files of TLS cannot be used.
    """
    if not port:
        return None
    # Not where it is switched off: its import takes a worker a tenth of a second and 20 MB.
    from overnight.serving.grpc.tls import tls_files

    _check_free(host, port, "OVERNIGHT_SERVING_GRPC_PORT")
    tls = tls_files(
        chosen.serving_grpc_tls_certificate_file,
        chosen.serving_grpc_tls_key_file,
        chosen.serving_grpc_tls_client_ca_file,
    )
    return partial(_grpc_server, host=host, port=port, tls=tls)


def _grpc_server(application: Flask, *, host: str, port: int, tls: Any) -> Companion:
    # In the worker: gRPC has threads of its own, which a process does not inherit.
    from overnight.serving.grpc.server import GrpcServer

    return GrpcServer(application, host, port, tls=tls)


def _check_free(host: str, port: int, setting: str) -> None:
    """Check that the port is free: by SO_REUSEPORT, two servers would share its requests."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigurationError(
            f"port {port} on {host} cannot be listened at ({error.strerror}); "
            f"stop what uses it, or set {setting}"
        ) from None


def _allow_files(wanted: int) -> None:
    """Raise the limit of open files to `wanted`, at most to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _server(host: str, port: int, *, workers: int, limits: Limits, respawn: bool) -> Any:
    _allow_files(CONNECTIONS + 512)
    return Granian(
        "overnight.serving.wsgi:application",  # a name only: `serve` gets the loader
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=workers,
        # Of connections, not requests; more wait in the kernel's queue.
        backpressure=max(CONNECTIONS, 2 * limits.waiting),
        # HTTP/2 would carry many requests over one connection, past the limit of connections.
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=respawn,
        workers_kill_timeout=FINISH_SECONDS,
        log_dictconfig=logging.for_server(),
    )


if __name__ == "__main__":
    sys.exit(main())
