"""The flow that notifies: what reaches a receiver of a run, and what becomes of its own failure."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from overnight.flows import notify as flow_module
from overnight.flows.notify import notify
from overnight.infra.prefect_api import PrefectApi
from overnight.store.registry.monitoring import Alarm, MonitorLog, MonitorRecord
from tests.support.outcomes import outcome
from tests.support.webhook_receiver import receiving

pytestmark = pytest.mark.servers
SECRET = "a-secret-that-is-long-enough"
NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)


@pytest.fixture
def api(prefect_server, s3_bucket, s3_address, tmp_path, monkeypatch) -> PrefectApi:
    settings = {
        "HOME": str(tmp_path),
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
        "PREFECT_API_URL": prefect_server,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    return PrefectApi(prefect_server)


@pytest.fixture
def receiver(monkeypatch):
    with receiving() as receiver:
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("OVERNIGHT_NOTIFY_SECONDS", "5")
        yield receiver


def run_in(api: PrefectApi, state: str, kind: str, message: str = "") -> str:
    flow_id = api.request("POST", "/flows/", {"name": "retrain"})["id"]
    body = {
        "flow_id": flow_id,
        "name": "retrain-digits",
        "parameters": {"model": "digits"},
        "tags": ["overnight", "retry"],
        "state": {"type": kind, "name": state, "message": message},
    }
    return api.request("POST", "/flow_runs/", body)["id"]


def test_a_refused_run_reaches_the_receiver_with_its_reason_and_link(api, receiver):
    run = run_in(api, "Completed", "COMPLETED", "Refused: accuracy 0.91, expected at least 0.95")

    state = notify(run=run, state="Completed", return_state=True)

    (body,) = receiver.bodies
    document = json.loads(body)
    assert outcome(state) == "Delivered"
    assert document["title"] == "digits: retrain ended Refused"
    assert document["reason"] == "accuracy 0.91, expected at least 0.95"
    assert document["links"]["This run"].endswith(f"/runs/flow-run/{run}")


def test_a_run_that_is_gone_or_began_after_all_is_reported_to_nobody(api, receiver):
    began = run_in(api, "Running", "RUNNING")

    assert outcome(notify(run=began, state="Late", return_state=True)) == "NothingNew"
    assert outcome(notify(run=str(uuid.uuid4()), state="Failed", return_state=True)) == "NothingNew"
    assert receiver.bodies == []


def test_its_own_failure_is_red_and_says_which_channel(api, monkeypatch, caplog):
    run = run_in(api, "Failed", "FAILED", "the store is away")
    with receiving(404) as receiver:
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("OVERNIGHT_NOTIFY_WEBHOOK_SECRET", SECRET)
        state = notify(run=run, state="Failed", return_state=True)

    assert (outcome(state), state.type.value) == ("Undelivered", "FAILED")
    assert "webhook at 127.0.0.1: answered 404" in state.message
    assert "not delivered everywhere" in caplog.text
    assert SECRET not in caplog.text


def test_a_block_of_prefect_gets_the_text_and_one_that_does_not_exist_is_named(api, monkeypatch):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    run = run_in(api, "Failed", "FAILED", "Unconfirmed: no host answered")
    with receiving() as receiver:
        block = CustomWebhookNotificationBlock(
            name="team", url=receiver.url, json_data={"text": "{{body}}", "about": "{{subject}}"}
        )
        block.save("team", overwrite=True)
        monkeypatch.setenv("OVERNIGHT_NOTIFY_BLOCKS", "custom-webhook/team,custom-webhook/nobody")
        state = notify(run=run, state="Failed", return_state=True)

    document = json.loads(receiver.bodies[0])
    assert "no host answered" in document["text"]
    assert document["about"] == "overnight: digits: retrain ended Unconfirmed"
    assert outcome(state) == "Undelivered"
    assert "Prefect gives no block custom-webhook/nobody" in state.message
    assert receiver.url not in state.message


def test_an_alarm_is_reported_once_until_it_ends(api, receiver, s3_bucket):
    alarm = Alarm(kind="quality", feature="all", message="", value=1, expected=0, since=NOW)
    log = MonitorLog(s3_bucket, "digits")
    names = []
    for sequence in (1, 2):
        written = MonitorRecord(
            model="digits", sequence=sequence, champion=None, since=None, until=NOW, alarms=(alarm,)
        )
        log.append(written)
        run = run_in(api, "Completed", "COMPLETED", "Drifted: retrain: labels say so")
        names.append(outcome(notify(run=run, state="Completed", return_state=True)))

    assert names == ["Delivered", "NothingNew"]
    (body,) = receiver.bodies
    assert json.loads(body)["kind"] == "alarm"


def test_without_the_store_an_alarm_is_reported_all_the_same(api, receiver, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", "wrong")
    run = run_in(api, "Completed", "COMPLETED", "Drifted: retrain: labels say so")

    assert outcome(notify(run=run, state="Completed", return_state=True)) == "Delivered"
    assert "labels say so" in json.loads(receiver.bodies[0])["reason"]


def test_kinds_that_nobody_chose_are_not_sent(api, receiver, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_NOTIFY_KINDS", "failed")
    run = run_in(api, "Completed", "COMPLETED", "Refused: accuracy")

    assert outcome(notify(run=run, state="Completed", return_state=True)) == "NothingNew"
    assert receiver.bodies == []


def test_it_is_never_started_again_for_a_crash_and_ends_by_itself():
    assert flow_module.notify.timeout_seconds == 600
    assert not flow_module.notify.retries
