"""`/invocations` and `/ping`: SageMaker's container contract, MLflow's scoring server, Vertex AI.

Rules: one of `instances`, `inputs`, `dataframe_split` and `dataframe_records` (MLflow), a bare
list, lines of JSON, CSV and arrays of numpy (the serializers of SageMaker's predictors), all
answered as `predictions`; `/ping` is a status; Vertex AI's paths are what
`AIP_HEALTH_ROUTE` and `AIP_PREDICT_ROUTE` say.
"""

import io
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from overnight.infra.settings import load
from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.container_routes import container_routes
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.serving.status import StandaloneStatus
from overnight.store.errors import ConfigurationError
from tests.clients.conftest import serving_versions
from tests.support.serving import bundles, forecasts
from tests.support.serving.clients import EXPECTED, IMAGES, LIMITS, VERSION, application_of
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

INVOCATIONS, TARGET = "/invocations", "X-Amzn-SageMaker-Target-Model"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
LISTED = IMAGES.tolist()
RECORDS = {"dataframe_records": [{"image": image} for image in LISTED]}
# A row of the model of texts, gaps and lists, and another one without what may be missing.
SHOP = [
    {"title": "red green", "price": 2.5, "shop": "north", "clicks": [1, 2], "weight": 4},
    {"title": "blau", "price": None, "shop": "south", "clicks": [3, 4, 5], "weight": 3},
]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.fixture(scope="module")
def host() -> FlaskClient:
    """A host of two models, digits and a forecast."""
    return _host()


def _host(**chosen: object) -> FlaskClient:
    slots = ModelSlots()
    for model, files, manifest in (
        (bundles.MODEL, bundles.files(1), bundles.manifest(1, bundles.files(1))),
        (forecasts.MODEL, forecasts.files(), forecasts.manifest(1, forecasts.files())),
    ):
        slot = slots.add(ModelSlot(model, SharedGeneration.in_process()))
        slot.put(LoadedVersion(1, load_version(manifest, files, threads=1), None))
        slot.shared.activate(1)
    return create_application(
        Router(slots), limits=LIMITS, status=StandaloneStatus(), **chosen
    ).test_client()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps({"instances": LISTED})),
        ("application/json", json.dumps({"instances": LISTED, "parameters": None})),
        ("application/json", json.dumps({"inputs": LISTED, "params": {}})),
        ("application/json; charset=utf-8", json.dumps({"inputs": {"image": LISTED}})),
        ("application/json", json.dumps(RECORDS)),
        ("application/json", json.dumps(LISTED)),
        ("application/jsonlines", "\n".join(json.dumps(image) for image in LISTED) + "\n"),
        ("application/x-npy", _npy(IMAGES)),
        ("application/x-npy", _npy(np.asfortranarray(IMAGES.astype(np.float64)))),
        ("text/csv", "\n".join(",".join(map(str, image.ravel())) for image in IMAGES)),
        ("text/csv; charset=utf-8", "\r\n".join(",".join(map(str, i.ravel())) for i in IMAGES)),
    ],
)
@pytest.mark.parametrize("path", [INVOCATIONS, f"{INVOCATIONS}/"])
def test_each_form_is_answered_as_predictions(client, content_type, body, path):
    response = client.post(path, data=body, content_type=content_type)

    assert response.status_code == 200, response.text
    assert list(response.json) == ["predictions"]
    assert np.allclose(response.json["predictions"], EXPECTED, atol=1e-6)
    assert response.headers["X-Model-Version"] == VERSION


@pytest.mark.parametrize("orient", ["split", "records"])
def test_tables_of_pandas_are_rows_by_name(shop, orient):
    table = pd.DataFrame(SHOP, index=[7, 9])
    body = json.dumps({f"dataframe_{orient}": table.to_dict(orient=orient)})
    expected = shop.post("/v1/models/digits:predict", json={"instances": SHOP}).json

    # pandas writes a gap as NaN.
    assert "NaN" in body
    response = shop.post(INVOCATIONS, data=body, content_type="application/json")
    assert response.json["predictions"] == expected["predictions"]


