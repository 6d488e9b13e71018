"""The short way, and where it leaves off."""

import io
import time

import numpy as np
import orjson
import pytest
from PIL import Image

from serving.board import Board
from serving.challenger import Router
from serving.express import Express, RequestIds
from serving.inference.limits import Limits
from serving.loaded import open_bundle
from serving.metrics import Meter
from serving.slots import WAIT_SECONDS, Loaded, Slot, Slots
from tests.serving import bundles

BODY = orjson.dumps({"instances": bundles.IMAGES[:1].tolist()})
REQUEST = {
    "PATH_INFO": "/v1/models/digits:predict",
    "REQUEST_METHOD": "POST",
    "CONTENT_TYPE": "application/json",
    "CONTENT_LENGTH": str(len(BODY)),
}


def test_a_version_that_is_still_loading_is_waited_for_behind_it_and_not_twice():
    # Given a worker that has not loaded yet what its host answers with.
    slots = Slots()
    slots.add(Slot(bundles.MODEL, Board.alone())).board.flip(1)
    bodies = []

    def behind(environ, start_response):
        bodies.append(environ["wsgi.input"].read())
        return [b"from behind"]

    express = Express(
        behind, router=Router(slots), limits=Limits(), meter=Meter(), ids=RequestIds()
    )

    began = time.monotonic()
    answer = express(REQUEST | {"wsgi.input": io.BytesIO(BODY)}, lambda *_: None)

    assert time.monotonic() - began < WAIT_SECONDS / 2
    assert (answer, bodies) == ([b"from behind"], [BODY])


def _answering() -> tuple[Express, list[bytes]]:
    """The short way to version 1, and the bodies that went on to what lies behind it."""
    slots, files, went_on = Slots(), bundles.files(1), []
    slot = slots.add(Slot(bundles.MODEL, Board.alone()))
    slot.put(Loaded(1, open_bundle(bundles.manifest(1, files), files, threads=1), None))
    slot.board.flip(1)

    def behind(environ, start_response):
        went_on.append(environ["wsgi.input"].read())
        return [b"from behind"]

    express = Express(
        behind, router=Router(slots), limits=Limits(), meter=Meter(), ids=RequestIds()
    )
    return express, went_on


def _asked(body: bytes, kind: str, path: str = "/v2/models/digits/infer", **headers: str) -> dict:
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
        return np.frombuffer(answer[int(length) :], "<f4")
    found = orjson.loads(answer)
    return np.ravel(found["predictions"] if "predictions" in found else found["outputs"][0]["data"])


RAW = {"HTTP_ACCEPT": "application/octet-stream"}


@pytest.mark.parametrize(
    "asked",
    [
        _asked(BODY, "application/json", path="/v1/models/digits:predict"),
        _asked(_json(), "application/json"),
        _asked(_json(parameters={"binary_data_output": True}), "application/json"),
        _asked(_binary()[0], "application/octet-stream", **_binary()[1]),
        _asked(_binary()[0], "", **_binary()[1]),
        _asked(_png(), "image/png"),
        _asked(_png(), "image/png", **RAW),
    ],
    ids=["v1", "v2", "v2, raw answer", "binary", "binary, no kind", "PNG", "PNG, raw answer"],
)
def test_each_usual_kind_of_body_goes_the_short_way(asked):
    express, went_on = _answering()
    told: list[dict[str, str]] = []

    (answer,) = express(
        asked | {"wsgi.input": io.BytesIO(asked["wsgi.input"].getvalue())},
        lambda status, headers: told.append({"status": status, **dict(headers)}),
    )

    assert went_on == []
    assert told[0]["status"] == "200 OK"
    assert told[0]["Content-Length"] == str(len(answer))
    assert told[0]["X-Model-Version"] == bundles.version_name(1)
    expected = bundles.probabilities(1, bundles.IMAGES[:1])[0]
    assert np.allclose(_numbers(answer, told[0]), expected, atol=1e-6)


@pytest.mark.parametrize(
    "asked",
    [
        _asked(b"{", "application/json"),
        _asked(_json(), "application/json; charset=utf-8"),
        _asked(_json(), "application/json", HTTP_CONTENT_ENCODING="gzip"),
        _asked(_json(), "application/json", REQUEST_METHOD="PUT"),
        _asked(_json(), "application/json", CONTENT_LENGTH="many"),
        _asked(_json(), "application/json", CONTENT_LENGTH=str(10**12)),
        _asked(_json(), "application/json", path="/v2/models/nothing/infer"),
        _asked(_binary()[0], "application/octet-stream", HTTP_INFERENCE_HEADER_CONTENT_LENGTH="x"),
        _asked(_binary(size=785)[0], "application/octet-stream", **_binary(size=785)[1]),
        _asked(_binary()[0], "image/png", **_binary()[1]),
        _asked(_binary()[0], "application/json", "/v1/models/digits:predict", **_binary()[1]),
        _asked(_png()[:-1], "image/png"),
        _asked(_png(), "image/png", path="/v1/models/digits:predict"),
    ],
    ids=[
        "half JSON", "parameters of the kind", "compressed", "no POST", "no length",
        "a vast length", "another model", "no length of the header", "too large a tensor",
        "a picture with raw tensors", "raw tensors at v1", "half a picture", "a picture at v1",
    ],
)  # fmt: skip
def test_what_is_unusual_or_wrong_goes_on_with_its_body_whole(asked):
    express, went_on = _answering()
    body = asked["wsgi.input"].getvalue()

    answer = express(asked | {"wsgi.input": io.BytesIO(body)}, lambda *_: None)

    assert answer == [b"from behind"]
    assert went_on == [body]
