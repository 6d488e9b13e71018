"""Prefect asks everybody for its password, and no run brings an environment of its own."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from overnight.cli.actions import status
from overnight.cli.runs import follow
from overnight.infra import connections
from overnight.infra.errors import OrchestratorRefused
from overnight.infra.prefect_api import TAG, PrefectApi
from overnight.infra.settings import Settings, load
from overnight.infra.stack import (
    held_runs,
    local_secrets,
    prefect_automations,
    prefect_services,
)
from overnight.infra.stack.ports import free_port
from overnight.store.errors import ConfigurationError
from tests.support import event_loop
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, receiving

POOL = "overnight"


@pytest.mark.parametrize(
    ("ui", "enabled", "path"), [("v2", "true", "/v2"), ("v1", "false", "")], ids=str
)
def test_a_closed_network_has_the_ui_that_asks_no_other_host(
    tmp_path: Path, ui: str, enabled: str, path: str
) -> None:
    settings = Settings(home=tmp_path, prefect_ui=ui, prefect_port=4711)  # type: ignore[arg-type]

    environment = prefect_services.environment(settings)

    assert prefect_services.ui_url(settings) == f"http://127.0.0.1:4711{path}"
    assert environment["PREFECT_UI_URL"] == f"http://127.0.0.1:4711{path}"
    assert environment["PREFECT_SERVER_UI_V2_ENABLED"] == enabled


FOREIGN = "https://evil.example"
# What a run would bring to be taken for the operator, or to run another program.
FORGED = {
    "env": {"OVERNIGHT_ADMIN_TOKEN": "a-token-of-my-own-making"},
    "env.OVERNIGHT_IDENTITY": "administration",
    "command": "sh -c id",
    "working_dir": "/tmp",
}


def settings_of(home: Path, monkeypatch: pytest.MonkeyPatch, **named: str) -> Settings:
    monkeypatch.setenv("OVERNIGHT_HOME", str(home))
    for name, value in named.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    local_secrets.ensure_prefect_auth(load())
    return load()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0"])  # noqa: S104
def test_the_password_is_made_once_wherever_the_server_listens(host, tmp_path, monkeypatch):
    made = settings_of(tmp_path, monkeypatch, PREFECT_HOST=host)

    local_secrets.ensure_prefect_auth(load())

    password = made.prefect_auth.get_secret_value()
    assert load().prefect_auth == made.prefect_auth
    assert len(password) > 60
    assert password not in repr(load())
    assert local_secrets.path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_no_other_server_gets_the_password_of_the_embedded_one(tmp_path, monkeypatch):
    settings_of(tmp_path, monkeypatch)

    elsewhere = settings_of(tmp_path, monkeypatch, PREFECT_API_URL="http://prefect.example/api")
    named = settings_of(tmp_path, monkeypatch, PREFECT_AUTH="ann:hers")

    assert not elsewhere.prefect_auth.get_secret_value()
    assert "PREFECT_API_AUTH_STRING" not in prefect_services.environment(elsewhere)
    assert named.prefect_auth.get_secret_value() == "ann:hers"


def test_every_process_that_talks_to_it_has_the_credentials(tmp_path, monkeypatch):
    settings = settings_of(tmp_path, monkeypatch)
    auth = settings.prefect_auth.get_secret_value()
    server = prefect_services.server(settings)
    others = (
        prefect_services.worker(settings),
        prefect_services.deployments(settings),
    )

    assert server.environment["PREFECT_SERVER_API_AUTH_STRING"] == auth
    for one in (server, *others):
        assert one.environment["PREFECT_API_AUTH_STRING"] == auth
        assert auth not in " ".join(one.command) + one.fingerprint
    assert "PREFECT_SERVER_API_AUTH_STRING" not in others[0].environment


def test_a_server_without_a_password_is_not_started(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))

    with pytest.raises(ConfigurationError, match="has no password"):
        prefect_services.server(load()).before_start()


def test_a_terminal_shows_the_password_and_a_log_where_it_is_kept(tmp_path, monkeypatch):
    settings = settings_of(tmp_path, monkeypatch)
    auth = settings.prefect_auth.get_secret_value()

    shown = local_secrets.prefect_sign_in(settings, to_terminal=True)
    logged = local_secrets.prefect_sign_in(settings, to_terminal=False)
    elsewhere = settings_of(tmp_path, monkeypatch, PREFECT_API_URL="http://prefect.example/api")

    assert auth in shown
    assert auth not in logged
    assert f"OVERNIGHT_PREFECT_AUTH in {tmp_path / 'embedded.env'}" in logged
    assert local_secrets.prefect_sign_in(elsewhere, to_terminal=True) == ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Prefect server at the loopback, as `overnight up` starts it; its settings."""
    home = tmp_path_factory.mktemp("home")
    (home / "logs").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        settings = settings_of(home, patched, PREFECT_PORT=str(free_port()))
    service = prefect_services.server(settings)
    service.before_start()
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with service.log.open("wb") as log:
        process = subprocess.Popen(
            service.command,
            env={**quiet, **service.environment},
            cwd=service.folder,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: service.ready(0), seconds=180, what="a Prefect server")
        yield settings
    finally:
        process.terminate()
        process.wait(60)
    assert settings.prefect_auth.get_secret_value() not in service.log.read_text()


