"""CloudEvents 1.0 by their HTTP binding: binary and structured, at every path of predictions.

Rules: `specversion`, `id`, `source` and `type` are required; headers are percent-encoded UTF-8;
the data of other media types are in `data_base64`; an answer is an event in the same mode. KServe
names the type and the source of answers.
"""

import base64
import json
from datetime import datetime

import numpy as np
import pytest

from overnight.serving.rest.cloud_events import STRUCTURED
from overnight.serving.rest.openapi.examples import png
from tests.support.serving import bundles
from tests.support.serving.clients import EXPECTED, IMAGES, INFER, PREDICT, VERSION, v2

BINARY = {"ce-specversion": "1.0", "ce-id": "order%2017", "ce-source": "/shop", "ce-type": "asked"}
EVENT = {"specversion": "1.0", "id": "order 17", "source": "/shop", "type": "asked"}
V1 = {"instances": IMAGES.tolist()}
PATHS = [(INFER, v2()), (PREDICT, V1), ("/invocations", V1)]
CLASSIFY = ("/v1/models/digits:classify", {"examples": [{"image": IMAGES[0].tolist()}]})


@pytest.mark.parametrize(("path", "body"), [*PATHS, CLASSIFY])
def test_a_binary_event_is_answered_by_one(client, path, body):
    plain = client.post(path, json=body)
    response = client.post(path, json=body, headers=BINARY)

    assert response.status_code == 200
    assert response.json == plain.json
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["ce-specversion"] == "1.0"
    assert response.headers["ce-id"] == response.headers["X-Request-Id"]
    assert response.headers["ce-source"] == "io.kserve.inference.digits"
    assert response.headers["ce-type"] == "io.kserve.inference.response"
    assert datetime.fromisoformat(response.headers["ce-time"])
    assert response.headers["X-Model-Version"] == VERSION
    assert not [name for name, _ in plain.headers if name.lower().startswith("ce-")]


@pytest.mark.parametrize(("path", "body"), [*PATHS, CLASSIFY])
@pytest.mark.parametrize("content_type", [STRUCTURED, f"{STRUCTURED}; charset=UTF-8"])
def test_a_structured_event_is_answered_by_one(client, path, body, content_type):
    event = EVENT | {"data": body, "datacontenttype": "application/json", "extension": 3}
    response = client.post(path, data=json.dumps(event), content_type=content_type)

    answer = json.loads(response.data)
    assert response.status_code == 200, answer
    assert response.headers["Content-Type"] == STRUCTURED
    assert answer["data"] == client.post(path, json=body).json
    assert {name: answer[name] for name in ("specversion", "datacontenttype", "type")} == {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "type": "io.kserve.inference.response",
    }
    assert answer["id"] == response.headers["X-Request-Id"]
    assert not [name for name, _ in response.headers if name.lower().startswith("ce-")]


def test_a_structured_event_may_hold_a_picture(client):
    picture = png(bundles.TENSORS)
    data = base64.b64encode(picture).decode()
    event = EVENT | {"datacontenttype": "image/png", "data_base64": data}
    response = client.post(INFER, data=json.dumps(event), content_type=STRUCTURED)

    plain = client.post(INFER, data=picture, content_type="image/png")
    assert json.loads(response.data)["data"] == plain.json


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_raw_tensors_are_returned_in_an_event(client, mode):
    body = v2() | {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]}
    if mode == "binary":
        response = client.post(INFER, json=body, headers=BINARY)
        data, length = response.data, response.headers["Inference-Header-Content-Length"]
    else:
        event = json.dumps(EVENT | {"data": body})
        response = client.post(INFER, data=event, content_type=STRUCTURED)
        answer = json.loads(response.data)
        data, length = (
            base64.b64decode(answer["data_base64"]),
            answer["inferenceheadercontentlength"],
        )
        assert "Inference-Header-Content-Length" not in response.headers

    values = np.frombuffer(data[int(length) :], np.float32)
    assert np.allclose(values, EXPECTED.ravel(), atol=1e-6)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"ce-specversion": "0.3"}, "ce-specversion: expected 1.0"),
        ({"ce-specversion": ""}, "ce-specversion: expected a text"),
        ({"ce-id": None}, "ce-id: expected a text, as every event has, found none"),
        ({"ce-source": None}, "ce-source: expected"),
        ({"ce-type": ""}, "ce-type: expected"),
        ({"ce-id": "%C0%A0"}, "ce-id: expected percent-encoded UTF-8"),
    ],
)
@pytest.mark.parametrize("path", [INFER, PREDICT, "/invocations"])
def test_a_binary_event_without_its_attributes_is_refused(client, headers, error, path):
    sent = {name: value for name, value in (BINARY | headers).items() if value is not None}
    response = client.post(path, json=V1, headers=sent)

    assert response.status_code == 400
    assert response.json["error"].startswith(error)


@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        ([EVENT], 400, "the body: expected a JSON object"),
        (EVENT, 400, "data: expected the request, found an event without data"),
        (EVENT | {"specversion": "2"}, 400, "specversion: expected 1.0"),
        (EVENT | {"id": 3, "data": V1}, 400, "id: expected a text"),
        ({"data": V1}, 400, "specversion: expected a text"),
        (EVENT | {"data": "{}"}, 400, "the body: expected a JSON object"),
        (EVENT | {"data": V1, "datacontenttype": 3}, 400, "datacontenttype: expected a media type"),
        (EVENT | {"data": V1, "datacontenttype": "application/xml"}, 415, "Content-Type: expected"),
        (EVENT | {"data_base64": "é"}, 400, "data_base64: expected base64"),
        (EVENT | {"data_base64": 3}, 400, "data_base64: expected base64"),
        (EVENT | {"data_base64": "e30="}, 400, "the body: expected either"),
    ],
)
def test_a_structured_event_that_is_none_is_refused(client, event, status, error):
    response = client.post(PREDICT, data=json.dumps(event), content_type=STRUCTURED)

    assert response.status_code == status
    assert response.json["error"].startswith(error)


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents-batch+json", "application/cloudevents+avro"]
)
def test_batches_and_other_formats_are_refused(client, content_type):
    response = client.post(PREDICT, data="[]", content_type=content_type)

    assert response.status_code == 415
    assert f"expected {STRUCTURED}, one event" in response.json["error"]
