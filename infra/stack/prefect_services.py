"""Prefect's services on this machine: server with UI, registration of deployments, worker."""

import socket
import sys
import time
from collections.abc import Mapping
from datetime import datetime

from overnight.infra import connections
from overnight.infra.errors import OrchestratorRefused, OrchestratorUnavailable
from overnight.infra.prefect_api import PrefectApi
from overnight.infra.settings import Settings
from overnight.infra.stack import orphan_runs, prefect_automations
from overnight.infra.stack.ports import Listening
from overnight.infra.stack.service import LATEST_ANSWER_SECONDS, Service
from overnight.store.errors import ConfigurationError

NAME = "prefect"
# A run or deployment can set no job variable: with `env`, `command` or `working_dir` it would bring
# tokens or an identity of its own. There is no `env` here, because Prefect would merge a run's into
# it. Without a pipe to the worker, a run survives the worker's death.
POOL_TEMPLATE: Mapping[str, object] = {
    "job_configuration": {"stream_output": False},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}
_REQUEST_SECONDS = 2.0


def environment(settings: Settings) -> Mapping[str, str]:
    """Environment variables of every process that talks to Prefect."""
    auth = settings.prefect_auth.get_secret_value()
    return {
        **settings.of_children,
        **({"PREFECT_API_AUTH_STRING": auth} if auth else {}),
        "PREFECT_HOME": str(settings.home / NAME),
        "PREFECT_API_URL": settings.api_url,
        "PREFECT_UI_URL": ui_url(settings),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "true" if settings.prefect_ui == "v2" else "false",
        "DO_NOT_TRACK": "1",
    }


def ui_url(settings: Settings) -> str:
    """The address of Prefect's UI; links in cards begin with it."""
    address = settings.api_url.removesuffix("/api")
    return f"{address}/v2" if settings.prefect_ui == "v2" else address


def server(settings: Settings) -> Service:
    """The server with its UI, on SQLite under the home."""
    api = connections.prefect(settings, timeout_seconds=_REQUEST_SECONDS)
    patient = connections.prefect(settings, timeout_seconds=LATEST_ANSWER_SECONDS)
    host, port = settings.prefect_host, str(settings.prefect_port)
    command = ("server", "start", "--host", host, "--port", port)

    def before_start() -> None:
        # On the loopback, too: every local user and every page in a browser reaches it, and may
        # run commands as the worker where no password is asked for.
        if not settings.prefect_auth.get_secret_value():
            raise ConfigurationError(
                "the Prefect server has no password; `overnight up` generates one, or set "
                "OVERNIGHT_PREFECT_AUTH=user:password"
            )
        # Its database has the parameters of all runs, among them proofs of who requested them.
        folder = settings.home / NAME
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)

    return Service(
        name=NAME,
        title="Prefect UI",
        command=(sys.executable, "-m", NAME, *command),
        environment={**environment(settings), **_access(settings)},
        folder=settings.home,
        log=settings.home / "logs" / "prefect.log",
        ready=lambda _started: api.is_healthy(),
        responds=patient.is_healthy,
        before_start=before_start,
        prepare=lambda: configure(settings),
        listens=(Listening(settings.prefect_port, "OVERNIGHT_PREFECT_PORT", host),),
        address=settings.api_url.removesuffix("/api"),
        stop_seconds=15,
    )


def _access(settings: Settings) -> Mapping[str, str]:
    """Environment by which the server asks for a password and refuses pages of other origins."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": settings.prefect_auth.get_secret_value(),
        # A relative address, so that the UI and its API have one origin by whatever name a browser
        # reaches this machine.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": settings.api_url.removesuffix("/api"),
    }


def deployments(settings: Settings) -> Service:
    """A job that registers the deployments with the server, when something changed."""

    def before_start() -> None:
        # Our own server was configured when it came up; a foreign one has to be reachable.
        if settings.prefect_api_url is not None:
            configure(settings)

    return Service(
        name="deployments",
        title="Deployments",
        command=(sys.executable, "-m", "overnight.infra.stack.deployments"),
        environment=environment(settings),
        folder=settings.folder,
        log=settings.home / "logs" / "deployments.log",
        ready=lambda _started: False,
        before_start=before_start,
        after=(NAME,),
        once=True,
    )


def worker(settings: Settings) -> Service:
    """The worker that starts the flow runs of the pool."""
    api = connections.prefect(settings, timeout_seconds=_REQUEST_SECONDS)
    patient = connections.prefect(settings, timeout_seconds=LATEST_ANSWER_SECONDS)
    name = f"overnight-{socket.gethostname()}"
    alone = settings.prefect_api_url is None

    def before_start() -> None:
        # With a server of our own no other worker has runs in this pool.
        if alone:
            orphan_runs.crash_orphans(connections.prefect(settings), settings.work_pool)
            orphan_runs.skip_missed(connections.prefect(settings), settings.work_pool)

    def before_stop() -> None:
        if alone:
            pause(api, settings.work_pool, paused=True)

    def after_stop() -> None:
        orphan_runs.kill_all(api)
        if alone:
            orphan_runs.crash_orphans(api, settings.work_pool)

    # No `--limit`: an instant retry of a crashed run would kill the worker.
    options = ("--pool", settings.work_pool, "--type", "process", "--name", name)
    return Service(
        name="worker",
        title="Prefect worker",
        command=(sys.executable, "-m", NAME, "--no-prompt", "worker", "start", *options),
        # Flows that carry out a person's decision name another identity in their code.
        environment={**environment(settings), "OVERNIGHT_IDENTITY": "training"},
        folder=settings.folder,
        log=settings.home / "logs" / "worker.log",
        ready=lambda started: _reported_since(api, settings.work_pool, name, started),
        # What it is asked by is Prefect, and that may be what answers late.
        responds=patient.is_healthy,
        before_start=before_start,
        before_stop=before_stop,
        after_stop=after_stop,
        after=(NAME,),
        # The runs it starts may read any setting.
        settings=settings.digest(""),
        stop_seconds=15,
    )


def configure(settings: Settings) -> None:
    """Create the server's work pool and automations, and resume the pool."""
    api = connections.prefect(settings)
    ensure_pool(api, settings.work_pool)
    if settings.prefect_api_url is None:
        pause(api, settings.work_pool, paused=False)
    prefect_automations.register(api, settings)


def ensure_pool(api: PrefectApi, name: str) -> None:
    """Create the work pool, or give an existing one our template."""
    template = {"base_job_template": POOL_TEMPLATE}
    existing = api.find(f"/work_pools/{name}")
    if existing is None:
        api.request("POST", "/work_pools/", {"name": name, "type": "process", **template})
    elif existing["base_job_template"] != POOL_TEMPLATE:
        api.request("PATCH", f"/work_pools/{name}", template)


def pause(api: PrefectApi, pool: str, *, paused: bool) -> None:
    """Pause or resume the scheduled runs of a pool."""
    api.request("PATCH", f"/work_pools/{pool}", {"is_paused": paused})


def _reported_since(api: PrefectApi, pool: str, name: str, started: float) -> bool:
    """Whether the worker started at `started`, and not an earlier one, sent a heartbeat."""
    try:
        workers = api.filter(f"/work_pools/{pool}/workers")
    except (OrchestratorRefused, OrchestratorUnavailable):
        return False
    heartbeats = [worker["last_heartbeat_time"] for worker in workers if worker["name"] == name]
    times = (datetime.fromisoformat(heartbeat).timestamp() for heartbeat in heartbeats if heartbeat)
    return any(started - 1 <= moment <= time.time() + 60 for moment in times)
