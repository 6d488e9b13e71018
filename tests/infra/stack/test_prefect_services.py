"""A Prefect server that others can reach asks who comes, and our own processes can answer."""

import os
import subprocess

import pytest

from overnight.infra import connections
from overnight.infra.errors import OrchestratorRefused
from overnight.infra.prefect_api import PrefectApi
from overnight.infra.settings import load
from overnight.infra.stack import local_secrets, prefect_services
from overnight.infra.stack.ports import free_port
from tests.support.waiting import until


@pytest.fixture
def everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_PREFECT_HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("OVERNIGHT_PREFECT_PORT", str(free_port()))
    (tmp_path / "logs").mkdir()
    local_secrets.ensure_prefect_auth(load())
    return load()


def test_what_it_asks_for_is_made_once_and_only_where_others_reach_it(everywhere, monkeypatch):
    first = everywhere.prefect_auth
    local_secrets.ensure_prefect_auth(load())

    assert load().prefect_auth == first
    assert len(first.get_secret_value()) > 60
    assert first.get_secret_value() not in repr(load())
    for host in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("OVERNIGHT_HOME", str(everywhere.home / "other"))
        monkeypatch.setenv("OVERNIGHT_PREFECT_HOST", host)
        local_secrets.ensure_prefect_auth(load())
        assert not load().prefect_auth.get_secret_value()


def test_every_process_that_talks_to_it_has_the_credentials(everywhere):
    auth = everywhere.prefect_auth.get_secret_value()
    server = prefect_services.server(everywhere)
    others = (
        prefect_services.worker(everywhere, everywhere.home),
        prefect_services.deployments(everywhere, everywhere.home),
    )

    assert server.environment["PREFECT_SERVER_API_AUTH_STRING"] == auth
    for one in (server, *others):
        assert one.environment["PREFECT_API_AUTH_STRING"] == auth
        assert auth not in " ".join(one.command) + one.fingerprint
    assert "PREFECT_SERVER_API_AUTH_STRING" not in others[0].environment


@pytest.mark.servers
def test_a_request_without_credentials_is_refused(everywhere):
    server = prefect_services.server(everywhere)
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            server.command,
            env={**quiet, **server.environment},
            cwd=server.folder,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: server.ready(0), seconds=180, what="a Prefect server")
        path = "/work_pools/filter"

        for stranger in (
            PrefectApi(everywhere.api_url),
            PrefectApi(everywhere.api_url, auth="a:b"),
        ):
            with pytest.raises(OrchestratorRefused) as refused:
                stranger.request("POST", path, {})
            assert refused.value.status == 401
        server.prepare()
        pools = connections.prefect(everywhere).request("POST", path, {})
        assert [pool["name"] for pool in pools] == ["overnight"]
    finally:
        process.terminate()
        process.wait(60)
    assert everywhere.prefect_auth.get_secret_value() not in server.log.read_text()
