"""Scheduled runs that were missed while the stack was down: the newest is started, not twenty."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from overnight.infra.prefect_api import PrefectApi
from overnight.infra.stack import orphan_runs
from tests.support.faults.tally import TALLY

pytestmark = pytest.mark.servers

_NIGHTS = 20


@pytest.fixture
def api(prefect_server: str) -> PrefectApi:
    return PrefectApi(prefect_server)


@pytest.fixture
def pool(api: PrefectApi) -> str:
    """A pool whose worker was away."""
    name = f"away-{uuid.uuid4().hex[:8]}"
    api.request("POST", "/work_pools/", {"name": name, "type": "process"})
    return name


def deployed(api: PrefectApi, pool: str) -> str:
    """A deployment with a nightly schedule; its id."""
    flow = api.request("POST", "/flows/", {"name": f"retrain-{uuid.uuid4().hex[:8]}"})
    nightly = {"active": True, "schedule": {"cron": "0 2 * * *", "timezone": "UTC"}}
    requested = {"name": "digits", "flow_id": flow["id"], "work_pool_name": pool}
    made = api.request("POST", "/deployments/", requested | {"schedules": [nightly]})
    return str(made["id"])


def miss(api: PrefectApi, deployment: str, nights: int) -> None:
    """Have the server schedule runs in the past."""
    TALLY.inject("nights were missed")
    now = datetime.now(UTC)
    times = {"start_time": f"{now - timedelta(days=nights):%Y-%m-%dT%H:%M:%SZ}"}
    times |= {"end_time": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    most = {"min_runs": nights, "max_runs": nights}
    api.request("POST", f"/deployments/{deployment}/schedule", times | most)


def states(api: PrefectApi, deployment: str) -> list[str]:
    """The names of the states of its runs that were due, oldest first."""
    found = api.filter("/flow_runs", deployments={"id": {"any_": [deployment]}})
    now = datetime.now(UTC)
    due = [run for run in found if datetime.fromisoformat(run["expected_start_time"]) <= now]
    due.sort(key=lambda run: run["expected_start_time"])
    return [run["state_name"] for run in due]


def test_of_twenty_missed_runs_only_the_last_is_run_later(api: PrefectApi, pool: str) -> None:
    deployment, other = deployed(api, pool), deployed(api, pool)
    miss(api, deployment, _NIGHTS)
    miss(api, other, 1)
    asked_for = api.request("POST", f"/deployments/{deployment}/create_flow_run", {})

    skipped = orphan_runs.skip_missed(api, pool)

    *before, last, _ = states(api, deployment)
    assert len(skipped) == len(before) == _NIGHTS - 1
    assert set(before) == {"Missed"}
    assert last in {"Scheduled", "Late"}
    assert states(api, other)[0] in {"Scheduled", "Late"}
    assert api.request("GET", f"/flow_runs/{asked_for['id']}")["state_name"] in {
        "Scheduled",
        "Late",
    }
    assert orphan_runs.skip_missed(api, pool) == []