def test_a_csv_has_the_names_of_inputs_or_all_values_in_order():
    rows = forecasts.rows(3)
    expected = forecasts.expected(rows)["units"]
    words = [
        [forecasts.spelled(spec, rows[spec.name][n]) if spec.accepts_text else rows[spec.name][n]
         for spec in forecasts.TENSORS.inputs[:4]] + rows["sold"][n].tolist()
        for n in range(3)
    ]  # fmt: skip
    host = _host(invocations_model=forecasts.MODEL)

    body = "\n".join(",".join(map(str, row)) for row in words)
    response = host.post(INVOCATIONS, data=body, content_type="text/csv")

    assert np.allclose(response.json["predictions"], expected, rtol=1e-4), response.text


def test_a_csv_with_a_header_holds_single_values():
    from overnight.store.schema import Schema
    from tests.support.serving import published

    tensors = Schema(
        inputs=(
            published.TITLE,
            published.PRICE,
            published.SHOP,
            published.CLICKS,
            published.WEIGHT,
        ),
        outputs=published.TENSORS.outputs,
    )
    client = application_of(tensors, files=published.files())

    with_list = client.post(INVOCATIONS, data="title,clicks\nred,1", content_type="text/csv")
    unnamed = client.post(INVOCATIONS, data="red,1,north,1,2,3", content_type="text/csv")

    assert (with_list.status_code, unnamed.status_code) == (400, 400)
    assert "columns of single values" in with_list.json["error"]
    assert "clicks: expected a list of varying length as JSON" in unnamed.json["error"]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "error"),
    [
        ("application/json", "{", 400, "the body: expected JSON"),
        ("application/json", "3", 400, "the body: expected an object or a list of rows"),
        ("application/json", "{}", 400, "the body: expected one of ['instances'"),
        ("application/json", '{"rows": []}', 400, "found the fields ['rows']"),
        ("application/json", '{"instances": [], "inputs": []}', 400, "['instances', 'inputs']"),
        ("application/json", '{"instances": []}', 400, "a list of at least one row"),
        ("application/json", "[]", 400, "a list of at least one row"),
        ("application/json", '{"inputs": [1], "params": {"t": 1}}', 400, "params: expected"),
        ("application/json", '{"instances": [1], "parameters": 3}', 400, "parameters: expected"),
        ("application/json", '{"dataframe_split": []}', 400, "`columns` and `data`"),
        ("application/json", '{"dataframe_split": {"columns": ["image"]}}', 400, "`columns` and"),
        ("application/json", '{"dataframe_split": {"columns": [0], "data": []}}', 400, "names of"),
        ("application/json", '{"dataframe_split": {"columns": ["a", "a"], "data": []}}', 400, ""),
        ("application/json", '{"dataframe_split": {"columns": ["image"], "data": [[1, 2]]}}', 400,
         "dataframe_split.data[0]: expected a list of 1"),
        ("application/json", '{"dataframe_split": {"columns": ["other"], "data": [[1]]}}', 400,
         "expected ['image'], found ['other']"),
        ("application/json", '{"dataframe_records": {}}', 400, "a list of objects"),
        ("application/json", '{"dataframe_records": [3]}', 400, "a list of objects"),
        ("application/jsonlines", "[1]\n[", 400, "line 2: expected JSON"),
        ("application/jsonlines", "", 400, "a list of at least one row"),
        ("text/csv", "", 400, "CSV with at least one row"),
        ("text/csv", "\xff".encode("latin-1"), 400, "CSV in UTF-8"),
        ("text/csv", 'a,"b', 400, "CSV in UTF-8"),
        ("text/csv", "1,2,3", 400, "line 1: expected 784 values"),
        ("text/csv", "image\n3", 400, "the header: expected columns of single values"),
        ("application/x-npy", b"", 400, "a file of numpy.save"),
        ("application/x-npy", b"\x93NUMPY\x01\x00\xff\xff", 400, "a file of numpy.save"),
        ("application/x-npy", _npy(np.float32(1)), 400, "rows of numbers or flags"),
        ("application/x-npy", _npy(np.array(["a"])), 400, "rows of numbers or flags"),
        ("application/x-npy", _npy(IMAGES)[:-1], 400, "expected 2352 bytes of values, found 2351"),
        ("application/x-npy", _npy(IMAGES) + b"1", 400, "expected 2352 bytes of values"),
        ("application/x-npy", _npy(IMAGES[:, :3]), 400, "a list of 28"),
        ("application/xml", "<a/>", 415, "text/csv"),
        ("image/png", b"", 415, "application/x-npy"),
    ],
)  # fmt: skip
def test_what_is_none_of_the_forms_is_refused_in_words(client, content_type, body, status, error):
    response = client.post(INVOCATIONS, data=body, content_type=content_type)

    assert (response.status_code, list(response.json)) == (status, ["error"])
    assert error in response.json["error"]