@pytest.fixture(scope="module")
def api(server: Settings) -> PrefectApi:
    """The server with a pool of an earlier release, which `overnight up` has taken over."""
    api = connections.prefect(server)
    workers = api.request("GET", "/collections/views/aggregate-worker-metadata")
    template = workers["prefect"]["process"]["default_base_job_configuration"]
    pool = {"name": POOL, "type": "process", "base_job_template": template}
    api.request("POST", "/work_pools/", pool)
    prefect_services.server(server).prepare()
    return api


@pytest.mark.servers
@pytest.mark.parametrize("auth", ["", "a:b"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/work_pools/filter"),
        ("POST", "/deployments/"),
        ("POST", "/events"),
        ("GET", "/version"),
        ("GET", "/admin/settings"),
        ("POST", "/health"),
    ],
)
def test_a_request_without_the_password_is_refused(server, auth, method, path):
    stranger = PrefectApi(server.api_url, auth=auth)

    with pytest.raises(OrchestratorRefused, match="OVERNIGHT_PREFECT_AUTH") as refused:
        stranger.request(method, path, {})

    assert refused.value.status == 401


@pytest.mark.servers
def test_other_users_cannot_read_its_database(server):
    assert (server.home / "prefect" / "prefect.db").exists()
    assert (server.home / "prefect").stat().st_mode & 0o077 == 0


@pytest.mark.servers
def test_a_name_that_was_rebound_to_this_machine_gets_no_further(server):
    # The browser takes a page of evil.example for the server's own; it has no password there.
    rebound = {"Host": f"evil.example:{server.prefect_port}", "Origin": "http://evil.example"}

    for path in ("/version", "/health/../version"):
        answer = httpx.get(server.api_url + path, headers=rebound, trust_env=False)
        assert answer.status_code == 401


