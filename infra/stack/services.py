"""The services of the stack for given settings, in the order of their start."""

import sys
from pathlib import Path

from overnight.infra.settings import Settings
from overnight.infra.stack import prefect_services, seaweedfs_service, state_file
from overnight.infra.stack.ports import Listening, check_free, responds
from overnight.infra.stack.processes import is_alive, kill, session_of
from overnight.infra.stack.record_signing import sign_records_once
from overnight.infra.stack.service import LATEST_ANSWER_SECONDS, Service
from overnight.store.errors import ConfigurationError


def plan(settings: Settings) -> tuple[Service, ...]:
    """Store, Prefect, serving, deployments, worker; what settings point elsewhere is left out."""
    before = state_file.read(settings.home)
    services = []
    if settings.s3_endpoint is None:
        running = before.named(seaweedfs_service.NAME)
        # A store that its supervisor is just starting again keeps its ports, too.
        ours = before.supervised or (running is not None and is_alive(running.process))
        services.append(seaweedfs_service.service(settings, keeps_running=ours))
    if settings.prefect_api_url is None:
        services.append(prefect_services.server(settings))
    services.append(_serving(settings))
    services.append(prefect_services.deployments(settings))
    services.append(prefect_services.worker(settings))
    return tuple(services)


def check_settings(home: Path, services: tuple[Service, ...]) -> None:
    """Check that the running stack was started with the settings of these services.

    Raises:
        ConfigurationError: some services run with other settings, and would keep them.
    """
    running = {record.name: record.fingerprint for record in state_file.read(home).services}
    wanted = {service.name: service.fingerprint for service in services}
    others = sorted(name for name in running | wanted if running.get(name) != wanted.get(name))
    if others:
        raise ConfigurationError(
            f"the stack of {home} runs with other settings ({', '.join(others)}); "
            "`overnight down` first, then `overnight up`"
        )


def check_ports(home: Path, services: tuple[Service, ...]) -> None:
    """Check that every service either runs already or finds its ports free.

    Children of a killed service of ours, which hold its ports, are killed first.

    Raises:
        ConfigurationError: naming the port, its setting, and the process that holds it.
    """
    before = state_file.read(home)
    for service in services:
        known = before.named(service.name)
        if known is not None and known.process is not None and not is_alive(known.process):
            kill(session_of(known.process))
        if known is None or not is_alive(known.process):
            for listening in service.listens:
                check_free(listening)


def _serving(settings: Settings) -> Service:
    live = f"{settings.serving_here}/v2/health/live"
    ports = {"OVERNIGHT_SERVING_PORT": settings.serving_port}
    if settings.serving_grpc_port:
        ports["OVERNIGHT_SERVING_GRPC_PORT"] = settings.serving_grpc_port
    return Service(
        name="serving",
        title="Serving",
        command=(sys.executable, "-m", "overnight.serving"),
        environment={**settings.of_children, "OVERNIGHT_IDENTITY": "serving"},
        folder=settings.folder,
        log=settings.home / "logs" / "serving.log",
        before_start=lambda: sign_records_once(settings),
        ready=lambda _started: responds(live),
        responds=lambda: responds(live, timeout_seconds=LATEST_ANSWER_SECONDS),
        after=(seaweedfs_service.NAME,),
        listens=tuple(
            Listening(port, setting, settings.serving_host) for setting, port in ports.items()
        ),
        address=settings.answers_url,
        grpc_address=settings.grpc_address,
        settings=settings.digest(
            *("log_", "s3_", "serving_", "poll_", "maximum_", "replica"),
            *("requests_", "drain_", "admin_", "prediction_", "cors_", "trusted_"),
        ),
        stop_seconds=settings.drain_seconds + 35,
    )
