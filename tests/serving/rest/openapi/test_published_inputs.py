"""The description of models with texts, gaps, lists, pictures and defaults: its examples work."""

import json
import re

import jsonschema
import numpy as np
import pytest

from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import published
from tests.support.serving.clients import INFER, PREDICT, application_of

LARGE = TensorSpec(name="photo", datatype="UINT8", shape=(8, 12, 3), picture=None)


@pytest.fixture(scope="module", params=["texts", "photos", "files of photos"])
def client(request, monkeypatch_module):
    if request.param == "texts":
        return application_of(published.TENSORS, files=published.files())
    if request.param == "files of photos":
        # As if it were large: shown as a file, not as lists of numbers.
        monkeypatch_module.setattr("overnight.serving.rest.openapi.examples._LARGEST_PICTURE", 10)
    tensors = Schema(inputs=(published.PHOTO,), outputs=published.PHOTO_TENSORS.outputs)
    return application_of(tensors, files=published.photo_files())


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def document(client) -> dict:
    return client.get("/api/openapi.json").json


def valid(document: dict, protocol: str, body: object) -> None:
    schema = document["components"]["schemas"][f"digits.{protocol}"]
    jsonschema.validate(body, schema | {"components": document["components"]})


def test_examples_are_valid_and_answered(client, document):
    for path, url, protocol in (
        ("/v2/models/digits/infer", INFER, "v2"),
        ("/v1/models/digits:predict", PREDICT, "v1"),
    ):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        body = content["examples"]["digits"]["value"]

        response = client.post(url, json=body)

        assert response.status_code == 200, response.data
        valid(document, protocol, body)


def test_samples_hold_requests_that_are_answered(client, document):
    paths = (("/v2/models/digits/infer", INFER), ("/v1/models/digits:predict", PREDICT))
    bodies = [
        (url, json.loads(posted[1]))
        for path, url in paths
        for sample in document["paths"][path]["post"]["x-codeSamples"]
        if (posted := re.search(r"<<'JSON'\n(.*)\nJSON", sample["source"], re.DOTALL))
    ]

    assert len(bodies) == 2
    for url, body in bodies:
        assert client.post(url, json=body).status_code == 200


def test_the_sample_of_raw_tensors_is_answered(client, document):
    samples = document["paths"]["/v2/models/digits/infer"]["post"]["x-codeSamples"]
    (source,) = [each["source"] for each in samples if each["label"].startswith("raw")]
    # Everything before the request is sent.
    names: dict = {}
    exec(source.partition("with urlopen")[0], names)  # noqa: S102

    response = client.post(INFER, data=names["text"] + names["tensors"], headers=names["headers"])

    assert response.status_code == 200, response.data
    size = int(response.headers["Inference-Header-Content-Length"])
    assert np.isfinite(np.frombuffer(response.data[size:], np.float32)).all()


def test_the_schema_refuses_what_the_server_refuses():
    client = application_of(published.TENSORS, files=published.files())
    document = client.get("/api/openapi.json").json
    row = {"title": "red", "price": None, "shop": "north", "clicks": [1, 2]}
    valid(document, "v1", {"instances": [row]})

    for change in ({"title": None}, {"weight": None}, {"wieght": 1}, {"price": 101}):
        body = {"instances": [row | change]}
        assert client.post(PREDICT, json=body).status_code == 400
        with pytest.raises(jsonschema.ValidationError):
            valid(document, "v1", body)


def test_the_page_of_the_documentation_shows_such_models(client):
    page = client.get("/docs").text

    assert "photo" in page or "BYTES" in page
