"""Texts, gaps, categories, lists and defaults in requests of every protocol, and their errors."""

import base64
import io
import json
import struct

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from overnight.serving.inference.limits import Limits
from overnight.store.schema import Schema
from tests.support.serving import published
from tests.support.serving.clients import INFER, PREDICT, application_of

ROW = {"title": "red blau", "price": 4.0, "shop": "north", "clicks": [1.0, 2.0, 3.0], "weight": 5.0}
# The numbers of the words, price, missing, shop, clicks, the length they are padded to, weight.
SENT = [2 + 4, 4.0, 0, 1, 6.0, 6, 5.0]
LIMITS = Limits(batch_rows=8, text_bytes=1_000)


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return application_of(published.TENSORS, files=published.files(), limits=LIMITS)


@pytest.fixture(scope="module")
def photos() -> FlaskClient:
    limits = Limits(batch_rows=40, image_pixels=10_000)
    return application_of(published.PHOTO_TENSORS, files=published.photo_files(), limits=limits)


def predicted(response) -> list:
    assert response.status_code == 200, response.data
    return response.json["predictions" if "predictions" in response.json else "outputs"]


def inferred(response, output: int = 0) -> np.ndarray:
    assert response.status_code == 200, response.data
    tensor = response.json["outputs"][output]
    return np.array(tensor["data"]).reshape(tensor["shape"])


def tensors(rows: list[dict], **changes: dict) -> dict:
    """A v2 request of the rows."""
    types = {"title": "BYTES", "price": "FP32", "shop": "BYTES", "clicks": "FP32", "weight": "FP32"}
    inputs = []
    for name in rows[0]:
        shape = [len(rows), -1] if name == "clicks" else [len(rows)]
        data = [row[name] for row in rows]
        tensor = {"name": name, "datatype": types[name], "shape": shape, "data": data}
        inputs.append(tensor | changes.get(name, {}))
    return {"inputs": inputs}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, SENT),
        ({"title": "RED green"}, [1 + 3, *SENT[1:]]),
        ({"title": ""}, [0, *SENT[1:]]),
        ({"price": None}, [6, 7.5, 1, 1, 6, 6, 5]),
        ({"shop": None}, [6, 4, 0, 2, 6, 6, 5]),
        ({"shop": 2}, [6, 4, 0, 2, 6, 6, 5]),
        ({"clicks": [1.5]}, [6, 4, 0, 1, 1.5, 2, 5]),
        ({"clicks": []}, [6, 4, 0, 1, 0, 2, 5]),
        ({"clicks": [1, 1, 1, 1, 1, 1]}, [6, 4, 0, 1, 6, 6, 5]),
        ({"title": {"b64": base64.b64encode(b"blau").decode()}}, [4, *SENT[1:]]),
    ],
)
def test_v1_takes_published_values_by_row_and_by_column(client, changes, expected):
    row = ROW | changes

    by_row = client.post(PREDICT, json={"instances": [row]})
    by_column = client.post(PREDICT, json={"inputs": {name: [row[name]] for name in row}})

    assert predicted(by_row) == [expected]
    assert predicted(by_column) == [expected]


def test_v1_rows_may_leave_out_what_has_a_default(client):
    without = {name: value for name, value in ROW.items() if name != "weight"}

    assert predicted(client.post(PREDICT, json={"instances": [without]})) == [[*SENT[:6], 3]]
    # each row by itself
    both = predicted(client.post(PREDICT, json={"instances": [without, ROW]}))
    assert [row[-1] for row in both] == [3, 5]
    columns = {name: [value] for name, value in without.items()}
    assert predicted(client.post(PREDICT, json={"inputs": columns})) == [[*SENT[:6], 3]]


def test_what_is_out_of_vocabulary_is_listed_beside_the_answer(client):
    response = client.post(PREDICT, json={"instances": [ROW, ROW | {"shop": "west"}]})

    assert predicted(response)[1][3] == 0
    assert response.json["out_of_vocabulary"] == [{"tensor": "shop", "row": 1, "value": "west"}]


def test_v2_takes_published_values(client):
    rows = [ROW, ROW | {"price": None, "shop": None, "clicks": [1.0]}]

    assert inferred(client.post(INFER, json=tensors(rows))).tolist() == [
        SENT,
        [6, 7.5, 1, 2, 1, 6, 5],
    ]
    without = [{name: value for name, value in ROW.items() if name != "weight"}]
    assert inferred(client.post(INFER, json=tensors(without))).tolist() == [[*SENT[:6], 3]]
    # Lists of one length need not be nested.
    flat = {"clicks": {"shape": [1, 3], "data": [1.0, 2.0, 3.0]}}
    assert inferred(client.post(INFER, json=tensors([ROW], **flat))).tolist() == [SENT]
    numbered = {"shop": {"datatype": "INT32", "data": [1]}}
    assert inferred(client.post(INFER, json=tensors([ROW], **numbered))).tolist() == [SENT]


