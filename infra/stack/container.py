"""One service of the training side in the foreground, for a container that restarts it by itself.

`python -m overnight.infra.stack.container register` makes the bucket where there is none, asks the
store whether it can be relied on, and gives a Prefect server the work pool, the automations and the
deployments of all models; `… worker` becomes the Prefect worker. Both need a store and a Prefect
server elsewhere: on one machine `overnight up` runs everything.
"""

import os
import sys
from typing import Never

from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.infra.stack import prefect_services
from overnight.infra.stack.service import Service
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.objects.conformance import probe

_SERVICES = {
    "register": prefect_services.deployments,
    "worker": prefect_services.worker,
}


def main() -> int:
    """Become the service; exit code 1 when it cannot be started, 2 for wrong usage."""
    names = sys.argv[1:]
    if len(names) != 1 or names[0] not in _SERVICES:
        print(f"usage: container {' | '.join(_SERVICES)}, found {names}", file=sys.stderr)
        return 2
    try:
        settings = load("administration")
        service = prepared(names[0], settings)
    except OvernightError as error:
        print(f"{names[0]}: {error}", file=sys.stderr)
        return 1
    return _become(service)


def _become(service: Service) -> Never:
    os.chdir(service.folder)
    environment = {**os.environ, **service.environment}
    os.execve(service.command[0], command(service), environment)  # noqa: S606 - our own program


def prepared(name: str, settings: Settings) -> Service:
    """The service, after what has to be done before its start.

    Raises:
        ConfigurationError: the store or Prefect would be those of one machine.
        StoreError: the store does not answer, or cannot be relied on.
        OrchestratorUnavailable, OrchestratorRefused: Prefect does not answer, or not to us.
    """
    for setting, value in (
        ("OVERNIGHT_S3_ENDPOINT", settings.s3_endpoint),
        ("OVERNIGHT_PREFECT_API_URL", settings.prefect_api_url),
    ):
        if value is None:
            raise ConfigurationError(
                f"{setting}: expected the address of a server elsewhere, found nothing; set it, or "
                "run `overnight up` for everything on one machine"
            )
    for folder in (settings.home, settings.home / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    service = _SERVICES[name](settings)
    if name == "register":
        bucket = connections.bucket(settings)
        bucket.ensure()
        # The registry is only safe on a store that refuses to create a key twice.
        probe(bucket, where=settings.store_endpoint)
    service.before_start()
    return service


def command(service: Service) -> tuple[str, ...]:
    """The command of a service; a worker answers at /health whether it has asked for work."""
    probe = ("--with-healthcheck",) if service.name == "worker" else ()
    return (*service.command, *probe)


if __name__ == "__main__":
    sys.exit(main())
