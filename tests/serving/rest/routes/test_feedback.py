"""Feedback: valid labels are kept, the others are reported by position, and clients are limited."""

import pytest

from overnight.serving.rest.label_limit import DailyLabels
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.rate_limits import REMEMBERED_CLIENTS
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.serving.label_spool import POLICY, LabelsInMemory, labelled_application

PATH = "/api/models/digits/feedback"
KEY = "a-key-for-predictions"
LABEL = {"request": "abc", "truth": "7"}


def test_a_label_is_kept_with_its_receipt_and_its_client():
    spool = LabelsInMemory()

    answer = labelled_application(spool).post(PATH, json=LABEL | {"row": 2, "origin": "page"})

    assert (answer.status_code, answer.json) == (
        200,
        {"model": "digits", "accepted": 1, "refused": []},
    )
    (label,) = spool.labels
    assert (label.request, label.caller, label.row) == ("abc", "", 2)
    assert (label.truth, label.origin, label.client) == (
        {"probabilities": "7"},
        "page",
        "127.0.0.1",
    )
    assert label.authenticated is False
    assert label.at_us > 1_700_000_000_000_000


@pytest.mark.parametrize("truth", ["7", 7, {"probabilities": "7"}, {"probabilities": 7}])
def test_a_class_is_sent_by_name_or_by_index(truth):
    spool = LabelsInMemory()

    labelled_application(spool).post(PATH, json=LABEL | {"truth": truth})

    assert spool.labels[0].truth == {"probabilities": "7"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"request": "abc", "truth": "ten"}, "a class (0, 1, 2"),
        ({"request": "abc", "truth": 10}, "its index, 0 to 9"),
        ({"request": "abc", "truth": True}, "found a boolean"),
        ({"request": "abc", "truth": 7.0}, "a class (0, 1, 2"),
        ({"request": "abc", "truth": None}, "found null"),
        ({"request": "abc", "truth": {}}, "the truth by output, of probabilities"),
        ({"request": "abc", "truth": {"seen": 1}}, "the outputs ['seen']"),
        ({"request": "abc"}, "truth: expected what was true"),
        ({"truth": "7"}, "found neither"),
        ({"request": "abc", "caller": "mine", "truth": "7"}, "found both"),
        ({"request": "a b", "truth": "7"}, "the X-Request-Id of the answer"),
        ({"request": 1, "truth": "7"}, "the X-Request-Id of the answer"),
        ({"caller": "", "truth": "7"}, "1 to 256 characters"),
        ({"caller": "x" * 257, "truth": "7"}, "1 to 256 characters"),
        ({"request": "abc", "truth": "7", "row": -1}, "row: expected the row of the request"),
        ({"request": "abc", "truth": "7", "row": 1.5}, "row: expected the row of the request"),
        ({"request": "abc", "truth": "7", "row": True}, "row: expected the row of the request"),
        ({"request": "abc", "truth": "7", "row": 2**31}, "row: expected the row of the request"),
        ({"request": "abc", "truth": "7", "version": "v1"}, "the fields ['request'"),
        ("abc", "label: expected request or caller"),
    ],
)
def test_one_wrong_label_does_not_cost_the_others(wrong, why):
    spool = LabelsInMemory()

    answer = labelled_application(spool).post(PATH, json={"labels": [LABEL, wrong, LABEL]})

    assert answer.status_code == 200
    assert answer.json["accepted"] == 2
    (refused,) = answer.json["refused"]
    assert refused["label"] == 1
    assert why in refused["error"]
    assert len(spool.labels) == 2
    assert spool.labels[0].at_us < spool.labels[1].at_us


def test_labels_that_are_all_wrong_are_a_bad_request():
    answer = labelled_application(LabelsInMemory()).post(PATH, json={"labels": [{"truth": "7"}]})

    assert (answer.status_code, answer.json["accepted"]) == (400, 0)


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"labels": []}, 400, "a list with one label at least"),
        ({"labels": "abc"}, 400, "a list with one label at least"),
        ({"labels": [LABEL] * 1_001}, 413, "at most 1000 in a request"),
        ({"labels": [LABEL], "origin": "arrival"}, 400, "origin: expected api or page or file"),
        ({"labels": [LABEL], "origin": []}, 400, "origin: expected api or page or file"),
        ([], 400, "a JSON object"),
    ],
)
def test_a_wrong_body_is_refused_whole(body, status, why):
    spool = LabelsInMemory()

    answer = labelled_application(spool).post(PATH, json=body)

    assert answer.status_code == status
    assert why in answer.json["detail"]
    assert spool.labels == []


@pytest.mark.parametrize(
    ("policy", "spool"),
    [
        (None, LabelsInMemory()),
        (POLICY.model_copy(update={"feedback": False}), LabelsInMemory()),
        (None, None),
    ],
)
def test_a_model_without_feedback_says_so(policy, spool):
    answer = labelled_application(spool, policy=policy).post(PATH, json=LABEL)

    assert answer.status_code == 404
    assert "takes no labels of its answers" in answer.json["detail"]


