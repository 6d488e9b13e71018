"""The binary tensor extension, as Triton's and KServe's suites ask for it.

Rules: JSON first, whose length a header gives; then the inputs with `binary_data_size` in their
order; `binary_data` of an output goes before `binary_data_output` of the request; texts come each
after its length. The id of a case is the rule.
"""

import gzip
import json
import zlib

import numpy as np
import pytest

from tests.support.serving.clients import EXPECTED, IMAGES, INFER, v2

LENGTH = "Inference-Header-Content-Length"
RAW = IMAGES[:1].tobytes()
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28]}
SIZED = TENSOR | {"parameters": {"binary_data_size": len(RAW)}}


def post(client, tensor: dict, raw: bytes = RAW, *, length: str | None = None, **more: object):
    """JSON and raw tensors in one body."""
    text = json.dumps({"inputs": [tensor]} | more).encode()
    headers = {LENGTH: str(len(text)) if length is None else length}
    return client.post(INFER, data=text + raw, headers=headers)


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "application/json", None, "application/vnd.any+json"]
)
def test_raw_tensors_are_read_under_every_type_that_clients_give_them(client, kind):
    text = json.dumps({"inputs": [SIZED]}).encode()

    response = client.post(
        INFER, data=text + RAW, headers={LENGTH: str(len(text))}, content_type=kind
    )

    assert np.allclose(response.json["outputs"][0]["data"], EXPECTED[0], atol=1e-6)


@pytest.mark.parametrize(
    ("tensor", "raw", "message"),
    [
        pytest.param(TENSOR, RAW, "the body: expected 0 bytes", id="a raw tensor has a size"),
        pytest.param(SIZED, RAW[:-1], "at most the 783 bytes", id="no byte is missing"),
        pytest.param(SIZED, b"", "at most the 0 bytes", id="the tensor is there"),
        pytest.param(SIZED, RAW + b"x", "expected 784 bytes", id="no byte is left"),
        pytest.param(
            TENSOR | {"parameters": {"binary_data_size": 783}},
            RAW[:-1],
            "expected 784 bytes",
            id="the size is that of the shape",
        ),
        pytest.param(
            SIZED | {"shape": [2, 28, 28]}, RAW, "expected 1568", id="the shape is that of the size"
        ),
        pytest.param(
            SIZED | {"data": [1]},
            RAW,
            "inputs[0].data: expected none",
            id="a raw tensor has no data beside",
        ),
        pytest.param(
            TENSOR | {"parameters": {"binary_data_size": 2**64}},
            RAW,
            "binary_data_size: expected at most",
            id="a size is within the body",
        ),
    ],
)
def test_sizes_and_bytes_agree(client, tensor, raw, message):
    response = post(client, tensor, raw)

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert message in response.json["error"]


@pytest.mark.parametrize("length", ["99999999999", "9" * 400, "-1", "x", "1.5", "", "0x10", "+5"])
def test_the_length_of_the_json_is_a_number_within_the_body(client, length):
    response = post(client, SIZED, length=length)

    assert response.status_code == 400
    assert response.json["error"].startswith(f"{LENGTH}: expected a number of at most")


def test_a_length_within_the_json_leaves_broken_json(client):
    response = post(client, SIZED, length="10")

    assert response.status_code == 400
    assert response.json["error"].startswith("the body: expected JSON")


def test_a_raw_tensor_without_the_header_has_no_data(client):
    response = client.post(INFER, json={"inputs": [SIZED]})

    assert response.status_code == 400
    assert "inputs[0].data: expected 784 numbers" in response.json["error"]


P, S = "probabilities", "seen"


def _named(**raw: bool | None) -> list[dict]:
    return [
        {"name": name} | ({} if wanted is None else {"parameters": {"binary_data": wanted}})
        for name, wanted in raw.items()
    ]


