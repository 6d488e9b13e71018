"""The fast path: which requests it handles, and what it passes on to Flask."""

import gzip
import io
import itertools
import threading
from contextlib import suppress

import numpy as np
import orjson
import pytest
from PIL import Image
from werkzeug.exceptions import HTTPException

from overnight.serving.challenger.router import Router
from overnight.serving.errors import BadInput, NotServed, WrongContentType
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.codecs.content_types import UnknownEncoding
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.answering import Answering, Target
from overnight.serving.rest.app import create_application
from overnight.serving.rest.headers import REFUSAL
from overnight.serving.rest.middleware.fast_path import FastPath, target_of
from overnight.serving.status import StandaloneStatus
from overnight.serving.telemetry.metrics import Metrics
from tests.support.serving import bundles

VERSION = bundles.version_name(1)
BODY = orjson.dumps({"instances": bundles.IMAGES[:1].tolist()})
REQUEST = {
    "PATH_INFO": "/v1/models/digits:predict",
    "REQUEST_METHOD": "POST",
    "CONTENT_TYPE": "application/json",
    "CONTENT_LENGTH": str(len(BODY)),
}


class _Counting(LoadedVersion):
    """A version that counts how often it infers, and fails each time."""

    inferred = 0

    def predict(self, inputs, outputs):
        self.inferred += 1
        raise RuntimeError("a fault of ours")


def _loaded(kind: type[LoadedVersion] = LoadedVersion) -> LoadedVersion:
    files = bundles.files(1)
    return kind(1, load_version(bundles.manifest(1, files), files, threads=1), None)


def _slots(loaded: LoadedVersion | None) -> ModelSlots:
    slots = ModelSlots()
    slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    if loaded is not None:
        slot.put(loaded)
    slot.shared.activate(1)
    return slots


def _answering(slots: ModelSlots | None = None) -> tuple[FastPath, list[Exception | None]]:
    """The fast path to version 1, and with which errors requests went on to what lies behind it."""
    went_on: list[Exception | None] = []

    def behind(environ, start_response):
        went_on.append(environ.get(REFUSAL))
        return [b"from behind"]

    router = Router(slots or _slots(_loaded()))
    express = FastPath(
        behind,
        answering=Answering(router=router, meter=Metrics()),
        slots=router.slots,
        limits=Limits(),
    )
    return express, went_on


def test_a_request_waits_for_a_version_that_is_loading():
    # Given a worker that has not loaded yet what its host answers with.
    slots, statuses = _slots(None), []
    express, went_on = _answering(slots)
    environ = REQUEST | {"wsgi.input": io.BytesIO(BODY)}
    asking = threading.Thread(
        target=express, args=(environ, lambda status, _headers: statuses.append(status))
    )

    asking.start()
    slots.find(bundles.MODEL).put(_loaded())
    asking.join()

    assert (statuses, went_on) == (["200 OK"], [])


def test_a_failed_request_is_run_once_and_counted_once():
    loaded = _loaded(_Counting)
    client = create_application(
        Router(_slots(loaded)), limits=Limits(), status=StandaloneStatus()
    ).test_client()

    response = client.post("/v2/models/digits/infer", data=_json(), content_type="application/json")

    assert (response.status_code, loaded.inferred) == (500, 1)
    assert response.headers["X-Model-Version"] == bundles.version_name(1)
    counted = [line for line in client.get("/metrics").text.splitlines()
               if line.startswith("overnight_requests_total{")]  # fmt: skip
    assert len(counted) == 1
    assert 'protocol="v2",status="500"' in counted[0]
    assert counted[0].endswith(" 1")


def test_the_fast_path_matches_exactly_the_paths_of_flask(application):
    rules = application.url_map.bind("here")
    parts = (
        ("", "/v1", "/v2", "/v2/models", "/v1/models"),
        ("", "/digits", "/a:predict", "/caf\u00e9", "/x.y", "/%41"),
        ("", "/versions/1", "/labels/champion", "/versions/", "/other/1"),
        ("", "/infer", ":predict", "/infer/", ":predict/", ":predict//"),
    )
    for path in map("".join, itertools.product(*parts)):
        expected = None
        with suppress(HTTPException):
            endpoint, arguments = rules.match(path, "POST")
            if endpoint in {"v2.infer", "v1.predict"}:
                expected = Target(endpoint[:2], **arguments)

        assert target_of(path.encode().decode("latin-1")) == expected, path


@pytest.fixture(scope="module")
def application():
    return create_application(Router(_slots(None)), limits=Limits(), status=StandaloneStatus())


def test_another_method_is_refused_with_the_allowed_ones(application):
    client = application.test_client()

    got, options = (send("/v2/models/digits/infer") for send in (client.get, client.options))

    assert (got.status_code, options.status_code) == (405, 200)
    assert "not allowed" in got.json["error"]
    for response in (got, options):
        assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def _environ(body: bytes, kind: str, path: str = "/v2/models/digits/infer", **headers: str) -> dict:
    return REQUEST | {
        "PATH_INFO": path,
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **headers,
    }


def _json(**more: object) -> bytes:
    image = bundles.IMAGES[:1]
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": image.tolist()}
    return orjson.dumps({"inputs": [tensor], **more})


