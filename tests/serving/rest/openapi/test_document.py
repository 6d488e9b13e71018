"""The OpenAPI document and the documentation page: complete, valid, and without secrets."""

import base64
import importlib.metadata
import json
import re

import pytest
from jsonschema_rs import Draft202012Validator

from overnight.serving.challenger.router import Router
from overnight.serving.inference.codecs.v2_json import OUT_OF_VOCABULARY
from overnight.serving.inference.decoding import from_flat
from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.model_slots import ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.serving.rest.openapi.context import ApiContext, Served
from overnight.serving.rest.openapi.document import document, operations, template
from overnight.serving.rest.openapi.examples import png, v2_request
from overnight.serving.rest.static_files import static_path
from overnight.serving.status import StandaloneStatus
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.serving.clients import INFER, LIMITS, PREDICT, VERSION

KEY = "a-key-for-predictions"
# What clients change without being administrators.
_CLIENTS = {"/api/models/{model}/refresh", "/api/models/{model}/feedback"}
# A path parameter with slashes cannot be described in OpenAPI.
STATIC = f"{static_path()}/{{filename}}"
BASKET = Schema(
    inputs=(
        TensorSpec(name="promoted", datatype="BOOL", shape=()),
        TensorSpec(
            name="prices", datatype="FP32", shape=(3,), minimum=0.5, maximum=9, nullable=True
        ),
        TensorSpec(name="weather", datatype="INT32", shape=(1,), vocabulary=("dry", "wet")),
        TensorSpec(name="shop", datatype="INT64", shape=(1,), minimum=1),
    ),
    outputs=(TensorSpec(name="units", datatype="FP32", shape=(1,)),),
)


@pytest.fixture(scope="module")
def openapi(client) -> dict:
    return client.get("/api/openapi.json").json


def _operations(openapi: dict) -> list[tuple[str, str, dict]]:
    return [(method.upper(), path, operation) for path, method, operation in operations(openapi)]


def test_the_document_describes_exactly_the_routes(client, openapi):
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    # What depends on the model has a path for each.
    described = {
        (method, path.replace("/models/digits", "/models/{model}"))
        for method, path, _ in _operations(openapi)
    }
    # What is never answered is not described: `:regress` and `:explain`.
    refused = {(method, path) for method, path in routes if path.endswith((":regress", ":explain"))}
    assert len(refused) == 6
    assert described == routes - refused - {("GET", STATIC)}


def test_references_resolve_and_operation_ids_are_unique(openapi):
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(openapi)):
        actual = openapi
        for step in reference.split("/"):
            actual = actual[step]
    names = [operation["operationId"] for _, _, operation in _operations(openapi)]
    assert len(names) == len(set(names))


def test_every_operation_lists_its_errors_and_security(openapi):
    for method, path, operation in _operations(openapi):
        statuses = set(operation["responses"])
        assert "500" in statuses, path
        assert ("401" in statuses) == bool(operation["security"]), path
        names_model = "{model}" in path or "/digits" in path or path == "/invocations"
        assert ("404" in statuses) == names_model, path
        assert "requestBody" not in operation or statuses >= {"400", "413", "415"}, path
        if path.startswith("/api/models") and method != "GET" and path not in _CLIENTS:
            assert operation["security"] == [{"bearer": []}]


def test_examples_match_their_schemas_and_are_accepted(client, openapi):
    sent = 0
    for _, path, operation in _operations(openapi):
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for name, example in media.get("examples", {}).items():
            schema = media["schema"] | {"components": openapi["components"]}
            Draft202012Validator(schema).validate(example["value"])
            if name == "digits":
                address = path.format(model=name, version=VERSION, label="champion", arrival="a-1")
                answer = client.post(address, json=example["value"])
                assert (answer.status_code, answer.headers["X-Model-Version"]) == (200, VERSION)
                sent += 1
    assert sent == 9


