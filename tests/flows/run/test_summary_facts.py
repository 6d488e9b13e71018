"""The summary of a real store and a real Prefect server, and of what is left when one is away."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from overnight.flows.run.summary_facts import gather
from overnight.flows.summary import summary
from overnight.infra.prefect_api import PrefectApi
from overnight.infra.settings import load
from overnight.infra.stack.ports import free_port
from overnight.store.datasets.delta_table import Dataset
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import (
    Alarm,
    Consequence,
    LiveQuality,
    MonitorLog,
    MonitorRecord,
)
from overnight.tasks.reporting.summary import as_text
from tests.support.outcomes import outcome
from tests.support.serving import bundles
from tests.support.signing_keys import alias_log
from tests.support.webhook_receiver import receiving

pytestmark = pytest.mark.servers
NOW = datetime.now(UTC)


@pytest.fixture
def api(prefect_server, s3_bucket, s3_address, tmp_path, monkeypatch) -> PrefectApi:
    settings = {
        "HOME": str(tmp_path),
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
        "PREFECT_API_URL": prefect_server,
        "MODELS": "digits",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    api = PrefectApi(prefect_server)
    yield api
    for run in api.filter("/flow_runs"):
        api.request("DELETE", f"/flow_runs/{run['id']}")


def run_in(api: PrefectApi, kind: str, name: str, at: datetime, message: str = "") -> None:
    flow_id = api.request("POST", "/flows/", {"name": "retrain"})["id"]
    scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
    body = {
        "flow_id": flow_id,
        "parameters": {"model": "digits"},
        "tags": ["overnight", "digits", "retrain"],
        "state": scheduled,
    }
    run = api.request("POST", "/flow_runs/", body)["id"]
    if kind != "SCHEDULED" or name != "Scheduled":
        state = {"type": kind, "name": name, "message": message}
        api.request("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})


@pytest.fixture
def full(api, s3_bucket, s3_address):
    """A champion, an arrival, a record of the monitor; a run that was refused, one that is late."""
    bundles.publish(s3_bucket, 1)
    log = alias_log(s3_bucket, "digits")
    log.append(bundles.version_name(1), expected=None, actor=Actor("a test", "a test"))
    rows = pa.table({"a": [1, 2, 3], "digest": ["x", "y", "z"]})
    Dataset.on_s3(s3_address, "digits", "rows").append(rows, "monday")
    accuracy = Measurement(metric="accuracy", value=0.9712, n=1204)
    version = bundles.version_name(1)
    quality = LiveQuality(
        version=version, answers=3168, labels=1204, coverage=0.38, measurements=(accuracy,)
    )
    alarm = Alarm(
        kind="quality", feature="all", message="error 5 %, expected 1 %", value=0.05,
        expected=0.01, since=NOW,
    )  # fmt: skip
    MonitorLog(s3_bucket, "digits").append(
        MonitorRecord(
            model="digits", sequence=1, champion=version, since=None, until=NOW, quality=(quality,),
            alarms=(alarm,), consequence=Consequence(action="retrain", reason="labels say so"),
        )
    )  # fmt: skip
    run_in(api, "COMPLETED", "Completed", NOW - timedelta(hours=30), "Promoted: it serves")
    run_in(api, "COMPLETED", "Completed", NOW - timedelta(hours=5), "Refused: accuracy 0.91 < 0.95")
    run_in(api, "SCHEDULED", "Late", NOW - timedelta(hours=1))
    run_in(api, "SCHEDULED", "Scheduled", NOW + timedelta(hours=19))
    return api


def test_one_model_with_everything(full):
    made = gather(load())

    (model,) = made.models
    assert made.problems == ()
    assert model.outcome == "Refused"
    assert model.reason == "accuracy 0.91 < 0.95"
    assert (model.arrivals, model.new_rows) == (1, 3)
    assert model.live == "live accuracy 0.9712 over 1,204 labels (38% of the answers)"
    assert model.alarms == ("error 5 %, expected 1 %", "what follows: retrain: labels say so")
    assert model.missed == 1
    assert model.next_run is not None
    assert abs(model.next_run - NOW - timedelta(hours=19)) < timedelta(minutes=1)
    assert made.title == "1 of 1 models needs you"


def test_an_alarm_that_ended_is_told_and_needs_nobody(full, s3_bucket):
    log = MonitorLog(s3_bucket, "digits")
    healthy = {"sequence": 2, "alarms": (), "consequence": Consequence(action="nothing", reason="")}
    log.append(log.last().model_copy(update=healthy | {"id": "2", "at": datetime.now(UTC)}))

    made = gather(load())

    (model,) = made.models
    assert model.alarms == ()
    assert model.ended == (
        "error 5 %, expected 1 %, in record 1",
        "what follows: retrain: labels say so",
    )
    assert not replace(model, missed=0).needs_a_person
    assert "ended: error 5 %, expected 1 %, in record 1" in as_text(made)


def test_of_an_alarm_that_lasts_the_newest_record_speaks(full, s3_bucket):
    log = MonitorLog(s3_bucket, "digits")
    before = log.last()
    worse = before.alarms[0].model_copy(update={"message": "error 7 %, expected 1 %"})
    again = {"sequence": 2, "id": "2", "alarms": (worse,), "at": datetime.now(UTC)}
    log.append(before.model_copy(update=again))

    (model,) = gather(load()).models

    assert model.alarms[0] == "error 7 %, expected 1 %"
    assert model.ended == ()


def test_without_prefect_the_store_is_summarized_and_the_line_says_what_to_do(full, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")

    made = gather(load())

    assert made.models[0].outcome == "not known"
    assert made.models[0].live.startswith("live accuracy")
    assert len(made.problems) == 1
    assert "does not answer" in made.problems[0]
    assert "! Prefect at http" in as_text(made)


def test_without_the_store_prefect_is_summarized(full, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")

    made = gather(load())

    assert made.models[0].outcome == "Refused"
    assert made.models[0].missed == 1
    assert len(made.problems) == 1
    assert "object store" in made.problems[0]


def test_a_model_of_which_nothing_is_known_has_a_line(api):
    text = as_text(gather(load()))

    assert "digits          no run yet · no new rows · no next run · no champion" in text


def test_the_flow_makes_the_card_and_sends_the_same_text(full, monkeypatch):
    quiet = summary(return_state=True)
    with receiving() as receiver:
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_SECRET", "a-secret-that-is-long-enough")
        sent = summary(return_state=True)

    assert (outcome(quiet), outcome(sent)) == ("Summarized", "Delivered")
    document = json.loads(receiver.bodies[0])
    assert document["kind"] == "summary"
    assert "accuracy 0.91 < 0.95" in document["text"]
    (card, *_) = full.filter("/artifacts", artifacts={"key": {"any_": ["summary"]}})
    assert "**digits** Refused" in card["data"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "overnight.cli.main", *arguments]
    return subprocess.run(
        program, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_prints_the_same_text_and_json(full):
    shown, document = command("summary"), command("summary", "--json")

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("1 of 1 models needs you")
    assert json.loads(document.stdout)["models"][0]["outcome"] == "Refused"


def test_notify_tries_every_channel_and_says_which_failed(api, monkeypatch):
    none = command("notify", "--test")
    with receiving(404) as receiver:
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_SECRET", "a-secret-that-is-long-enough")
        listed, failed = command("notify"), command("notify", "--test")

    assert none.returncode == 1
    assert "OVERNIGHT_NOTIFY_WEBHOOK_URL" in none.stderr
    assert listed.stdout.startswith("channel: webhook at 127.0.0.1\nnotified of: refused,")
    assert failed.returncode == 1
    assert "webhook at 127.0.0.1: answered 404" in failed.stdout
    assert json.loads(receiver.bodies[0])["kind"] == "test"
