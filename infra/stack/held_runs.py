"""Runs that are due and have not begun, and what a person has paused in Prefect."""

from collections.abc import Iterator
from datetime import UTC, datetime

from overnight.infra.prefect_api import TAG, Document, PrefectApi


def due(api: PrefectApi, pool: str) -> list[Document]:
    """The runs of a work pool that should have begun by now, the one that waits longest first."""
    return api.filter(
        "/flow_runs",
        flow_runs={
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        },
        work_pools={"name": {"any_": [pool]}},
        sort="EXPECTED_START_TIME_ASC",
    )


def pauses(api: PrefectApi, pool: str, *, ui: str) -> list[str]:
    """What keeps every run of a pool from beginning: the pool, or a queue of it, is paused.

    Each is one sentence that says since when runs wait, and where in the UI at `ui` to resume it.
    """
    work_pool = api.find(f"/work_pools/{pool}")
    if work_pool is None:
        return [f"Prefect at {api.url} has no work pool {pool}: `overnight up` makes one"]
    place = f"{ui}/work-pools/work-pool/{pool}"
    held = [f"the work pool {pool} is paused"] if work_pool["is_paused"] else []
    held += [
        f"the queue {queue['name']} of the work pool {pool} is paused"
        for queue in api.filter(f"/work_pools/{pool}/queues")
        if queue["is_paused"]
    ]
    waiting = due(api, pool) if held else []
    since = f"; {_count(waiting)} since {since_when(waiting[0])}" if waiting else ""
    return [f"{what}, so no run begins{since}; resume it at {place}" for what in held]


def paused_schedules(api: PrefectApi) -> Iterator[str]:
    """One line for each deployment of ours whose schedule a person has paused."""
    for deployment in api.filter("/deployments", deployments={"tags": {"all_": [TAG]}}):
        schedules = deployment["schedules"]
        is_off = deployment["paused"] or not all(schedule["active"] for schedule in schedules)
        if schedules and is_off:
            flow = deployment["entrypoint"].rpartition(".")[2]
            yield f"the schedule of {flow}/{deployment['name']} is paused in Prefect"


def since_when(run: Document) -> str:
    """The time at which a run should have begun, to the second."""
    return str(run["expected_start_time"])[:19]


def _count(runs: list[Document]) -> str:
    return "1 run waits" if len(runs) == 1 else f"{len(runs)} runs wait"