def test_examples_of_a_model_with_several_inputs_are_accepted():
    openapi = document(ApiContext("http://here", {"sales": Served(VERSION, BASKET)}, LIMITS))

    assert "/v1/models/sales:classify" not in openapi["paths"]
    for path in ("/v2/models/sales/infer", "/v1/models/sales:predict"):
        media = openapi["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        schema = media["schema"] | {"components": openapi["components"]}
        (example,) = (item["value"] for item in media["examples"].values())
        Draft202012Validator(schema).validate(example)
        assert "0 is dry; 1 is wet" in json.dumps(openapi["components"]["schemas"])
        samples = openapi["paths"][path]["post"]["x-codeSamples"]
        assert "a PNG, curl" not in {sample["label"] for sample in samples}
    for spec, given in zip(BASKET.inputs, v2_request(BASKET)["inputs"], strict=True):
        assert from_flat(spec, given["data"], (1, *spec.shape), field="data").shape == (
            1,
            *spec.shape,
        )


def test_documents_of_two_servers_share_no_state():
    document(ApiContext("http://here", {"sales": Served(VERSION, BASKET)}, LIMITS))

    other = json.dumps(document(ApiContext("http://there")))

    assert "sales" not in other
    assert "http://here" not in other
    assert template() is template()


def test_the_version_is_that_of_the_installed_package(client, openapi):
    release = importlib.metadata.version("overnight")

    assert openapi["info"]["version"] == release
    assert client.get("/v2").json["version"] == release


BARE = [[7] * 28] * 28
FILE = {"b64": base64.b64encode(png(bundles.TENSORS)).decode()}
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [BARE]}


@pytest.mark.parametrize(
    ("form", "body", "accepted"),
    [
        ("v1", {"instances": [BARE, BARE]}, True),
        ("v1", {"instances": [FILE, FILE]}, True),
        ("v1", {"instances": [{"image": BARE}]}, True),
        ("v1", {"inputs": {"image": [FILE]}}, True),
        ("v1", {"instances": [BARE], "inputs": [BARE]}, False),
        ("v1", {"instances": [BARE, FILE]}, False),
        ("v1", {"instances": [{"image": BARE}, {"image": FILE}]}, False),
        ("v1", {"instances": [BARE, {"image": BARE}]}, False),
        ("v1", {"inputs": [BARE, FILE]}, False),
        ("classify", {"examples": [{"image": FILE}]}, True),
        ("classify", {"examples": [{"image": BARE}, {"image": FILE}]}, False),
        ("v2", {"inputs": [TENSOR], "outputs": [{"name": "seen"}]}, True),
        ("v2", {"inputs": [TENSOR], "outputs": [{"name": "mood"}]}, False),
        ("v2", {"inputs": [TENSOR | {"shape": [1]}]}, False),
        (
            "v2",
            {"inputs": [TENSOR | {"datatype": "BYTES", "shape": [1], "data": [FILE["b64"]]}]},
            True,
        ),
    ],
)
def test_document_and_server_take_the_same_forms(client, openapi, form, body, accepted):
    path = {"v1": PREDICT, "classify": "/v1/models/digits:classify", "v2": INFER}[form]
    schema = {"$ref": f"#/components/schemas/digits.{form}"} | {"components": openapi["components"]}

    response = client.post(path, json=body)

    assert Draft202012Validator(schema).is_valid(body) is accepted
    assert (response.status_code == 200) is accepted, response.json


def test_responses_describe_out_of_vocabulary(openapi):
    schemas = openapi["components"]["schemas"]

    assert OUT_OF_VOCABULARY in schemas["V2Response"]["properties"]["parameters"]["properties"]
    assert OUT_OF_VOCABULARY in schemas["V1Rows"]["properties"]
    assert OUT_OF_VOCABULARY in schemas["V1Columns"]["properties"]


def test_refresh_is_described_without_a_key(keyed):
    openapi = keyed.get("/api/openapi.json").json["paths"]["/api/models/{model}/refresh"]["post"]

    assert openapi["security"] == []
    assert "401" not in openapi["responses"]
    assert "OVERNIGHT_KEY" not in openapi["x-codeSamples"][0]["source"]


