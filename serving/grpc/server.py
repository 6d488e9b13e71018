"""The gRPC server of one worker; the workers of a host share its port by SO_REUSEPORT."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from flask import Flask

from overnight.serving.grpc.calls import Calls
from overnight.serving.grpc.other_methods import OtherMethods
from overnight.serving.grpc.services import MOST_STREAMS, Services
from overnight.serving.grpc.tls import TlsFiles
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.resources import Resources
from overnight.serving.rest.server import SPARE_THREADS
from overnight.store.errors import ConfigurationError

logger = logging.getLogger(__name__)

# Calls in flight get this long when the server stops: a part of what the process gets.
STOP_SECONDS = 10.0
_WATCH_SECONDS = 0.5
_PING_MILLISECONDS = 10_000
_METADATA_BYTES = 16_384


class GrpcServer:
    """Answers calls by the application that also answers HTTP."""

    def __init__(
        self, application: Flask, host: str, port: int, *, tls: TlsFiles | None = None
    ) -> None:
        """Listen at an address, if `tls` by TLS alone; `start` answers.

        Raises:
            ConfigurationError: it cannot be listened at, or the files of TLS are not right.
        """
        shared: Resources = application.extensions["overnight"]
        most = shared.limits.waiting + SPARE_THREADS + MOST_STREAMS
        self._calls = Calls(application)
        self._services = Services(self._calls)
        self._stopped = threading.Event()
        # Threads are started on demand, and one is used again before another is started.
        self._threads = ThreadPoolExecutor(most, "grpc")
        self._server = grpc.server(
            self._threads, options=_options(shared.limits), maximum_concurrent_rpcs=most
        )
        all_handlers = self._services.handlers()
        for service, handlers in all_handlers.items():
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, handlers),)
            )
            self._server.add_registered_method_handlers(service, handlers)
        # The last that is asked.
        self._server.add_generic_rpc_handlers((OtherMethods(all_handlers),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise ConfigurationError(
                f"gRPC cannot listen at {address} ({error}); stop what uses it, set "
                "OVERNIGHT_SERVING_GRPC_PORT, or correct the files of OVERNIGHT_SERVING_GRPC_TLS_…"
            ) from None

    def start(self) -> None:
        self._server.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """Finish the calls in flight, for a few seconds at most, and accept no others."""
        self._stopped.set()
        self._services.stopping.set()
        self._server.stop(STOP_SECONDS).wait()
        self._threads.shutdown(wait=False)

    def _watch(self) -> None:
        while not self._stopped.wait(_WATCH_SECONDS):
            self._calls.drop_late()


def _options(limits: Limits) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.max_concurrent_streams", limits.waiting),
        # Clients that keep connections alive ping more often than gRPC allows by default.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_MILLISECONDS),
    )


def _credentials(tls: TlsFiles) -> Any:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)],
        tls.client_authorities,
        require_client_auth=tls.client_authorities is not None,
    )