@pytest.mark.parametrize(
    ("request_", "raw"),
    [
        pytest.param({}, set(), id="by default JSON"),
        pytest.param({"parameters": {"binary_data_output": True}}, {P, S}, id="all by one flag"),
        pytest.param({"parameters": {"binary_data_output": False}}, set(), id="none by one flag"),
        pytest.param(
            {"outputs": _named(probabilities=True, seen=False)}, {P}, id="each by its flag"
        ),
        pytest.param(
            {"outputs": _named(probabilities=True, seen=None)}, {P}, id="others by default"
        ),
        pytest.param(
            {
                "parameters": {"binary_data_output": True},
                "outputs": _named(probabilities=False, seen=None),
            },
            {S},
            id="the flag of an output goes before",
        ),
        pytest.param(
            {
                "parameters": {"binary_data_output": False},
                "outputs": _named(seen=True, probabilities=None),
            },
            {S},
            id="also where the other says no",
        ),
    ],
)
def test_outputs_are_raw_where_they_are_asked_for_so(client, request_, raw):
    response = client.post(INFER, json=v2() | request_)

    end = int(response.headers.get(LENGTH, len(response.data)))
    assert (LENGTH in response.headers) == bool(raw)
    kind = "application/octet-stream" if raw else "application/json"
    assert response.mimetype == kind
    rest = response.data[end:]
    for output in json.loads(response.data[:end])["outputs"]:
        expected = EXPECTED if output["name"] == P else IMAGES // 2
        if output["name"] in raw:
            size = output["parameters"]["binary_data_size"]
            assert "data" not in output
            actual, rest = np.frombuffer(rest[:size], expected.dtype), rest[size:]
        else:
            assert "parameters" not in output
            actual = np.array(output["data"])
        assert np.allclose(actual, expected.ravel(), atol=1e-6)
    assert rest == b""


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_compressed_request_counts_the_json_before_it_was_compressed(client, encoding, pack):
    text = json.dumps({"inputs": [SIZED]}).encode()
    headers = {LENGTH: str(len(text)), "Content-Encoding": encoding}

    response = client.post(INFER, data=pack(text + RAW), headers=headers)

    assert np.allclose(response.json["outputs"][0]["data"], EXPECTED[0], atol=1e-6)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b"{}")[:-4], 400),
        ("deflate", b"{}", 400),
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), 415),
        ("gzip", gzip.compress(bytes(200_000)), 413),
    ],
    ids=["no gzip", "half of it", "no zlib", "unknown", "twice", "a small body that is large"],
)
def test_what_cannot_be_unpacked_is_refused(client, encoding, body, status):
    response = client.post(INFER, data=body, headers={"Content-Encoding": encoding})

    assert (response.status_code, list(response.json)) == (status, ["error"])


def test_texts_come_raw_each_after_its_length(shop):
    def raw(*texts: str) -> bytes:
        return b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in texts)

    def tensor(name: str, datatype: str, shape: list, part: bytes) -> dict:
        parameters = {"binary_data_size": len(part)}
        return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}

    parts = [
        ("title", "BYTES", [2], raw("red blau", "grün")),
        ("price", "FP32", [2], np.float32([4, 5]).tobytes()),
        ("shop", "BYTES", [2], raw("north", "south")),
        ("clicks", "FP32", [2, 2], np.float32([1, 2, 3, 4]).tobytes()),
    ]
    text = json.dumps(
        {"inputs": [tensor(*part) for part in parts], "outputs": [{"name": "sent"}]}
    ).encode()
    rows = [
        {"title": "red blau", "price": 4, "shop": "north", "clicks": [1, 2]},
        {"title": "grün", "price": 5, "shop": "south", "clicks": [3, 4]},
    ]
    expected = shop.post("/v1/models/digits:predict", json={"instances": rows}).json["predictions"]

    response = shop.post(
        INFER,
        data=text + b"".join(part for *_, part in parts),
        headers={LENGTH: str(len(text))},
    )

    assert response.status_code == 200
    assert np.allclose(np.reshape(response.json["outputs"][0]["data"], (2, 7)), expected)


@pytest.mark.parametrize(
    ("ready", "message"),
    [
        (b"[" * 900 + b"true" + b"]" * 900, "ready: expected true or false"),
        (b"[" * 250_000 + b"true" + b"]" * 250_000, "the body: expected "),
    ],
    ids=["deep", "too deep"],
)
def test_a_deep_body_of_the_index_ends_nothing(client, ready, message):
    response = client.post("/v2/repository/index", data=b'{"ready":' + ready + b"}")

    assert response.status_code in {400, 413}
    assert message in response.json["error"]
    assert client.get("/v2/health/live").json == {"live": True}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/repository/models/digits/load", 403),
        ("/v2/repository/models/digits/unload", 403),
        ("/v2/repository/models/nobody/load", 404),
        ("/v2/repository/models/nobody/unload", 404),
    ],
)
def test_models_are_neither_loaded_nor_unloaded_by_request(client, path, status):
    response = client.post(path, json={"parameters": {"config": "{}", "file:1/model": "YQ=="}})

    assert (response.status_code, list(response.json)) == (status, ["error"])
    assert client.get("/v2/models/digits/ready").json["ready"] is True


@pytest.mark.parametrize(
    "path",
    ["systemsharedmemory/status", "cudasharedmemory/status", "trace/setting", "logging"],
)
def test_extensions_that_are_not_named_are_unknown(client, path):
    response = client.get(f"/v2/{path}")

    assert (response.status_code, list(response.json)) == (404, ["error"])
    assert not {"system_shared_memory", "cuda_shared_memory", "trace", "logging"} & set(
        client.get("/v2").json["extensions"]
    )