def test_schemas_reject_what_the_server_rejects(openapi):
    def refused(schema: str, value: object) -> bool:
        whole = {"$ref": f"#/components/schemas/{schema}", "components": openapi["components"]}
        return not Draft202012Validator(whole).is_valid(value)

    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": []}
    assert not refused("digits.v2", {"inputs": [tensor]})
    assert refused("digits.v2", {"inputs": []})
    assert refused("digits.v2", {"inputs": [tensor | {"shape": [1, 27, 28]}]})
    assert refused("digits.v2", {"inputs": [tensor | {"datatype": "FP32"}]})
    assert refused("digits.v1", {"instances": []})
    assert refused("digits.v1", {"instances": [[[256]]]})
    assert refused("Rollback", {"reason": ""})


def test_the_page_shows_every_operation_and_loads_nothing_from_other_hosts(client, openapi):
    page = client.get("/docs")

    assert page.mimetype == "text/html"
    text = page.get_data(as_text=True)
    for _, path, operation in _operations(openapi):
        assert f'id="{operation["operationId"]}"' in text
        assert f"<code>{path}</code>" in text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=", text)
    assert set(re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text)) == set()


def test_without_a_model_the_document_shows_a_placeholder():
    empty = create_application(
        Router(ModelSlots()), limits=Limits(), status=StandaloneStatus()
    ).test_client()

    openapi = empty.get("/api/openapi.json").json

    assert "my-model.v2" in openapi["components"]["schemas"]
    assert empty.get("/docs").status_code == 200


@pytest.fixture
def keyed(client):
    keys = Tokens(token=KEY, settings=("the file", "the key"))
    router = client.application.extensions["overnight"].router
    return create_application(
        router, limits=LIMITS, status=StandaloneStatus(), admission=Admission(keys=keys)
    ).test_client()


@pytest.mark.parametrize("path", ["/api/openapi.json", "/docs"])
def test_models_are_described_only_with_a_key(keyed, path):
    secret = keyed.get(path, headers={"X-API-Key": "a-key-that-is-wrong"}).get_data(as_text=True)
    known = keyed.get(path, headers={"X-API-Key": KEY}).get_data(as_text=True)

    assert "digits" not in secret
    assert VERSION not in secret
    assert VERSION in known
    assert "$OVERNIGHT_KEY" in secret
    assert KEY not in known


@pytest.mark.parametrize("host", ["evil$(reboot)", "two hosts", "x'y", '"><script>', "a/b", "[::1"])
def test_an_invalid_host_header_is_not_copied_into_commands(client, host):
    for path in ("/api/openapi.json", "/docs"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code in {200, 400}
        if answer.status_code == 200:
            assert host not in answer.get_data(as_text=True)
            assert "http://127.0.0.1:8080/v2" in answer.get_data(as_text=True)


@pytest.mark.parametrize("host", ["models.example:8443", "127.0.0.1:8080", "[::1]:8080"])
def test_commands_use_the_host_of_the_request(client, host):
    openapi = client.get("/api/openapi.json", headers={"Host": host}).json
    assert openapi["servers"] == [{"url": f"http://{host}"}]


def test_labels_are_described_for_the_models_that_take_them():
    taking, other = Served(VERSION, BASKET), Served(VERSION, BASKET, takes_labels=False)
    described = document(ApiContext("http://h", {"taking": taking, "other": other}))
    operation = described["paths"]["/api/models/{model}/feedback"]["post"]
    media = operation["requestBody"]["content"]["application/json"]

    assert set(media["examples"]) == {"taking", "taking-several"}
    for example in media["examples"].values():
        schema = media["schema"] | {"components": described["components"]}
        Draft202012Validator(schema).validate(example["value"])
    assert "/api/models/taking/feedback" in operation["x-codeSamples"][0]["source"]

    nobody = document(ApiContext("http://h", {"other": other}))
    assert nobody["paths"]["/api/models/{model}/feedback"]["post"]["x-codeSamples"] == []