def test_v2_takes_raw_texts_and_numbers(client):
    def raw_text(*values: str) -> bytes:
        return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)

    parts = {
        "title": ("BYTES", [2], raw_text("red blau", "green")),
        "price": ("FP32", [2], np.array([4, np.nan], "<f4").tobytes()),
        "shop": ("BYTES", [2], raw_text("north", "south")),
        "clicks": ("FP32", [2, 1], np.array([6, 1], "<f4").tobytes()),
    }
    inputs = [
        {"name": n, "datatype": t, "shape": s, "parameters": {"binary_data_size": len(raw)}}
        for n, (t, s, raw) in parts.items()
    ]
    text = json.dumps({"inputs": inputs}).encode()
    response = client.post(
        INFER,
        data=text + b"".join(raw for _, _, raw in parts.values()),
        headers={"Inference-Header-Content-Length": str(len(text))},
    )

    assert inferred(response).tolist() == [[6, 4, 0, 1, 6, 2, 3], [3, 7.5, 1, 2, 1, 2, 3]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": 3}, "instances.title[1]: expected a text, found 3"),
        ({"title": None}, "instances.title[1]: expected a text, found null"),
        ({"title": ["red"]}, "instances.title[1]: expected a text, found a list"),
        ({"title": {"b64": "!"}}, "instances.title[1]: expected base64"),
        ({"title": {"b64": "/w=="}}, "instances.title[1]: expected a text in UTF-8"),
        ({"price": "4"}, "instances.price[1]: expected FP32 values, found the text '4'"),
        ({"price": 101}, "instances.price[1]: expected numbers of at most 100, found 101"),
        ({"price": True}, "instances.price[1]: expected FP32 values, found a boolean"),
        ({"weight": None}, "instances.weight[1]: expected FP32 values, found null"),
        ({"shop": 3}, "instances.shop[1]: expected numbers of at most 2, found 3"),
        ({"shop": 0.5}, "instances.shop[1]: expected whole numbers"),
        ({"clicks": [1] * 7}, "clicks[1]: expected a list of at most 6, found a list of 7"),
        ({"clicks": None}, "instances.clicks[1]: expected a list of at most 6, found null"),
        ({"clicks": [1, None]}, "instances.clicks[1][1]: expected FP32 values, found null"),
        ({"clicks": [1, "x"]}, "clicks[1][1]: expected FP32 values, found the text 'x'"),
        ({"wieght": 1}, "expected ['clicks', 'price', 'shop', 'title'] and optionally"),
    ],
)  # fmt: skip
def test_errors_name_the_input_the_row_and_what_was_expected(client, changes, message):
    response = client.post(PREDICT, json={"instances": [ROW, ROW | changes]})

    assert response.status_code == 400, response.data
    assert message in response.json["error"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": {"datatype": "INT32"}}, "inputs[0].datatype: expected BYTES"),
        ({"title": {"data": [1]}}, "inputs[0].data[0]: expected a text, found 1"),
        ({"title": {"data": ["a", "b"]}}, "inputs[0].data: expected 1 texts, as `shape` says"),
        ({"price": {"data": ["x"]}}, "inputs[1].data[0]: expected FP32 values"),
        ({"shop": {"data": [1]}}, "inputs[2].data[0]: expected a text, found 1"),
        ({"clicks": {"shape": [1, 7]}}, "inputs[3].shape: expected [-1, -1] with at least one"),
        ({"clicks": {"data": [1.0]}}, "inputs[3].data: expected 1 lists, one a row"),
        ({"clicks": {"data": [[1], [2]]}}, "inputs[3].data: expected 1 rows, as `shape` says"),
        ({"weight": {"data": [None]}}, "inputs[4].data[0]: expected FP32 values, found null"),
    ],
)
def test_errors_of_v2_name_the_input_and_what_was_expected(client, changes, message):
    response = client.post(INFER, json=tensors([ROW], **changes))

    assert response.status_code == 400, response.data
    assert message in response.json["error"]


def test_an_input_without_a_default_is_asked_for(client):
    without = {name: value for name, value in ROW.items() if name not in {"price", "weight"}}

    by_row = client.post(PREDICT, json={"instances": [without]})
    by_name = client.post(INFER, json=tensors([without]))

    assert (by_row.status_code, by_name.status_code) == (400, 400)
    assert "found ['clicks', 'shop', 'title']" in by_row.json["error"]
    assert "found no 'price'" in by_name.json["error"]


def test_the_bytes_of_all_texts_of_a_request_are_limited(client):
    fits = [ROW | {"title": "ä" * 250}, ROW | {"title": "x" * 500}]

    assert client.post(PREDICT, json={"instances": fits}).status_code == 200
    longer = [*fits, ROW | {"title": "y"}]
    for response in (
        client.post(PREDICT, json={"instances": longer}),
        client.post(INFER, json=tensors(longer)),
    ):
        assert response.status_code == 413
        assert "at most 1000 bytes of texts in a request" in response.json["error"]