def test_a_header_of_numpy_that_promises_too_much_allocates_nothing(client):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"
    padded = header.ljust(117) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded

    response = client.post(INVOCATIONS, data=body, content_type="application/x-npy")

    assert response.status_code == 400
    assert "8000000000000 bytes of values, found 0" in response.json["error"]


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("*/*", 200), ("", 200), ("text/csv, application/json", 200),
     ("text/csv", 400), ("application/x-npy", 400)],
)  # fmt: skip
def test_answers_are_json_and_a_client_that_takes_none_is_told(client, accept, status):
    response = client.post(INVOCATIONS, json=LISTED, headers={"Accept": accept})

    assert response.status_code == status
    assert status == 200 or "Accept: expected application/json" in response.json["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {TARGET: "digits"},
        {TARGET: "/digits.tar.gz"},
        {ATTRIBUTES: "tfs-model-name=digits,tfs-method=predict"},
        {ATTRIBUTES: f"tfs-model-name=digits,tfs-model-version={VERSION}"},
        {TARGET: "digits", ATTRIBUTES: "trace=1"},
    ],
)
def test_a_header_names_one_of_several_models(host, headers):
    response = host.post(INVOCATIONS, json=LISTED, headers=headers)

    assert response.status_code == 200
    assert np.allclose(response.json["predictions"], EXPECTED, atol=1e-6)


def test_of_several_models_none_answers_by_chance(host):
    response = host.post(INVOCATIONS, json=LISTED)

    assert response.status_code == 400
    assert f"the header {TARGET} with one of ['demand', 'digits']" in response.json["error"]
    assert "OVERNIGHT_INVOCATIONS_MODEL" in response.json["error"]


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({TARGET: "other"}, 404, "demand, digits"),
        ({ATTRIBUTES: "tfs-model-name=digits,tfs-model-version=7"}, 404,
         VERSION),
        ({TARGET: "digits", ATTRIBUTES: "tfs-method=regress"}, 400,
         "tfs-method=predict"),
    ],
)  # fmt: skip
def test_an_unknown_target_is_refused(host, headers, status, error):
    response = host.post(INVOCATIONS, json=LISTED, headers=headers)

    assert response.status_code == status
    assert error in response.json["error"]


def test_a_setting_chooses_the_model_and_a_header_another_one():
    host = _host(invocations_model="digits")
    rows = forecasts.rows(2)
    table = [{name: column[n].tolist() for name, column in rows.items()} for n in range(2)]

    chosen = host.post(INVOCATIONS, json=LISTED)
    other = host.post(
        INVOCATIONS, json={"dataframe_records": table}, headers={TARGET: forecasts.MODEL}
    )

    assert np.allclose(chosen.json["predictions"], EXPECTED, atol=1e-6)
    assert np.allclose(other.json["predictions"], forecasts.expected(rows)["units"], rtol=1e-4)


def test_a_host_without_a_model_says_so():
    empty = create_application(
        Router(ModelSlots()), limits=LIMITS, status=StandaloneStatus()
    ).test_client()

    assert empty.post(INVOCATIONS, json=LISTED).status_code == 404
    assert empty.get("/ping").status_code == 503
    assert empty.get("/readyz").status_code == 503
    assert empty.get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/ping", "/health", "/livez", "/readyz"])
