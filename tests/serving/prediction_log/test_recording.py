"""Serving records what it was sent and what it answered, as the version's policy says."""

import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from overnight.store.predictions.records import client_digest, is_recorded
from overnight.store.predictions.segments import inputs_digest
from tests.support.serving import bundles
from tests.support.serving.challenges import ChallengeSetup
from tests.support.serving.clients import EXPECTED, IMAGES, INFER, PREDICT, VERSION, v2
from tests.support.serving.prediction_logs import (
    POLICY,
    LoggedApplication,
    dropped,
    loaded,
    records_below,
)


def body_of(kind: str) -> dict:
    """One request of each kind, for the same pictures; a picture alone is the first of them."""
    if kind == "v2 JSON":
        return {"path": INFER, "json": v2() | {"id": "order 7"}}
    if kind == "v1 JSON":
        return {"path": PREDICT, "json": {"instances": IMAGES.tolist()}}
    if kind == "invocation":
        return {"path": "/invocations", "json": {"inputs": IMAGES.tolist()}}
    if kind == "event":
        event = {"specversion": "1.0", "id": "order 7", "source": "/shop", "type": "asked"}
        body = json.dumps(event | {"data": {"instances": IMAGES.tolist()}})
        return {"path": PREDICT, "data": body, "content_type": "application/cloudevents+json"}
    if kind == "binary":
        sized = {"parameters": {"binary_data_size": IMAGES.nbytes}}
        (tensor,) = v2(**sized)["inputs"]
        del tensor["data"]
        head = json.dumps({"inputs": [tensor], "id": "order 7"}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        raw = {"content_type": "application/octet-stream", "headers": headers}
        return {"path": INFER, "data": head + IMAGES.tobytes(), **raw}
    picture = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(picture, "PNG")
    return {"path": INFER, "data": picture.getvalue(), "content_type": "image/png"}


@pytest.mark.parametrize("kind", ["v2 JSON", "v1 JSON", "binary", "picture", "invocation", "event"])
def test_published_inputs_and_outputs_of_every_kind_of_body_are_recorded(tmp_path, kind):
    application = LoggedApplication(tmp_path)

    response = application.client.post(**body_of(kind))

    (record,) = application.records()
    n = 1 if kind == "picture" else 3
    assert (response.status_code, record.n) == (200, n)
    assert record.request == response.headers["X-Request-Id"]
    assert record.caller == ("order 7" if kind in {"v2 JSON", "binary", "event"} else "")
    assert (record.model, record.version, record.route) == (bundles.MODEL, VERSION, "champion")
    assert record.client == client_digest(bundles.MODEL, "127.0.0.1")
    assert record.latency_us > 0
    np.testing.assert_array_equal(record.inputs["image"], IMAGES[:n])
    np.testing.assert_allclose(record.outputs["probabilities"], EXPECTED[:n], atol=1e-6)


@pytest.mark.parametrize("inputs", ["values", "digest", "none"])
@pytest.mark.parametrize("clients", ["key", "digest", "none"])
@pytest.mark.parametrize("rows", [1, 3])
def test_inputs_and_clients_are_recorded_as_declared(tmp_path, inputs, clients, rows):
    policy = POLICY.model_copy(update={"inputs": inputs, "clients": clients})
    application = LoggedApplication(tmp_path, policy)

    sent = IMAGES[:rows]
    application.client.post(INFER, json=v2(sent), headers={"X-Client-Key": "acme"})

    (record,) = application.records()
    assert list(record.inputs) == (["image"] if inputs == "values" else [])
    assert record.digest == (inputs_digest({"image": sent}) if inputs == "digest" else "")
    expected = {"key": "acme", "digest": client_digest(bundles.MODEL, "acme"), "none": ""}
    assert record.client == expected[clients]


def test_the_digest_of_inputs_depends_on_every_value_and_on_nothing_else():
    rows = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.array(["x", None], object)}
    again = {"b": rows["b"].copy(), "a": np.asfortranarray(rows["a"])}
    other = rows | {"a": rows["a"].astype(np.int64)}

    assert inputs_digest(again) == inputs_digest(rows)
    assert len({inputs_digest(each) for each in (rows, other, {"a": rows["a"]})}) == 3


def test_nothing_is_recorded_for_a_version_without_a_policy(tmp_path):
    application = LoggedApplication(tmp_path / "spool", None)

    assert application.client.post(INFER, json=v2()).status_code == 200

    assert application.records() == []
    assert not (tmp_path / "spool").exists()


def test_refused_requests_are_not_recorded(tmp_path):
    application = LoggedApplication(tmp_path)

    assert application.client.post(INFER, json=v2(shape=[1, 2])).status_code == 400

    assert application.records() == []


def test_a_share_is_drawn_by_the_id_of_the_request(tmp_path):
    application = LoggedApplication(tmp_path, POLICY.model_copy(update={"share": 0.25}))
    names = [f"request-{number}" for number in range(200)]

    for name in names:
        application.client.post(INFER, json=v2(IMAGES[:1]), headers={"X-Request-Id": name})

    records = application.records()
    assert {record.request for record in records} == {n for n in names if is_recorded(n, 0.25)}
    assert all(record.share == 0.25 for record in records)
    assert 25 <= len(records) <= 75
    assert sum(is_recorded(str(number), 0.1) for number in range(10_000)) == pytest.approx(
        1_000, abs=150
    )


def test_a_named_version_is_recorded_as_such(tmp_path):
    application = LoggedApplication(tmp_path)

    application.client.post(f"/v2/models/digits/versions/{VERSION}/infer", json=v2())

    assert [record.route for record in application.records()] == ["named"]


