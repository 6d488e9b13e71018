"""What clients of other servers send as values: columns, NaN, plain texts, and no flags as numbers.

Rules: the types of the Open Inference Protocol v2 (`id` is a string, UINT8 a number); `[n, 1]` as
MLServer's NumpyCodec and PandasCodec send single values; NaN and Infinity as TensorFlow Serving's
parser reads them; any content type that browsers and curl give to JSON.
"""

import json

import numpy as np
import pytest

from tests.support.serving.clients import EXPECTED, IMAGES, INFER, PREDICT, changed, v2


@pytest.mark.parametrize("sent", [42, 4.2, True, ["mine"], {"id": "mine"}])
def test_an_id_is_a_text(client, sent):
    response = client.post(INFER, json=v2() | {"id": sent})

    assert response.status_code == 400
    assert response.json["error"].startswith("id: expected a text, found ")


@pytest.mark.parametrize("sent", ["", "42", "a b ü"])
def test_an_id_comes_back(client, sent):
    assert client.post(INFER, json=v2() | {"id": sent}).json["id"] == sent


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("parameters", [{}, {"parameters": {"binary_data_output": True}}])
def test_true_is_no_uint8(client, flag, parameters):
    flat = v2(IMAGES[:1], data=changed(0, flag)) | parameters
    nested = v2(
        IMAGES[:1], data=np.reshape(np.array(changed(0, flag), object), (1, 28, 28)).tolist()
    )

    for body, element in ((flat, "[0]"), (nested | parameters, "[0][0][0]")):
        response = client.post(INFER, json=body)
        assert response.status_code == 400
        expected = f"inputs[0].data{element}: expected UINT8 values, found a boolean"
        assert response.json["error"] == expected


@pytest.mark.parametrize("flag", [True, False])
def test_true_is_no_uint8_in_v1_either(client, flag):
    rows = np.reshape(np.array(changed(0, flag), object), (1, 28, 28)).tolist()

    for body in ({"instances": rows}, {"instances": [{"image": rows[0]}]}, {"inputs": rows}):
        response = client.post(PREDICT, json=body)
        assert response.status_code == 400
        assert "expected UINT8 values, found a boolean" in response.json["error"]


def _columns(axis: list[int], *, nested: bool) -> dict:
    """Two rows of the shop; single values as [2], or as [2, 1]."""

    def tensor(name: str, datatype: str, values: list, content_type: str) -> dict:
        data = [[value] for value in values] if nested else values
        return {
            "name": name,
            "datatype": datatype,
            "shape": [2, *axis],
            "data": data,
            "parameters": {"content_type": content_type},
        }

    return {
        "parameters": {"content_type": "pd"},
        "inputs": [
            tensor("title", "BYTES", ["red blau", "green"], "str"),
            tensor("price", "FP32", [4.0, None], "np"),
            tensor("shop", "BYTES", ["north", "west"], "str"),
            {"name": "clicks", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]},
        ],
        "outputs": [{"name": "sent"}],
    }


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_a_column_of_single_values_is_read_as_single_values(shop, nested):
    expected = shop.post(INFER, json=_columns([], nested=False)).json["outputs"]

    response = shop.post(INFER, json=_columns([1], nested=nested))

    assert response.status_code == 200
    assert response.json["outputs"] == expected


def test_a_raw_column_of_single_values_is_read_as_single_values(shop):
    body = _columns([1], nested=False)
    raw = np.float32([4, 5]).tobytes()
    price = {"name": "price", "datatype": "FP32", "shape": [2, 1]}
    body["inputs"][1] = price | {"parameters": {"binary_data_size": len(raw)}}
    text = json.dumps(body).encode()

    response = shop.post(
        INFER, data=text + raw, headers={"Inference-Header-Content-Length": str(len(text))}
    )

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2, 1], [[1, 2]]), ([2, 1], [[1], [2, 3]]), ([2, 2], [1, 2, 3, 4]), ([2, 1, 1], [[[1]]])],
)
def test_other_shapes_of_single_values_are_refused(shop, shape, data):
    body = _columns([], nested=False)
    body["inputs"][1] = {"name": "price", "datatype": "FP32", "shape": shape, "data": data}

    response = shop.post(INFER, json=body)

    assert response.status_code == 400
    assert "inputs[1]" in response.json["error"]


ROW = {"title": "red", "price": 4.0, "shop": "north", "clicks": [1, 2]}


def _nan(row: dict) -> bytes:
    return json.dumps({"instances": [row]}).encode()