def test_health_is_answered_without_a_key_and_predictions_are_not(client, path):
    keys = Tokens(token="a-key-of-clients", settings=("the file", "the key"))
    router = client.application.extensions["overnight"].router
    keyed = create_application(
        router, limits=Limits(), status=StandaloneStatus(), admission=Admission(keys=keys)
    ).test_client()

    assert keyed.get(path).status_code == 200
    assert keyed.post(INVOCATIONS, json=LISTED).status_code == 401
    assert keyed.get("/version").status_code == 401


def test_answers_and_refusals_are_counted(client):
    def counted() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        mine = [line for line in lines if 'protocol="invocations"' in line]
        return {
            status: sum(float(line.split()[-1]) for line in mine if f'status="{status}"' in line)
            for status in ("200", "400")
        }

    before = counted()
    client.post(INVOCATIONS, json=LISTED)
    client.post(INVOCATIONS, json={"instances": []})
    client.options(INVOCATIONS)

    after = counted()
    assert {status: after[status] - before[status] for status in after} == {"200": 1, "400": 1}


def test_limits_are_those_of_other_predictions(client):
    many = client.post(INVOCATIONS, json=[LISTED[0]] * 9)

    assert many.status_code == 413
    assert "at most 8 rows" in many.json["error"]


def test_it_answers_by_the_version_that_serves():
    host = serving_versions(bundles.version_name(1), bundles.version_name(2))

    response = host.post(INVOCATIONS, json=LISTED)

    assert response.headers["X-Model-Version"] == bundles.version_name(2)


@pytest.mark.parametrize(
    ("health", "predict"),
    [
        ("/v1/endpoints/7/deployedModels/8", "/v1/endpoints/7/deployedModels/8:predict"),
        ("/healthz", "/predict"),
        ("/ping", "/invocations"),
        ("/v1/models/digits", "/v1/models/digits:predict"),
        ("/health", "/"),
    ],
)
def test_vertex_ai_asks_at_the_paths_that_it_names(client, health, predict):
    routes = container_routes(health, predict)
    router = client.application.extensions["overnight"].router
    host = create_application(
        router, limits=LIMITS, status=StandaloneStatus(), admission=Admission(routes=routes)
    ).test_client()

    assert host.get(health).status_code == 200
    response = host.post(predict, json={"instances": LISTED})
    assert np.allclose(response.json["predictions"], EXPECTED, atol=1e-6)
    # All else is as it was.
    assert host.post(INVOCATIONS, json=LISTED).status_code == 200
    assert host.get("/").status_code == 200
    assert host.get("/unknown").status_code == 404


def test_the_port_of_vertex_ai_is_taken_unless_ours_is_set(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.delenv("OVERNIGHT_SERVING_PORT", raising=False)
    monkeypatch.setenv("AIP_HTTP_PORT", "9000")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/healthz/")
    theirs = load()
    monkeypatch.setenv("OVERNIGHT_SERVING_PORT", "9001")

    assert (theirs.serving_port, theirs.aip_health_route) == (9000, "/healthz")
    assert load().serving_port == 9001


@pytest.mark.parametrize(
    ("name", "value"),
    [("AIP_HTTP_PORT", "http"), ("AIP_HTTP_PORT", "70000"), ("AIP_HEALTH_ROUTE", "healthz"),
     ("AIP_PREDICT_ROUTE", "/a?b"), ("AIP_PREDICT_ROUTE", "//a"), ("AIP_PREDICT_ROUTE", "/../a")],
)  # fmt: skip
def test_a_wrong_setting_of_vertex_ai_is_named(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"^{name}: expected|^{name}: Input"):
        load()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("invocations")
    folder = bundles.folder(place / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=place / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        yield serving


@pytest.mark.servers
def test_the_client_of_mlflow_works_unchanged(serving):
    client_module = pytest.importorskip("mlflow.pyfunc.scoring_server.client")
    client = client_module.ScoringServerClient("127.0.0.1", serving.port)

    client.wait_server_ready(timeout=20)
    array = client.invoke(IMAGES).get_predictions("ndarray")
    # A cell may hold a whole picture.
    table = pd.DataFrame({"image": LISTED})
    rows = client.invoke(table).get_predictions("dataframe")

    assert client.get_version()
    assert np.allclose(array, EXPECTED, atol=1e-6)
    assert np.allclose(rows.to_numpy(), EXPECTED, atol=1e-6)