def test_the_metadata_show_published_inputs(client):
    v2 = client.get("/v2/models/digits").json
    v1 = client.get("/v1/models/digits/metadata").json

    assert v2["inputs"] == [
        {"name": "title", "datatype": "BYTES", "shape": [-1]},
        {"name": "price", "datatype": "FP32", "shape": [-1]},
        {"name": "shop", "datatype": "INT32", "shape": [-1]},
        {"name": "clicks", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "weight", "datatype": "FP32", "shape": [-1]},
    ]
    signature = v1["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["title"]["dtype"] == "DT_STRING"
    assert "price_missing" not in signature["inputs"]


def test_long_batches_are_encoded_as_short_ones():
    many = Limits(batch_rows=64)
    client = application_of(published.TENSORS, files=published.files(), limits=many)
    rows = [ROW | {"title": "red " * (n % 5), "clicks": [1.0] * (n % 3)} for n in range(40)]

    answers = predicted(client.post(PREDICT, json={"instances": rows}))

    assert [row[0] for row in answers] == [2 * min(n % 5, 4) for n in range(40)]
    assert [row[4] for row in answers] == [n % 3 for n in range(40)]


# Pictures within tensors


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (12, 8), kind: str = "PNG"):
    body = io.BytesIO()
    Image.new("RGB", size, colour).save(body, kind, lossless=True)
    return body.getvalue()


def b64(body: bytes) -> str:
    return base64.b64encode(body).decode()


RED, WIDE = picture((200, 10, 0)), picture((0, 0, 255), (24, 8), "WEBP")


def test_pictures_are_rows_in_every_protocol(photos):
    plain = photos.post(INFER, data=RED, content_type="image/png")
    v1 = photos.post(PREDICT, json={"instances": [{"b64": b64(RED)}, {"b64": b64(WIDE)}]})
    named = photos.post(PREDICT, json={"instances": [{"photo": {"b64": b64(RED)}}]})
    column = photos.post(PREDICT, json={"inputs": {"photo": [{"b64": b64(RED)}]}})
    v2 = {"name": "photo", "datatype": "BYTES", "shape": [2], "data": [b64(RED), b64(WIDE)]}
    json_tensor = photos.post(INFER, json={"inputs": [v2]})
    nested = v2 | {"shape": [2, 1], "data": [[b64(RED)], [b64(WIDE)]]}

    # WIDE is half the height when it fits, on white.
    both = [[200, 10, 0], [127.5, 127.5, 255]]
    assert inferred(plain).tolist() == both[:1]
    assert predicted(v1) == both
    assert predicted(named) == predicted(column) == both[:1]
    assert inferred(json_tensor).tolist() == both
    assert inferred(photos.post(INFER, json={"inputs": [nested]})).tolist() == both


def test_pictures_are_raw_values_of_the_binary_extension(photos):
    raw = b"".join(struct.pack("<I", len(body)) + body for body in (RED, WIDE))
    sizes = {"binary_data_size": len(raw)}
    inputs = [{"name": "photo", "datatype": "BYTES", "shape": [2], "parameters": sizes}]
    text = json.dumps({"inputs": inputs, "outputs": [{"name": "embedding"}]}).encode()

    response = photos.post(
        INFER, data=text + raw, headers={"Inference-Header-Content-Length": str(len(text))}
    )

    assert inferred(response).shape == (2, 288)
    assert inferred(response)[0, :3].tolist() == [200, 10, 0]


@pytest.mark.parametrize(
    ("instances", "status", "message"),
    [
        ([{"b64": b64(RED)}, {"b64": "?"}], 400, "instances[1]: expected base64"),
        ([{"b64": b64(RED)}, {"b64": b64(b"GIF89a")}], 400, "instances[1]: expected a PNG, JPEG"),
        ([{"b64": b64(RED)}, 3], 400, 'instances[1]: expected base64, as {"b64": "…"}, found 3'),
        ([{"b64": b64(picture((0,) * 3, (101, 100)))}], 413, "[0]: expected at most 10000"),
        ([{"b64": b64(picture((0,) * 3, (100, 99)))}] * 5, 413, "at most 40000 pixels"),
    ],
)  # fmt: skip
def test_pictures_that_are_none_or_too_large_are_named(photos, instances, status, message):
    response = photos.post(PREDICT, json={"instances": instances})

    assert response.status_code == status, response.data
    assert message in response.json["error"]


def test_a_picture_alone_is_enough_where_all_else_has_a_default():
    from overnight.serving.inference.codecs import v2_image

    assert v2_image.picture_input((published.PHOTO, published.WEIGHT)) is published.PHOTO
    assert Schema(inputs=(published.PHOTO,), outputs=(published.COLOUR,)).inputs
