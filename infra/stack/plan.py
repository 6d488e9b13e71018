"""Which services make the stack of these settings, in the order of their start."""

import sys
from pathlib import Path

from infra.settings import Settings
from infra.stack import orchestrator, record, seaweed
from infra.stack.ports import Listening, check_free
from infra.stack.processes import is_alive, kill, session_of
from infra.stack.seaweed import answers
from infra.stack.service import Service

ROOT = Path(__file__).resolve().parents[2]


def plan(settings: Settings) -> tuple[Service, ...]:
    """Store, Prefect, serving, deployments, worker; what settings point elsewhere is left out."""
    before = record.read(settings.home)
    services = []
    if settings.s3_endpoint is None:
        running = before.named(seaweed.NAME)
        keeps_running = running is not None and is_alive(running.process)
        services.append(seaweed.service(settings, keeps_running=keeps_running))
    if settings.prefect_api_url is None:
        services.append(orchestrator.server(settings))
    services.append(_serving(settings))
    services.append(orchestrator.deployments(settings, ROOT))
    services.append(orchestrator.worker(settings, ROOT))
    return tuple(services)


def check_ports(home: Path, services: tuple[Service, ...]) -> None:
    """Nothing, when every service either runs already or finds its ports free.

    What a killed service of ours left at its ports (its own children) is cleared away first.

    Raises:
        ConfigurationError: naming the port, its setting, and who holds it.
    """
    before = record.read(home)
    for service in services:
        known = before.named(service.name)
        if known is not None and known.process is not None and not is_alive(known.process):
            kill(session_of(known.process))
        if known is None or not is_alive(known.process):
            for listening in service.listens:
                check_free(listening)


def _serving(settings: Settings) -> Service:
    host = settings.serving_host
    # A server that listens everywhere is asked at this machine's own address.
    asked = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
    live = f"http://{asked}:{settings.serving_port}/v2/health/live"
    return Service(
        name="serving",
        title="Serving",
        command=(sys.executable, "-m", "serving"),
        environment={"OVERNIGHT_HOME": str(settings.home)},
        folder=ROOT,
        log=settings.home / "logs" / "serving.log",
        ready=lambda _started: answers(live),
        after=(seaweed.NAME,),
        listens=(Listening(settings.serving_port, "OVERNIGHT_SERVING_PORT", host),),
        address=settings.answers_url,
        stop_seconds=35,
    )