def test_a_server_that_records_nothing_names_the_setting():
    answer = labelled_application(None).post(PATH, json=LABEL)

    assert answer.status_code == 503
    assert "set OVERNIGHT_PREDICTION_LOG=on" in answer.json["detail"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_what_a_page_of_another_origin_can_send_is_no_label(kind):
    spool = LabelsInMemory()
    body = b'{"request": "abc", "truth": "7"}'

    answer = labelled_application(spool).post(PATH, data=body, content_type=kind)

    assert answer.status_code == 415
    assert "expected application/json" in answer.json["detail"]
    assert spool.labels == []
    sent = labelled_application(spool).post(PATH, data=body, content_type="application/json; a=b")
    assert sent.status_code == 200


def test_a_model_that_is_not_served_is_named():
    answer = labelled_application(LabelsInMemory()).post("/api/models/nothing/feedback", json=LABEL)

    assert answer.status_code == 404
    assert "loaded are: digits" in answer.json["detail"]


def test_a_full_spool_is_no_place_for_labels():
    answer = labelled_application(LabelsInMemory(room=0)).post(PATH, json=LABEL)

    assert answer.status_code == 503
    assert "no label was kept" in answer.json["detail"]
    assert int(answer.headers["Retry-After"]) > 0


def test_a_spool_that_cannot_take_all_takes_none_and_they_do_not_count():
    spool = LabelsInMemory(room=2)
    policy = POLICY.model_copy(update={"labels_per_client_daily": 4})
    client = labelled_application(spool, policy=policy)

    refused = client.post(PATH, json={"labels": [LABEL] * 4})
    spool.room = 10
    again = client.post(PATH, json={"labels": [LABEL] * 4})

    assert (refused.status_code, again.status_code) == (503, 200)
    assert len(spool.labels) == 4


def test_a_client_has_a_limit_of_labels_a_day():
    policy = POLICY.model_copy(update={"labels_per_client_daily": 3})
    spool = LabelsInMemory()
    client = labelled_application(spool, policy=policy)

    partly = client.post(PATH, json={"labels": [LABEL] * 4})
    # A key of another client in the header changes nothing: anybody can send one.
    after = client.post(PATH, json=LABEL, headers={"X-Client-Key": "another"})

    assert (partly.json["accepted"], partly.json["refused"][0]["label"]) == (3, 3)
    assert after.status_code == 429
    assert 0 < int(after.headers["Retry-After"]) <= 86_400
    assert len(spool.labels) == 3


def test_a_key_is_needed_where_one_is_and_names_the_client():
    spool = LabelsInMemory()
    client = labelled_application(spool, admission=Admission(keys=Tokens(token=KEY, name="shop")))

    without = client.post(PATH, json=LABEL)
    client.post(PATH, json=LABEL, headers={"X-API-Key": KEY})

    assert without.status_code == 401
    assert [(label.client, label.authenticated) for label in spool.labels] == [("shop", True)]


@pytest.mark.parametrize(("clients", "recorded"), [("none", 0), ("digest", 64)])
def test_a_client_is_recorded_as_the_model_declares(clients, recorded):
    spool = LabelsInMemory()

    labelled_application(spool, policy=POLICY.model_copy(update={"clients": clients})).post(
        PATH, json=LABEL
    )

    assert len(spool.labels[0].client) == recorded


QUANTILES = Schema(
    inputs=bundles.TENSORS.inputs,
    outputs=(
        TensorSpec(name="units", datatype="FP32", shape=(3,)),
        TensorSpec(name="grid", datatype="FP32", shape=(2, 2)),
        TensorSpec(name="price", datatype="FP32", shape=()),
    ),
)


@pytest.mark.parametrize(
    ("truth", "kept"),
    [
        (3, {"units": 3.0}),
        ([1, 2.5, 3], {"units": [1.0, 2.5, 3.0]}),
        ({"grid": [[1, 2], [3, 4]]}, {"grid": [[1.0, 2.0], [3.0, 4.0]]}),
        ({"price": -0.5, "units": 1}, {"price": -0.5, "units": 1.0}),
    ],
)
def test_numbers_are_sent_alone_or_as_lists_of_their_shape(truth, kept):
    spool = LabelsInMemory()

    labelled_application(spool, tensors=QUANTILES).post(PATH, json=LABEL | {"truth": truth})

    assert spool.labels[0].truth == kept


@pytest.mark.parametrize(
    ("truth", "why"),
    [
        ("3", "a number, found the text '3'"),
        (1e39, "a finite number of 32 bits"),
        (10**39, "a finite number of 32 bits"),
        ([1, 2], "3 values, found 2"),
        ([1, 2, "3"], "truth[2]: expected a number"),
        ({"grid": 1}, "numbers [2, 2]"),
        ({"grid": [[1, 2], 3]}, "truth.grid[1]: expected a list"),
        ({"grid": [[1, 2], [3]]}, "truth.grid[1]: expected 2 values"),
        ({"price": [1]}, "a number, found a list of 1"),
    ],
)
def test_a_wrong_number_says_where_it_is(truth, why):
    answer = labelled_application(LabelsInMemory(), tensors=QUANTILES).post(
        PATH, json=LABEL | {"truth": truth}
    )

    assert answer.status_code == 400
    assert why in str(answer.json)


def test_days_begin_at_midnight_and_forgotten_clients_begin_again():
    now = [86_400.0 * 3 + 10]
    limit = DailyLabels(clock=lambda: now[0])

    assert limit.take("digits", "a", 5, daily=3) == 3
    limit.give_back("digits", "a", 1)
    assert limit.take("digits", "a", 5, daily=3) == 1
    now[0] += 86_400
    assert limit.take("digits", "a", 2, daily=3) == 2
    for number in range(REMEMBERED_CLIENTS):
        limit.take("digits", str(number), 1, daily=3)
    assert limit.take("digits", "a", 3, daily=3) == 3
