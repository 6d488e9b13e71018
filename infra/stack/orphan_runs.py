"""Flow runs without a process: crashed while the machine was down, or never started."""

from collections.abc import Iterable

import psutil

from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.stack import held_runs, processes

# Prefect names the run in the environment of its process, and children inherit it.
_RUN = "PREFECT__FLOW_RUN_ID"
_API = "PREFECT_API_URL"


def unfinished(api: PrefectApi, pool: str, states: Iterable[str]) -> list[Document]:
    """Flow runs of a work pool whose state is of one of these types."""
    return api.filter(
        "/flow_runs",
        flow_runs={"state": {"type": {"any_": list(states)}}},
        work_pools={"name": {"any_": [pool]}},
    )


def crash_orphans(api: PrefectApi, pool: str) -> list[str]:
    """Mark runs Crashed that are Pending or Running without a process here; return their names.

    Only for a machine that has all workers of its pool, while none of them is at work: a run
    that is just being started has no process yet.
    """
    alive = processes_by_run(api)
    crashed = []
    for run in unfinished(api, pool, ["PENDING", "RUNNING", "CANCELLING"]):
        if run["id"] not in alive:
            message = "Its process is gone; the machine or its supervisor was stopped."
            cancelled = run["state_type"] == "CANCELLING"
            state = {"type": "CANCELLED" if cancelled else "CRASHED", "message": message}
            api.request("POST", f"/flow_runs/{run['id']}/set_state", {"state": state})
            crashed.append(run["name"])
    return crashed


def skip_missed(api: PrefectApi, pool: str) -> list[str]:
    """Cancel the scheduled runs that were missed, but for the newest of each deployment.

    One run processes all that arrived meanwhile; twenty in a row would only repeat each other.
    Runs that a person requested, and retries, stay. Returns the names of the cancelled runs.
    """
    missed: dict[str, list[Document]] = {}
    for run in held_runs.due(api, pool):
        if run["auto_scheduled"] and not run["run_count"]:
            missed.setdefault(run["deployment_id"], []).append(run)
    skipped = []
    for runs in missed.values():
        for run in runs[:-1]:
            message = "Missed while the stack was down; the newest missed run is started instead."
            state = {"type": "CANCELLED", "name": "Missed", "message": message}
            api.request("POST", f"/flow_runs/{run['id']}/set_state", {"state": state})
            skipped.append(run["name"])
    return skipped


def kill_all(api: PrefectApi) -> None:
    """Kill every process of a flow run of this server."""
    for workers in processes_by_run(api).values():
        processes.kill(workers)


def processes_by_run(api: PrefectApi) -> dict[str, list[psutil.Process]]:
    """The processes of a server's flow runs on this machine, by the id of the run."""
    by_run: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        # Gone since, or of another user: no run of ours.
        except (psutil.Error, OSError):
            continue
        run = environment.get(_RUN)
        if run and environment.get(_API, "").rstrip("/") == api.url:
            by_run.setdefault(run, []).append(process)
    return by_run
