"""Flow runs of this machine and their processes."""

from collections.abc import Iterable
from datetime import UTC, datetime

import psutil

from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.stack import processes

# Prefect names the run in the environment of its process, and children inherit it.
_RUN = "PREFECT__FLOW_RUN_ID"
_API = "PREFECT_API_URL"


def unfinished(api: PrefectApi, pool: str, states: Iterable[str]) -> list[Document]:
    """Runs of a pool in some types of state."""
    return api.filter(
        "/flow_runs",
        flow_runs={"state": {"type": {"any_": list(states)}}},
        work_pools={"name": {"any_": [pool]}},
    )


def crash_lifeless(api: PrefectApi, pool: str) -> list[str]:
    """Mark Crashed what is Pending or Running without a process here, and return the names.

    Only for a machine that is all of its pool's workers, while none of them is at work: a run
    that is just being started has no process yet.
    """
    alive = processes_by_run(api)
    crashed = []
    for run in unfinished(api, pool, ["PENDING", "RUNNING", "CANCELLING"]):
        if run["id"] not in alive:
            message = "Its process is gone; the machine or its supervisor was stopped."
            cancelled = run["state_type"] == "CANCELLING"
            state = {"type": "CANCELLED" if cancelled else "CRASHED", "message": message}
            api.ask("POST", f"/flow_runs/{run['id']}/set_state", {"state": state})
            crashed.append(run["name"])
    return crashed


def skip_missed(api: PrefectApi, pool: str) -> list[str]:
    """Leave each deployment one of the scheduled runs that nobody was there to start: the last.

    A night makes up for all before it; twenty in a row would only repeat each other. What a person
    asked for, and what is to be tried again, stays. Returns the names of those that were skipped.
    """
    late = api.filter(
        "/flow_runs",
        flow_runs={
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        },
        work_pools={"name": {"any_": [pool]}},
    )
    missed: dict[str, list[Document]] = {}
    for run in late:
        if run["auto_scheduled"] and not run["run_count"]:
            missed.setdefault(run["deployment_id"], []).append(run)
    skipped = []
    for nights in missed.values():
        by_time = sorted(nights, key=lambda run: datetime.fromisoformat(run["expected_start_time"]))
        for run in by_time[:-1]:
            message = "It was missed while nothing ran here; the last one missed makes up for it."
            state = {"type": "CANCELLED", "name": "Missed", "message": message}
            api.ask("POST", f"/flow_runs/{run['id']}/set_state", {"state": state})
            skipped.append(run["name"])
    return skipped


def kill_all(api: PrefectApi) -> None:
    """Kill every process that works on a run of this server."""
    for workers in processes_by_run(api).values():
        processes.kill(workers)


def processes_by_run(api: PrefectApi) -> dict[str, list[psutil.Process]]:
    """The processes of this machine that work for a server's runs, by the run's id."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        run = environment.get(_RUN)
        if run and environment.get(_API, "").rstrip("/") == api.url:
            found.setdefault(run, []).append(process)
    return found
