"""Deployments are generated, and registered again when what shapes them changed, and only then."""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from overnight import models
from overnight.cli.runs import follow
from overnight.infra.errors import DeploymentFailed, OrchestratorRefused
from overnight.infra.prefect_api import TAG, PrefectApi
from overnight.infra.settings import load
from overnight.infra.stack import (
    alarm_trigger,
    deployments,
    generated_deployments,
    prefect_services,
)
from overnight.infra.stack.generated_deployments import Generated, generate
from overnight.models import digits
from overnight.models.schedule import Schedule
from overnight.models.watching import Watching
from overnight.store.errors import ConfigurationError
from tests.support.waiting import until

DECLARED = ("retrain", "ingest", "monitor", "reproduce", "tune")


def entries(model: str) -> dict[str, Mapping[str, Any]]:
    """The deployments that are generated for a model, by flow."""
    return {
        entry["entrypoint"].split(".")[-1]: entry
        for entry in yaml.safe_load(generate().text)["deployments"]
        if entry["name"] == model
    }


@pytest.mark.parametrize("source", ["retrain.py", "run/plan.py", "new.py"])
def test_a_change_of_a_flow_is_noticed(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = tmp_path / "flows"
    shutil.copytree(deployments.FLOWS, flows)
    monkeypatch.setattr(deployments, "FLOWS", flows)
    before = deployments._digest(generate())

    with (flows / source).open("a") as text:
        text.write("# mended\n")

    assert deployments._digest(generate()) != before


def test_compiled_modules_are_nothing_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = tmp_path / "flows"
    shutil.copytree(deployments.FLOWS, flows)
    monkeypatch.setattr(deployments, "FLOWS", flows)
    before = deployments._digest(generate())

    (flows / "__pycache__").mkdir(exist_ok=True)
    (flows / "__pycache__" / "retrain.cpython-313.pyc").write_bytes(b"x")

    assert deployments._digest(generate()) == before


def test_a_decision_s_flow_is_deployed_once_and_the_command_finds_every_deployment() -> None:
    generated = generate().entries
    shared = {e["entrypoint"].split(".")[-1] for e in generated if e["name"] == follow.ANY_MODEL}
    own = {e["name"] for e in generated} - {follow.ANY_MODEL}

    assert shared == follow.FOR_ANY_MODEL | {"summary"}
    assert own == set(models.names())
    assert not any("model" in e.get("parameters", {}) for e in generated if e["name"] not in own)


def test_the_summary_has_its_time_and_notify_is_deployed_where_a_channel_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_flow(**values: str) -> dict[str, Mapping[str, Any]]:
        monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
        for name, value in values.items():
            monkeypatch.setenv(f"OVERNIGHT_{name}", value)
        entries = generate(settings=load()).entries
        return {entry["entrypoint"].split(".")[-1]: entry for entry in entries}

    quiet = by_flow(SUMMARY_AT="06:45", SUMMARY_TIME_ZONE="Europe/Berlin")
    without = by_flow(SUMMARY_AT="never")
    noisy = by_flow(NOTIFY_BLOCKS="slack-webhook/team")

    assert quiet["summary"]["schedules"] == [
        {"cron": "45 6 * * *", "timezone": "Europe/Berlin", "slug": "daily"}
    ]
    assert "notify" not in quiet
    assert "schedules" not in without["summary"]
    assert "schedules" not in noisy["notify"]
    assert "retry" not in noisy["notify"]["tags"]


def test_forms_schedules_and_tags_are_those_of_the_definition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = Schedule("15 4 * * 1-5", "America/New_York")
    changed = replace(digits.DEFINITION, schedule=schedule, tags=("vision",))
    monkeypatch.setattr(digits, "DEFINITION", changed)

    retrain = entries("digits")["retrain"]

    assert retrain["schedules"] == [
        {"cron": "15 4 * * 1-5", "timezone": "America/New_York", "slug": "nightly"}
    ]
    assert retrain["tags"] == ["overnight", "digits", "retrain", "retry", "vision"]
    assert retrain["parameters"] == {
        "model": "digits", "epochs": 10, "learning_rate": 0.02, "batch_rows": 128, "seed": 1
    }  # fmt: skip


def test_the_monitor_runs_when_the_model_says_and_an_alarm_retrains_it() -> None:
    own = entries("digits")

    # An hour before the nightly run in its own time zone, in summer as in winter.
    assert own["retrain"]["schedules"][0]["timezone"] == "Europe/Berlin"
    assert own["monitor"]["schedules"] == [
        {"cron": "0 1 * * *", "timezone": "Europe/Berlin", "slug": "monitor"}
    ]
    (trigger,) = own["retrain"]["triggers"]
    assert trigger["match"] == {"prefect.resource.id": "overnight.model.digits"}
    assert trigger["parameters"] == {
        "model": "digits", "reason": "{{ event.payload.reason }}", "requested_by": "monitor"
    }  # fmt: skip
    assert not any("triggers" in entry for flow, entry in own.items() if flow != "retrain")


@pytest.mark.parametrize(
    ("nightly", "declared", "cron", "zone"),
    [
        (Schedule("30 3 * * *", "Asia/Tokyo"), None, "30 2 * * *", "Asia/Tokyo"),
        (Schedule(time_zone="Asia/Tokyo"), None, "0 1 * * *", "Asia/Tokyo"),
        (None, None, "0 1 * * *", "UTC"),
        (Schedule("30 3 * * *"), Schedule("5 6 * * *", "Asia/Tokyo"), "5 6 * * *", "Asia/Tokyo"),
    ],
)
def test_the_monitor_comes_an_hour_before_the_nightly_run_unless_declared(
    nightly: Schedule | None,
    declared: Schedule | None,
    cron: str,
    zone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watching = Watching(schedule=declared) if declared else Watching()
    changed = replace(digits.DEFINITION, schedule=nightly, watching=watching)
    monkeypatch.setattr(digits, "DEFINITION", changed)

    (schedule,) = entries("digits")["monitor"]["schedules"]

    assert (schedule["cron"], schedule["timezone"]) == (cron, zone)


@pytest.mark.parametrize(
    ("watching", "has_monitor", "has_trigger", "has_schedule"),
    [
        (Watching(log=None), False, False, False),
        (Watching(retrains=False), True, False, True),
        (Watching(schedule=None), True, True, False),
    ],
)
def test_each_part_of_watching_is_turned_off_by_the_definition(
    watching: Watching,
    *,
    has_monitor: bool,
    has_trigger: bool,
    has_schedule: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digits, "DEFINITION", replace(digits.DEFINITION, watching=watching))

    own = entries("digits")

    assert ("monitor" in own) == has_monitor
    assert ("triggers" in own["retrain"]) == has_trigger
    assert ("schedules" in own.get("monitor", {})) == has_schedule


def test_models_without_a_time_of_their_own_are_spread_over_the_night(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definitions = [
        replace(digits.DEFINITION, name=name, schedule=schedule)
        for name, schedule in {
            "a": Schedule(),
            "b": Schedule("0 5 * * *"),
            "c": Schedule(time_zone="Asia/Tokyo"),
            "never": None,
        }.items()
    ]

    assert generated_deployments._crons(definitions) == {
        "a": "0 2 * * *",
        "b": "0 5 * * *",
        "c": "30 2 * * *",
    }


def test_what_a_model_does_not_declare_is_not_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = replace(digits.DEFINITION, tunable={}, schedule=None)
    monkeypatch.setattr(digits, "DEFINITION", plain)

    assert entries("digits").keys() == set(DECLARED) - {"tune"}
    assert "schedules" not in entries("digits")["retrain"]


def test_a_broken_model_is_reported_and_the_others_are_deployed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digits, "DEFINITION", None)

    generated = generate()

    assert {entry["name"] for entry in generated.entries} == {follow.ANY_MODEL, "sales"}
    assert generated.errors.keys() == {"digits"}
    assert "has no DEFINITION" in generated.errors["digits"]


@pytest.mark.parametrize(
    ("cron", "zone", "reported"),
    [
        ("0 2 * *", "UTC", "expected five fields"),
        ("60 2 * * *", "UTC", "the minute of '60 2"),
        ("0 2 * * 8", "UTC", "numbers up to 7"),
        ("0 2 ; * *", "UTC", "the day of"),
        ("0 2 * * *", "Europe/Nowhere", "no time zone is called 'Europe/Nowhere'"),
        ("0 2 * * *", "../etc/passwd", "no time zone is called"),
    ],
)
def test_a_wrong_schedule_is_refused_where_it_is_declared(
    cron: str, zone: str, reported: str
) -> None:
    with pytest.raises(ConfigurationError, match=reported):
        Schedule(cron, zone)


@pytest.fixture
def api(prefect_server: str) -> Iterator[PrefectApi]:
    """A server with the pool of ours, and a deployment that is in the file no longer."""
    api = PrefectApi(prefect_server)
    prefect_services.ensure_pool(api, "overnight")
    flow = api.request("POST", "/flows/", {"name": "promote"})
    old = {"name": "digits", "flow_id": flow["id"], "entrypoint": "overnight.flows.promote.promote"}
    old |= {"tags": [TAG], "parameters": {}}
    api.request("POST", "/deployments/", old)
    # As earlier releases registered it, in a pool that took an environment.
    before = old | {
        "name": "any-model",
        "job_variables": {"env": {"OVERNIGHT_IDENTITY": "keeping"}},
    }
    api.request("POST", "/deployments/", before)
    yield api
    for found in api.filter("/deployments", deployments={"tags": {"all_": [TAG]}}):
        api.request("DELETE", f"/deployments/{found['id']}")


@pytest.mark.servers
def test_what_is_declared_is_registered_and_what_is_gone_is_removed(
    api: PrefectApi, prefect_server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {"PREFECT_API_URL": prefect_server}

    first = deployments.deploy(generate(), tmp_path, api, environment)

    # Nothing is printed of what Prefect says to each of them.
    assert capfd.readouterr().out == ""

    assert (tmp_path / deployments.LOG).read_text().count("successfully created") == len(
        generate().entries
    )

    # Then the model is a choice in the form of a decision, and the old deployment is gone.
    assert str(first) == f"registered {len(generate().entries)}; added sales"
    assert api.find("/deployments/name/promote/digits") is None
    form = follow.deployment(api, "promote", "sales")["parameter_openapi_schema"]
    assert form["properties"]["model"]["enum"] == list(models.names())
    assert "model" in form["required"]

    # The environment that an earlier release gave to runs is gone.
    assert follow.deployment(api, "promote", "sales")["job_variables"] == {}

    # A run is of the model that the command names, and of none that nobody knows.
    run = follow.trigger(api, "rollback", "sales", {"requested_by": "ann"})
    assert run["parameters"] == {"model": "sales", "requested_by": "ann"}
    with pytest.raises(OrchestratorRefused, match="nothing"):
        follow.trigger(api, "rollback", "nothing", {})

    # Nothing changed: nothing is done.
    assert str(deployments.deploy(generate(), tmp_path, api, environment)) == "unchanged"
    retrain = follow.deployment(api, "retrain", "digits")
    assert retrain["global_concurrency_limit"]["limit"] == 1
    assert [schedule["slug"] for schedule in retrain["schedules"]] == ["nightly"]

    # An alarm's event starts a retraining, with the alarm as its reason.
    reason = "9% wrong, expected at most 1%, since {{ yesterday }}"
    _emit_alarm(api, "digits", reason)
    own = {"id": {"any_": [retrain["id"]]}}
    requested = until(
        lambda: [
            run["parameters"]
            for run in api.filter("/flow_runs", deployments=own)
            if run["parameters"].get("requested_by") == alarm_trigger.MONITOR
        ],
        what="a retraining was started",
    )
    assert [parameters["reason"] for parameters in requested] == [reason]
    assert requested[0]["model"] == "digits"

    # A model that cannot be read keeps its deployments, and one that is gone loses them.
    without = [entry for entry in generate().entries if entry["name"] == follow.ANY_MODEL]
    broken = Generated(tuple(without), {"sales": "sales: it cannot be imported"})
    last = deployments.deploy(broken, tmp_path, api, environment)
    assert str(last) == f"registered {len(without)}; removed digits"
    assert last.errors == ("sales: it cannot be imported",)
    left = api.filter("/deployments", deployments={"tags": {"all_": [TAG]}})
    assert {deployment["name"] for deployment in left} == {follow.ANY_MODEL, "sales"}


def _emit_alarm(api: PrefectApi, model: str, reason: str) -> None:
    """Send the event of the monitor, as Prefect's client does."""
    event = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": alarm_trigger.ALARM_EVENT,
        "resource": {"prefect.resource.id": alarm_trigger.model_resource(model)},
        "payload": {"model": model, "record": 1, "reason": reason},
    }
    api.request("POST", "/events", [event])


@pytest.mark.servers
def test_what_prefect_says_when_it_fails_is_in_the_error_and_in_a_log(
    api: PrefectApi, tmp_path: Path
) -> None:
    nowhere = {"PREFECT_API_URL": "ftp://nowhere"}

    with pytest.raises(
        DeploymentFailed, match=r"exit code 1: ….*unsupported protocol.*prefect-deploy\.log"
    ):
        deployments.deploy(generate(), tmp_path, api, nowhere)