@pytest.mark.servers
def test_pages_of_other_origins_may_not_read_nor_send_what_a_browser_asks_about(server):
    asks = {
        "Origin": FOREIGN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    asked = httpx.options(f"{server.api_url}/deployments/", headers=asks, trust_env=False)
    read = httpx.get(f"{server.api_url}/health", headers={"Origin": FOREIGN}, trust_env=False)

    assert asked.status_code == 400
    for answer in (asked, read):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.servers
@pytest.mark.parametrize(
    "path", ["/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled"]
)
@pytest.mark.parametrize("token", [None, "a:b"])
def test_a_stream_without_the_password_is_refused(server, path, token):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    address = urlsplit(server.api_url)._replace(scheme="ws").geturl() + path

    with connect(address, subprotocols=[Subprotocol("prefect")], proxy=None) as stream:
        stream.send(json.dumps({"type": "auth", "token": token}))
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(60)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


@pytest.mark.servers
def test_no_run_and_no_deployment_brings_an_environment_of_its_own(api):
    flow = api.request("POST", "/flows/", {"name": "promote"})
    ours = {"name": "any-model", "flow_id": flow["id"], "work_pool_name": POOL}
    ours |= {"entrypoint": "overnight.flows.promote.promote"}
    deployment = api.request("POST", "/deployments/", ours)
    path = f"/deployments/{deployment['id']}/create_flow_run"
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    run = api.request("POST", path, {"state": later})

    assert api.find(f"/work_pools/{POOL}")["base_job_template"] == prefect_services.POOL_TEMPLATE
    for name, value in FORGED.items():
        brought = {"job_variables": {name: value}}
        for method, where, body in (
            ("POST", path, brought),
            ("PATCH", f"/flow_runs/{run['id']}", brought),
            ("POST", "/deployments/", ours | {"name": "another"} | brought),
        ):
            with pytest.raises(OrchestratorRefused) as refused:
                api.request(method, where, body)
            assert refused.value.status == 422, (name, method, where)

    # Prefect does not check what changes a deployment, but what comes of it.
    api.request("PATCH", f"/deployments/{deployment['id']}", {"job_variables": FORGED})
    with pytest.raises(OrchestratorRefused) as refused:
        api.request("POST", path, {})
    assert refused.value.status == 422


def start_a_run(api: PrefectApi, **deployed: object) -> str:
    """Start a run of a deployment of ours, which no worker takes; its id."""
    flow = api.request("POST", "/flows/", {"name": "retrain"})
    ours = {"name": "digits", "flow_id": flow["id"], "work_pool_name": POOL, "paused": False}
    ours |= {"entrypoint": "overnight.flows.retrain.retrain", "tags": ["overnight", "retrain"]}
    api.request("POST", "/deployments/", ours | deployed)
    return str(follow.trigger(api, "retrain", "digits", {})["id"])


@pytest.mark.servers
@pytest.mark.parametrize(
    ("path", "what"),
    [
        (f"/work_pools/{POOL}", "the work pool overnight is paused"),
        (f"/work_pools/{POOL}/queues/default", "the queue default of the work pool overnight is"),
    ],
)
def test_a_pool_or_queue_that_a_person_paused_is_reported_with_the_runs_that_wait(
    server, api, path, what
):
    run = start_a_run(api)
    before = follow.why_waiting(api, server, {"name": "Late"})
    slot = follow.why_waiting(api, server, {"name": "AwaitingConcurrencySlot"})

    api.request("PATCH", path, {"is_paused": True})
    reported = status.gather(server)
    why = follow.why_waiting(api, server, {"name": "Late"})
    api.request("PATCH", path, {"is_paused": False})

    assert "no worker has taken the run" in before
    assert "another run of this flow and model has not ended" in slot
    assert what in why
    (waiting,) = [waits for waits in reported["waiting_runs"] if waits["id"] == run]
    assert waiting["flow"] == "retrain/digits"
    assert f"since {reported['waiting_runs'][0]['since'][:19]}" in why
    assert f"{server.api_url.removesuffix('/api')}/v2/work-pools/work-pool/{POOL}" in why
    # No night starts, so the status is not a good one.
    assert why in reported["problems"]
    assert held_runs.pauses(api, POOL, ui="") == []


@pytest.mark.servers
@pytest.mark.parametrize("off", ["deployment", "schedule"])
def test_a_paused_schedule_is_reported(server, api, off):
    schedule = {"active": off != "schedule", "schedule": {"cron": "0 2 * * *"}}
    start_a_run(api, schedules=[schedule], paused=off == "deployment")

    reported = status.gather(server)
    start_a_run(api, schedules=[schedule | {"active": True}])

    assert reported["paused_schedules"] == ["the schedule of retrain/digits is paused in Prefect"]
    assert status.gather(server)["paused_schedules"] == []


@pytest.mark.servers
def test_the_worker_takes_nothing_of_what_a_run_brings(server):
    from prefect.client.orchestration import PrefectClient
    from prefect.workers.process import ProcessJobConfiguration

    async def configure() -> ProcessJobConfiguration:
        auth = server.prefect_auth.get_secret_value()
        async with PrefectClient(server.api_url, auth_string=auth) as client:
            return await ProcessJobConfiguration.from_template_and_values(
                dict(prefect_services.POOL_TEMPLATE), dict(FORGED), client=client
            )

    configured = event_loop.run(configure())

    assert configured.env == {}
    assert configured.command is None
    assert configured.working_dir is None
    assert not configured.stream_output


@pytest.fixture(scope="module")
def notified(server: Settings, api: PrefectApi) -> Iterator[tuple[PrefectApi, Receiver]]:
    """The server with the deployment that notifies, its automations, and a block for a receiver."""
    with receiving() as receiver:
        block_type = api.find("/block_types/slug/custom-webhook")
        assert block_type is not None
        schemas = api.filter(
            "/block_schemas", block_schemas={"block_type_id": {"any_": [block_type["id"]]}}
        )
        webhook = {"name": "team", "url": receiver.url, "json_data": {"text": "{{body}}"}}
        document = {
            "name": "team",
            "data": webhook,
            "block_type_id": block_type["id"],
            "block_schema_id": schemas[0]["id"],
        }
        api.request("POST", "/block_documents/", document)
        deployment(api, "notify")
        prefect_automations.register_notifications(api, channels_set(server))
        yield api, receiver


def channels_set(server: Settings, **changed: object) -> Settings:
    # Below what the setting allows, so that the test need not wait for a minute.
    values = {"notify_blocks": ("custom-webhook/team",), "notify_late_seconds": 10.0}
    return server.model_copy(update=values | changed)


def deployment(api: PrefectApi, flow: str) -> str:
    """A deployment of ours of a flow, without a pool, so that nothing starts its runs."""
    flow_id = api.request("POST", "/flows/", {"name": flow})["id"]
    body = {"name": "any-model", "flow_id": flow_id, "tags": [TAG, flow]}
    body |= {"parameter_openapi_schema": {"type": "object", "properties": {}}}
    return api.request("POST", "/deployments/", body)["id"]


def run_of(api: PrefectApi, flow: str, *states: dict[str, object]) -> str:
    """A run of a flow that goes through some states."""
    body = {"state": {"type": "SCHEDULED"}, "parameters": {"model": "digits"}}
    run = api.request("POST", f"/deployments/{deployment(api, flow)}/create_flow_run", body)["id"]
    for state in states:
        api.request("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})
    return run


def notifications(api: PrefectApi) -> list[dict[str, object]]:
    """The parameters of the runs that notify, oldest first."""
    runs = api.filter(
        "/flow_runs", flows={"name": {"any_": ["notify"]}}, sort="EXPECTED_START_TIME_ASC"
    )
    return [run["parameters"] for run in runs if run["parameters"]]


@pytest.mark.servers
def test_an_outcome_starts_one_notification_and_one_that_fails_starts_none(notified):
    api, _ = notified
    refused = {"type": "COMPLETED", "message": "Refused: accuracy"}
    unconfirmed = {"type": "FAILED", "message": "Unconfirmed: nobody"}
    crashed = {"type": "CRASHED", "name": "Crashed"}

    failed = run_of(api, "notify", {"type": "FAILED", "name": "Failed"})
    quiet = run_of(api, "retrain", {"type": "COMPLETED", "message": "Promoted: serving"})
    # A worker reports one crash twice.
    twice = run_of(api, "retrain", crashed, crashed)
    alone = run_of(api, "retrain", unconfirmed)
    last = run_of(api, "retrain", refused)

    until(lambda: {"run": last, "state": "Completed"} in notifications(api), what="a notification")
    until(lambda: {"run": twice, "state": "Crashed"} in notifications(api), what="the crash")
    until(lambda: {"run": alone, "state": "Failed"} in notifications(api), what="the red one")
    reported = [parameters.get("run") for parameters in notifications(api)]
    assert [reported.count(run) for run in (twice, alone, last)] == [1, 1, 1]
    assert failed not in reported
    assert quiet not in reported


@pytest.mark.servers
def test_a_late_run_is_reported_by_the_server_itself_and_a_run_that_began_is_not(notified):
    api, receiver = notified
    late = {"type": "SCHEDULED", "name": "Late"}

    began = run_of(api, "retrain", late, {"type": "RUNNING"})
    waits = run_of(api, "retrain", late)

    expected = {"run": waits, "state": "Late", "blocks": False}
    until(lambda: expected in notifications(api), seconds=60, what="a late run")
    until(lambda: bool(receiver.bodies), seconds=60, what="the block of the server")
    assert began not in [parameters.get("run") for parameters in notifications(api)]
    assert b"has not begun" in receiver.bodies[0]


@pytest.mark.servers
def test_what_is_not_chosen_is_not_registered_and_without_a_channel_nothing_is(notified, server):
    api, _ = notified

    def registered() -> set[str]:
        names = {automation["name"] for automation in api.filter("/automations")}
        return names & set(prefect_automations.NOTIFICATIONS)

    before = registered()
    prefect_automations.register_notifications(api, channels_set(server, notify_kinds=("late",)))
    chosen = registered()
    with pytest.raises(ConfigurationError, match="no block slack-webhook/nobody"):
        prefect_automations.register_notifications(
            api, channels_set(server, notify_blocks=("slack-webhook/nobody",))
        )
    prefect_automations.register_notifications(api, server)

    assert before == set(prefect_automations.NOTIFICATIONS)
    assert chosen == {"overnight: people are notified of late runs"}
    assert registered() == set()