@pytest.mark.parametrize("wish", [None, "skip"])
@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_both_answers_to_a_request_of_a_challenge_are_recorded_under_one_id(tmp_path, mode, wish):
    from overnight.serving.challenger.comparison import Comparisons
    from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
    from overnight.serving.rest.app import create_application
    from overnight.store.registry.challenge_terms import Terms
    from tests.support.serving.clients import LIMITS

    # Given a challenge in which every request is compared.
    spool = PredictionSpool(SpoolConfig(tmp_path))
    setup = ChallengeSetup(Terms.model_validate({"mode": mode, "share": 1}))
    setup.comparisons = Comparisons(spool)
    for slot in (setup.champion, setup.challenger.slot):
        predictor = slot.current().predictor
        predictor.manifest = predictor.manifest.model_copy(update={"logged": POLICY})
    router = setup.beside(setup.champion)
    client = create_application(
        router, limits=LIMITS, status=setup.status, predictions=spool
    ).test_client()

    headers = {"X-Prediction-Log": wish} if wish else {}
    response = client.post(INFER, json=v2() | {"id": "order 7"}, headers=headers)
    setup.settle()
    spool.close()
    if wish:
        assert records_below(tmp_path) == []
        return

    # Then the answer that the client saw has the inputs, and the other one the same id.
    seen, shadow = sorted(records_below(tmp_path), key=lambda record: record.route == "shadow")
    answered, other = (1, 2) if mode == "shadow" else (2, 1)
    assert (seen.route, shadow.route) == ("champion" if mode == "shadow" else "canary", "shadow")
    assert seen.version == response.headers["X-Model-Version"] == bundles.version_name(answered)
    assert shadow.version == bundles.version_name(other)
    assert seen.request == shadow.request == response.headers["X-Request-Id"]
    assert seen.caller == shadow.caller == "order 7"
    assert (list(seen.inputs), list(shadow.inputs)) == (["image"], [])
    for record, number in ((seen, answered), (shadow, other)):
        expected = bundles.probabilities(number, IMAGES)
        np.testing.assert_allclose(record.outputs["probabilities"], expected, atol=1e-6)


def test_a_swap_under_load_records_the_version_that_gave_each_answer(tmp_path):
    application = LoggedApplication(tmp_path)
    answered: dict[str, str] = {}

    def send() -> None:
        for _ in range(150):
            headers = application.client.post(INFER, json=v2(IMAGES[:1])).headers
            answered[headers["X-Request-Id"]] = headers["X-Model-Version"]

    senders = [threading.Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    for number in range(2, 12):
        application.slot.put(loaded(number, POLICY))
        application.slot.shared.activate(number)
        application.spool.write()
    for sender in senders:
        sender.join()

    records = application.records()
    assert {record.request: record.version for record in records} == answered
    assert len(set(answered.values())) > 1
    for record in records:
        expected = bundles.probabilities(int(record.version[-12:], 16), IMAGES[:1])
        np.testing.assert_allclose(record.outputs["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize("path", [INFER, f"/v2/models/digits/versions/{VERSION}/infer", PREDICT])
def test_what_only_explores_is_answered_and_counted_but_not_recorded(tmp_path, path):
    application = LoggedApplication(tmp_path)
    body = {"instances": IMAGES.tolist()} if path == PREDICT else v2()

    asked = application.client.post(path, json=body)
    explored = application.client.post(path, json=body, headers={"X-Prediction-Log": "Skip"})

    assert explored.status_code == 200
    assert explored.get_data() == asked.get_data()
    (record,) = application.records()
    assert record.request == asked.headers["X-Request-Id"]
    dropped = application.spool.counters().dropped
    assert [(each.model, each.reason, each.records) for each in dropped] == [
        (bundles.MODEL, "skipped", 1)
    ]


def test_what_would_not_be_recorded_anyway_is_not_counted_as_skipped(tmp_path):
    application = LoggedApplication(tmp_path / "spool", None)

    application.client.post(INFER, json=v2(), headers={"X-Prediction-Log": "skip"})

    assert application.spool.counters().dropped == ()


@pytest.mark.parametrize("wish", ["off", "skip, skip", "\xff" * 1_000])
def test_a_wrong_wish_about_the_log_is_refused_with_the_right_one(tmp_path, wish):
    application = LoggedApplication(tmp_path)

    response = application.client.post(INFER, json=v2(), headers={"X-Prediction-Log": wish})

    assert response.status_code == 400
    assert "X-Prediction-Log: expected `skip`" in response.get_json()["error"]
    assert len(response.get_data()) < 1_000
    assert application.records() == []


@pytest.mark.parametrize(
    "key", ["k" * 200, "\xff\xfe", "a\tb", "../../x", '"; drop table', "\xed\xa0\x80", "\x00"]
)
def test_any_key_of_a_client_is_recorded_as_one_value(tmp_path, key):
    application = LoggedApplication(tmp_path, POLICY.model_copy(update={"clients": "key"}))

    response = application.client.post(INFER, json=v2(), environ_base={"HTTP_X_CLIENT_KEY": key})

    assert response.status_code == 200
    (record,) = application.records()
    assert record.n == 3
    assert len(record.client) <= 200
    # Everything that it wrote is below its own folder.
    assert {path.parent for path in tmp_path.rglob("*.log*")} == {tmp_path / bundles.MODEL}


@pytest.mark.parametrize("clients", ["key", "digest", "none"])
def test_a_key_that_is_too_long_never_reaches_the_log(tmp_path, clients):
    application = LoggedApplication(tmp_path, POLICY.model_copy(update={"clients": clients}))

    response = application.client.post(INFER, json=v2(), headers={"X-Client-Key": "k" * 2_000})

    assert response.status_code == 400
    assert "X-Client-Key: expected at most 200 characters" in response.get_json()["error"]
    assert application.records() == []
    assert dropped(application.spool) == {}
