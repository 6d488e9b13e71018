"""Deployments are registered again when what shapes them changed, and only then."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from overnight.cli.runs import follow
from overnight.infra.errors import OrchestratorRefused
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.stack import deployments, prefect_services
from overnight.models import catalogue

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in deployments.SOURCES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / deployments.FILE, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "source", ["deployments.yaml", "flows/retrain.py", "models/definition.py", "flows/run/plan.py"]
)
def test_a_change_of_what_shapes_a_deployment_is_noticed(source: str, tree: Path) -> None:
    (tree / "flows" / "run").mkdir(exist_ok=True)
    (tree / "flows" / "run" / "plan.py").touch()
    before = deployments._digest(tree)

    with (tree / source).open("a") as text:
        text.write("# mended\n")

    assert deployments._digest(tree) != before


def test_a_module_that_moves_into_a_package_is_noticed(tree: Path) -> None:
    (tree / "flows" / "run").mkdir(exist_ok=True)
    before = deployments._digest(tree)

    (tree / "flows" / "promote.py").rename(tree / "flows" / "run" / "promote.py")

    assert deployments._digest(tree) != before


def test_compiled_modules_are_nothing_to_it(tree: Path) -> None:
    before = deployments._digest(tree)

    (tree / "flows" / "__pycache__").mkdir(exist_ok=True)
    (tree / "flows" / "__pycache__" / "retrain.cpython-313.pyc").write_bytes(b"x")

    assert deployments._digest(tree) == before


def declared() -> list[Document]:
    entries: list[Document] = yaml.safe_load((ROOT / deployments.FILE).read_text())["deployments"]
    return entries


def test_a_decision_s_flow_is_deployed_once_and_the_command_finds_every_deployment() -> None:
    entries = declared()
    shared = {e["entrypoint"].split(".")[-1] for e in entries if e["name"] == follow.ANY_MODEL}
    own = {e["name"] for e in entries} - {follow.ANY_MODEL}

    assert shared == follow.FOR_ANY_MODEL
    assert own == set(catalogue())
    assert not any("model" in e.get("parameters", {}) for e in entries if e["name"] not in own)


@pytest.fixture
def api(prefect_server: str) -> Iterator[PrefectApi]:
    """A server with the pool of ours, and a deployment that is in the file no longer."""
    api = PrefectApi(prefect_server)
    prefect_services.ensure_pool(api, "overnight")
    flow = api.request("POST", "/flows/", {"name": "promote"})
    old = {"name": "digits", "flow_id": flow["id"], "entrypoint": "overnight.flows.promote.promote"}
    old |= {"tags": [deployments.TAG], "parameters": {}}
    api.request("POST", "/deployments/", old)
    # As earlier releases registered it, in a pool that took an environment.
    before = old | {
        "name": "any-model",
        "job_variables": {"env": {"OVERNIGHT_IDENTITY": "keeping"}},
    }
    api.request("POST", "/deployments/", before)
    yield api
    for found in api.filter("/deployments", deployments={"tags": {"all_": [deployments.TAG]}}):
        api.request("DELETE", f"/deployments/{found['id']}")


@pytest.mark.servers
def test_what_is_in_the_file_is_registered_and_what_is_not_is_removed(
    api: PrefectApi, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)

    reported = deployments.deploy(ROOT, tmp_path / "deployed.json", api)

    # Then the model is a choice in the form of a decision, and the old deployment is gone.
    assert reported == f"registered {len(declared())}, removed 1"
    assert api.find("/deployments/name/promote/digits") is None
    form = follow.deployment(api, "promote", "sales")["parameter_openapi_schema"]
    assert form["properties"]["model"]["enum"] == list(catalogue())
    assert "model" in form["required"]

    # The environment that an earlier release gave to runs is gone.
    assert follow.deployment(api, "promote", "sales")["job_variables"] == {}

    # A run is of the model that the command names, and of none that nobody knows.
    run = follow.trigger(api, "rollback", "sales", {"requested_by": "ann"})
    assert run["parameters"] == {"model": "sales", "requested_by": "ann"}
    with pytest.raises(OrchestratorRefused, match="nothing"):
        follow.trigger(api, "rollback", "nothing", {})

    # Nothing changed: nothing is done.
    assert deployments.deploy(ROOT, tmp_path / "deployed.json", api) == "unchanged"
    retrain = follow.deployment(api, "retrain", "digits")
    assert retrain["global_concurrency_limit"]["limit"] == 1
    assert [schedule["slug"] for schedule in retrain["schedules"]] == ["nightly"]