def _binary(*, size: int = 784) -> tuple[bytes, dict[str, str]]:
    parameters = {"binary_data_size": size}
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "parameters": parameters}
    text = orjson.dumps({"inputs": [tensor]})
    return text + bundles.IMAGES[0].tobytes(), {
        "HTTP_INFERENCE_HEADER_CONTENT_LENGTH": str(len(text))
    }


def _png() -> bytes:
    body = io.BytesIO()
    Image.fromarray(bundles.IMAGES[0]).save(body, "PNG")
    return body.getvalue()


def _numbers(answer: bytes, headers: dict[str, str]) -> np.ndarray:
    """The probabilities of an answer, in JSON or raw behind it."""
    length = headers.get("Inference-Header-Content-Length")
    if length is not None:
        assert headers["Content-Type"] == "application/octet-stream"
        # The first output; all of them are in the answer.
        size = orjson.loads(answer[: int(length)])["outputs"][0]["parameters"]["binary_data_size"]
        return np.frombuffer(answer[int(length) :][:size], "<f4")
    actual = orjson.loads(answer)
    return np.ravel(
        actual["predictions"] if "predictions" in actual else actual["outputs"][0]["data"]
    )


RAW = {"HTTP_ACCEPT": "application/octet-stream"}


@pytest.mark.parametrize(
    "environ",
    [
        _environ(BODY, "application/json", path="/v1/models/digits:predict"),
        _environ(_json(), "application/json"),
        _environ(_json(parameters={"binary_data_output": True}), "application/json"),
        _environ(_binary()[0], "application/octet-stream", **_binary()[1]),
        _environ(_binary()[0], "", **_binary()[1]),
        _environ(_png(), "image/png"),
        _environ(_png(), "image/png", **RAW),
        _environ(_json(), "application/json; charset=utf-8"),
        _environ(_json(), "application/x-www-form-urlencoded"),
        _environ(_json(), "application/vnd.infer+json"),
        _environ(_json(), ""),
        _environ(gzip.compress(_json()), "application/json", HTTP_CONTENT_ENCODING="gzip"),
        _environ(_json(), "application/json", f"/v2/models/digits/versions/{VERSION}/infer"),
        _environ(BODY, "application/json", f"/v1/models/digits/versions/{VERSION}:predict"),
        _environ(BODY, "application/json", "/v1/models/digits/labels/champion:predict"),
        _environ(_binary()[0], "application/json", **_binary()[1]),
    ],
    ids=[
        "v1", "v2", "v2, raw answer", "binary", "binary, no kind", "PNG", "PNG, raw answer",
        "parameters of the kind", "a form", "structured JSON", "no kind", "compressed",
        "v2, a version", "v1, a version", "v1, a label", "binary as JSON",
    ],
)  # fmt: skip
def test_every_valid_request_is_handled_without_flask(environ):
    express, went_on = _answering()
    responses: list[dict[str, str]] = []

    (answer,) = express(
        environ | {"wsgi.input": io.BytesIO(environ["wsgi.input"].getvalue())},
        lambda status, headers: responses.append({"status": status, **dict(headers)}),
    )

    assert went_on == []
    assert responses[0]["status"] == "200 OK"
    assert responses[0]["Content-Length"] == str(len(answer))
    assert responses[0]["X-Model-Version"] == bundles.version_name(1)
    expected = bundles.probabilities(1, bundles.IMAGES[:1])[0]
    assert np.allclose(_numbers(answer, responses[0]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        (_environ(b"{", "application/json"), BadInput),
        (_environ(b"[]", "application/json"), BadInput),
        (_environ(_json(), "text/csv"), WrongContentType),
        (_environ(_json(), "application/json", HTTP_CONTENT_ENCODING="gzip"), BadInput),
        (_environ(_json(), "application/json", HTTP_CONTENT_ENCODING="br"), UnknownEncoding),
        (_environ(_json(), "application/json", path="/v2/models/nothing/infer"), NotServed),
        (_environ(_json(), "application/json", "/v2/models/digits/versions/1/infer"), NotServed),
        (_environ(BODY, "application/json", "/v1/models/digits/labels/x:predict"), NotServed),
        (
            _environ(
                _binary()[0], "application/json", HTTP_INFERENCE_HEADER_CONTENT_LENGTH="x"
            ),
            BadInput,
        ),
        (_environ(_binary(size=785)[0], "application/json", **_binary(size=785)[1]), BadInput),
        (_environ(_png()[:-1], "image/png"), BadInput),
        (_environ(_png(), "image/png", path="/v1/models/digits:predict"), WrongContentType),
    ],
    ids=[
        "half JSON", "no object", "another kind", "not compressed", "compressed otherwise",
        "another model", "another version", "another label", "no length of the header",
        "too large a tensor", "half a picture", "a picture at v1",
    ],
)  # fmt: skip
def test_an_error_is_passed_on_to_flask_and_not_counted(environ, error):
    express, went_on = _answering()

    answer = express(environ | {"wsgi.input": io.BytesIO(environ["wsgi.input"].getvalue())}, print)

    assert answer == [b"from behind"]
    assert [type(each) for each in went_on] == [error]


def test_another_method_is_passed_on_unchanged():
    express, went_on = _answering()
    environ = _environ(_json(), "application/json", REQUEST_METHOD="PUT")

    assert express(environ, print) == [b"from behind"]
    assert went_on == [None]
    assert environ["wsgi.input"].read() == _json()
