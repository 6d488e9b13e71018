"""`overnight down`: hold back new runs, wait for running ones, stop the services."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console

from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import open_console
from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.infra.stack import orphan_runs, prefect_services, processes, state_file
from overnight.infra.stack.service import Service
from overnight.infra.stack.services import plan
from overnight.infra.stack.supervisor import stop_orphans
from overnight.store.errors import OvernightError
from overnight.tasks.errors import StepFailed

# What the supervisor itself may take: the health check that it is at, its requests to Prefect, and
# the end of what outlives a killed service.
_ALLOWANCE_SECONDS = 90.0


def run(*, wait_seconds: float) -> None:
    """Stop the stack of this home.

    Raises:
        SystemExit: with 4, when nothing is running.
        StepFailed: the supervisor does not stop.
    """
    settings, console = load(), open_console()
    state = state_file.read(settings.home)
    # The supervisor may have been killed, and a killed service may have left child processes.
    recorded = (service.process for service in state.services if service.process is not None)
    orphaned = any(processes.session_of(process) for process in recorded)
    if not state.supervised and not orphaned:
        console.print(f"nothing of {settings.home} is running")
        raise SystemExit(NOTHING_TO_DO)
    if settings.prefect_api_url is None:
        _drain(settings, console, wait_seconds)
    with console.status("stopping"):
        services = plan(settings)
        if state.supervised and state.supervisor is not None:
            _stop(state.supervisor, seconds=longest_stop_seconds(services))
        else:
            stop_orphans(settings.home, services)
    console.print("stopped")


def _drain(settings: Settings, console: Console, wait_seconds: float) -> None:
    """Hold back new runs, and wait for running ones up to the deadline."""
    api = connections.prefect(settings)
    deadline = time.monotonic() + wait_seconds
    try:
        prefect_services.pause(api, settings.work_pool, paused=True)
        with console.status("waiting for runs") as status:
            while time.monotonic() < deadline and (
                active := orphan_runs.unfinished(api, settings.work_pool, ["RUNNING", "PENDING"])
            ):
                status.update("waiting for " + ", ".join(run["name"] for run in active))
                time.sleep(0.5)
    except OvernightError as error:
        # Stopping must work without Prefect: runs that are cut off start again with `up`.
        console.print(f"not waiting for runs: {error}")


def longest_stop_seconds(services: Sequence[Service]) -> float:
    """How long services may take to stop, each by itself, one after the other."""
    return sum(service.stop_seconds for service in services) + _ALLOWANCE_SECONDS


def _stop(supervisor: processes.ProcessId, *, seconds: float) -> None:
    with suppress(ProcessLookupError):
        os.kill(supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    # By pid and creation time: a new process may get the pid in the meantime.
    while processes.is_alive(supervisor):
        if time.monotonic() > deadline:
            raise StepFailed(
                f"the supervisor (process {supervisor.pid}) did not stop in {seconds:.0f} s; "
                f"end it by `kill -9 {supervisor.pid}` and run `overnight down` again"
            )
        time.sleep(0.1)