def test_v1_reads_nan_where_a_float_may_be_missing(shop):
    missing = shop.post(PREDICT, json={"instances": [ROW | {"price": None}]}).json

    response = shop.post(PREDICT, data=_nan(ROW | {"price": float("nan")}))

    assert response.status_code == 200
    assert response.json == missing


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"price": float("inf")}, "instances.price[0]: expected finite numbers, found inf"),
        ({"price": float("-inf")}, "instances.price[0]: expected finite numbers, found -inf"),
        ({"weight": float("nan")}, "instances.weight[0]: expected finite numbers, found nan"),
        ({"clicks": [float("nan")]}, "instances.clicks[0][0]: expected finite numbers, found nan"),
        ({"shop": float("inf")}, "instances.shop[0]: expected whole numbers"),
        ({"title": float("nan")}, "instances.title[0]: expected a text, found nan"),
    ],
)
def test_v1_refuses_what_no_value_of_the_tensor_may_be(shop, row, message):
    response = shop.post(PREDICT, data=_nan(ROW | row))

    assert response.status_code == 400
    assert message in response.json["error"]


def test_v1_refuses_nan_for_whole_numbers(client):
    rows = IMAGES[:1].astype(float).tolist()
    rows[0][0][0] = float("nan")
    body = {"instances": rows}

    response = client.post(PREDICT, data=json.dumps(body))

    assert response.status_code == 400
    assert (
        "instances[0][0][0]: expected whole numbers of 0 to 255, found nan"
        in (response.json["error"])
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [NaN}',
        b'{"instances": [NaN, "\\ud800"]}',
        b'{"instances": [NaN, 123456789012345678901234567890]}',
        b'{"instances": ' + b"[" * 100_000 + b"NaN",
        b'{"instances": [nan]}',
    ],
    ids=["half", "lone surrogate", "beyond 64 bits", "too deep", "lower case"],
)
def test_v1_reads_nothing_else_that_json_has_not(client, body):
    response = client.post(PREDICT, data=body)

    assert response.status_code == 400
    assert response.json["error"].startswith("the body: expected JSON")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_v2_has_no_nan_as_its_json_is_json(client, word):
    response = client.post(INFER, data=b'{"inputs": [%s]}' % word.encode())

    assert response.status_code == 400
    assert "(JSON has no NaN or Infinity)" in response.json["error"]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        None,
        "text/json",
    ],
)
@pytest.mark.parametrize(
    ("path", "body"), [(INFER, v2()), (PREDICT, {"instances": IMAGES.tolist()})], ids=["v2", "v1"]
)
def test_json_is_read_under_every_type_that_clients_give_it(client, kind, path, body):
    response = client.post(path, data=json.dumps(body), content_type=kind)

    assert response.status_code == 200
    actual = response.json.get("predictions") or response.json["outputs"][0]["data"]
    assert np.allclose(np.ravel(actual), EXPECTED.ravel(), atol=1e-6)


@pytest.mark.parametrize(
    "kind", ["text/html", "text/csv", "application/xml", "multipart/form-data"]
)
def test_other_types_are_refused_with_those_that_are_read(client, kind):
    response = client.post(INFER, data=json.dumps(v2()), content_type=kind)

    assert response.status_code == 415
    assert "application/json" in response.json["error"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parameters": 5}, "parameters"),
        ({"parameters": []}, "parameters"),
        ({"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output"),
        ({"parameters": {"binary_data_output": None}}, "parameters.binary_data_output"),
        ({"outputs": [{"name": "seen", "parameters": "x"}]}, "outputs[0].parameters"),
        (
            {"outputs": [{"name": "seen", "parameters": {"binary_data": 0}}]},
            "parameters.binary_data",
        ),
    ],
)
def test_parameters_have_the_types_of_the_extension(client, change, field):
    response = client.post(INFER, json=v2() | change)

    assert response.status_code == 400
    assert response.json["error"].startswith(f"{field}: expected ")


@pytest.mark.parametrize("parameters", [5, [], {"binary_data_size": "5"}, {"binary_data_size": -1}])
def test_parameters_of_inputs_have_the_types_of_the_extension(client, parameters):
    response = client.post(INFER, json=v2(parameters=parameters))

    assert response.status_code == 400
    assert response.json["error"].startswith("inputs[0].parameters")


@pytest.mark.parametrize("parameters", [None, {}, {"content_type": "np"}, {"binary_data_size": 9}])
def test_other_parameters_are_left_to_other_servers(client, parameters):
    body = v2(parameters=parameters) | {"parameters": parameters}

    assert client.post(INFER, json=body).status_code == 200
