"""TensorFlow Serving's REST API, case by case: paths, rows, columns, base64, examples.

Rules: those that its handler and its JSON parser hold in their own tests. Paths have a model, then
a version or a label, never both; `instances` are rows of one form and one size, `inputs` columns of
one length; bytes are `{"b64": …}`; `signature_name` is a text. The id of a case is the rule.
"""

import base64

import numpy as np
import pytest

from overnight.store.objects.keys import number_of
from tests.support.serving.clients import EXPECTED, IMAGES, PREDICT, VERSION

CLASSIFY = "/v1/models/digits:classify"
ROWS = IMAGES.tolist()
ONE = ROWS[0]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/foo", 404),
        ("POST", "/v1/foo", 404),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/models/debug/digits", 404),
        ("GET", "/v1/models/digits:predict", 405),
        ("GET", "/v1/models/digits:classify", 405),
        ("POST", "/v1/models/digits/metadata", 405),
        ("GET", "/v1/models/digits/versions", 404),
        ("GET", "/v1/models/digits/version/50", 404),
        ("GET", "/v1/models/digits/version/50:predict", 404),
        ("POST", "/v1/models/digits/version/50:predict", 404),
        ("POST", "/v1/models/digits/label/champion:predict", 404),
        ("POST", "/v1/models/digits/versions/50/labels/champion:predict", 404),
        ("POST", "/v1/models/digits/labels/champion/versions/50:predict", 404),
        ("POST", "/v1/models/digits/versions/HELLO:predict", 404),
        ("POST", "/v1/models/digits/versions/champion:predict", 404),
        ("POST", f"/v1/models/digits/versions/{2**64 - 1}:predict", 404),
        ("POST", "/v1/models/digits/versions/99:predict", 404),
        ("POST", "/v1/models/digits/versions/99:classify", 404),
        ("POST", "/v1/models/digits/labels/latest:predict", 404),
        ("POST", "/v1/models/digits/labels/latest:classify", 404),
        ("POST", "/v1/models/digits99:predict", 404),
        ("POST", "/v1/models/:predict", 404),
        ("POST", "/v1/models/digits:", 404),
        ("POST", "/v1/models/digits:Predict", 404),
        ("POST", "/v1/models/digits:predict:predict", 404),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/v1/models/nobody/metadata", 404),
        ("GET", "/v1/models/digits/labels/latest", 404),
        ("GET", "/v1/models/digits/labels/latest/metadata", 404),
        ("GET", "/v1/models/digits/versions/99/metadata", 404),
    ],
)
def test_other_paths_and_methods_are_refused_with_an_error(client, method, path, status):
    response = client.open(
        path, method=method, json={"instances": ROWS} if method == "POST" else None
    )

    assert (response.status_code, list(response.json)) == (status, ["error"])
    assert response.mimetype == "application/json"


@pytest.mark.parametrize("way", ["", f"/versions/{number_of(VERSION)}", "/labels/champion"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"instances": ROWS}, "predictions", id="rows"),
        pytest.param(
            {"instances": [{"image": row} for row in ROWS]}, "predictions", id="named rows"
        ),
        pytest.param({"inputs": ROWS}, "outputs", id="a column"),
        pytest.param({"inputs": {"image": ROWS}}, "outputs", id="a named column"),
        pytest.param({"signature_name": "", "instances": ROWS}, "predictions", id="no signature"),
        pytest.param({"instances": ROWS, "nested": [[[]]]}, "predictions", id="other fields"),
    ],
)
def test_an_answer_has_the_form_of_its_request(client, body, field, way):
    response = client.post(f"/v1/models/digits{way}:predict", json=body)

    assert list(response.json) == [field]
    assert np.allclose(response.json[field], EXPECTED, atol=1e-6)
    assert response.content_type == "application/json"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "either `instances` or `inputs`", id="one of both is there"),
        pytest.param({"instances": ROWS, "inputs": ROWS}, "found both", id="and only one"),
        pytest.param({"instances": []}, "instances: expected", id="there is a row"),
        pytest.param({"instances": None}, "found null", id="rows are not null"),
        pytest.param({"instances": 1}, "instances: expected a list", id="rows are a list"),
        pytest.param({"instances": {}}, "found an object", id="rows are no object"),
        pytest.param({"instances": ["x", "y"]}, "found the text 'x'", id="numbers are no texts"),
        pytest.param({"instances": [1.0]}, "instances[0]", id="a row is nested"),
        pytest.param({"instances": [ONE, ONE[:27]]}, "instances[1]: expected", id="of one size"),
        pytest.param({"instances": [ONE, [ONE]]}, "instances[1]: expected", id="of one depth"),
        pytest.param({"instances": [ONE, 1]}, "instances[1]: expected", id="a row is no number"),
        pytest.param(
            {"instances": [{"image": ONE}, ONE]}, "instances[1]: expected", id="named, as the first"
        ),
        pytest.param(
            {"instances": [ONE, {"image": ONE}]}, "instances[1]: expected", id="bare, as the first"
        ),
        pytest.param({"instances": [{"photo": ONE}]}, "['image']", id="by the declared name"),
        pytest.param({"instances": [{}]}, "['image']", id="with every input"),
        pytest.param({"inputs": []}, "inputs", id="a column has a row"),
        pytest.param({"inputs": {"photo": ROWS}}, "['image']", id="a column of a declared name"),
        pytest.param({"inputs": {"image": 1}}, "inputs.image: expected", id="a column is a list"),
        pytest.param(
            {"instances": ROWS, "signature_name": 100}, "found 100", id="a name is a text"
        ),
        pytest.param(
            {"instances": ROWS, "signature_name": None}, "found null", id="a name is not null"
        ),
        pytest.param(
            {"instances": ROWS, "signature_name": ["serving_default"]},
            "signature_name: expected serving_default",
            id="a name is no list",
        ),
        pytest.param(
            {"instances": ROWS, "signature_name": "regress"},
            "signature_name: expected serving_default",
            id="a signature is known",
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_by_its_field(client, body, message):
    response = client.post(PREDICT, json=body)

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert message in response.json["error"]


ROW = {"title": "red", "price": 4.0, "shop": "north", "clicks": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"price": 4}, id="whole numbers are floats"),
        pytest.param({"price": 4.000000000000001}, id="digits beyond the type are rounded"),
        pytest.param({"title": {"b64": base64.b64encode(b"red").decode()}}, id="texts as base64"),
        pytest.param({"weight": 3.0}, id="an optional input may be there"),
    ],
)
def test_values_that_mean_the_same_are_read_as_the_same(shop, change):
    expected = shop.post(PREDICT, json={"instances": [ROW]}).json

    response = shop.post(PREDICT, json={"instances": [ROW | change]})

    assert response.status_code == 200
    assert response.json == expected


def test_a_float_below_the_least_of_its_type_is_zero(shop):
    zero, tiny = (
        shop.post(PREDICT, json={"instances": [ROW | {"price": price}]}) for price in (0, 1e-60)
    )

    assert (tiny.status_code, tiny.json) == (200, zero.json)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"price": 1e40}, "found inf", id="a float beyond its type is no number"),
        pytest.param({"price": "4"}, "price[0]: expected FP32 values", id="a float is no text"),
        pytest.param({"price": True}, "found a boolean", id="a float is no flag"),
        pytest.param({"price": [4.0]}, "price[0]: expected a number", id="a value is no list"),
        pytest.param({"price": {}}, "price[0]: expected a number", id="a value is no object"),
        pytest.param({"title": None}, "title[0]: expected a text", id="a text is not null"),
        pytest.param({"title": 1}, "title[0]: expected a text", id="a text is no number"),
        pytest.param({"title": {"b64": "%%"}}, "expected base64", id="base64 has its letters"),
        pytest.param({"title": {"b64": 1}}, "expected base64", id="base64 is a text"),
        pytest.param({"title": {"b64": "cmVk", "x": 1}}, "expected a text", id="b64 stands alone"),
        pytest.param({"title": {"b64": "/w=="}}, "title[0]", id="a text is UTF-8"),
        pytest.param({"clicks": [1] * 7}, "at most 6", id="a list has a most"),
        pytest.param({"clicks": [[1]]}, "clicks[0][0]", id="a list has its depth"),
        pytest.param({"other": 1}, "'other'", id="no input is unknown"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_place(shop, change, message):
    response = shop.post(PREDICT, json={"instances": [ROW | change]})

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert response.json["error"].startswith("instances")
    assert message in response.json["error"]


COLUMNS = {name: [value, value] for name, value in ROW.items()}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param(COLUMNS | {"price": [4.0]}, "same number of rows", id="of one length"),
        pytest.param(COLUMNS | {"price": 4.0}, "inputs.price: expected", id="a column is a list"),
        pytest.param(COLUMNS | {"price": []}, "inputs.price: expected", id="a column has a row"),
        pytest.param(COLUMNS | {"price": ["4", 1]}, "inputs.price[0]", id="of its type"),
        pytest.param({"price": [4.0]}, "['clicks', 'price', 'shop', 'title']", id="of every input"),
        pytest.param(COLUMNS | {"other": [1, 2]}, "'other'", id="of no other"),
        pytest.param([1], "found no object", id="of several inputs by name"),
    ],
)
def test_columns_that_break_a_rule_are_refused(shop, columns, message):
    response = shop.post(PREDICT, json={"inputs": columns})

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert message in response.json["error"]


def test_rows_and_columns_are_answered_alike(shop):
    rows = shop.post(PREDICT, json={"instances": [ROW, ROW]}).json["predictions"]

    columns = shop.post(PREDICT, json={"inputs": COLUMNS}).json["outputs"]

    assert columns == rows


PIXELS = IMAGES[0].ravel().tolist()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({"instances": ROWS}, "examples: expected", id="examples are required"),
        pytest.param({"context": [{}]}, "examples: expected", id="also with a context"),
        pytest.param({"examples": {"image": ONE}}, "found an object", id="examples are a list"),
        pytest.param({"examples": [[{"image": ONE}]]}, "examples: expected", id="not nested"),
        pytest.param({"examples": [None]}, "examples: expected", id="of objects"),
        pytest.param({"examples": [{"image": [None] * 784}]}, "found null", id="without null"),
        pytest.param({"examples": [{"image": [{}] * 784}]}, "found an object", id="or objects"),
        pytest.param(
            {"examples": [{"image": [[1], *PIXELS[1:]]}]}, "expected a list of 28", id="not mixed"
        ),
        pytest.param(
            {"examples": [{"image": [2**64 - 13, *PIXELS[1:]]}]}, "0 to 255", id="within the type"
        ),
        pytest.param(
            {"examples": [{"image": PIXELS}], "signature_name": ["x"]},
            "signature_name: expected",
            id="signature is a text",
        ),
    ],
)
def test_examples_that_break_a_rule_are_refused_by_that_name(client, body, message):
    response = client.post(CLASSIFY, json=body)

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert message in response.json["error"]
    assert "instances" not in response.json["error"]


def test_a_feature_of_an_example_goes_before_that_of_the_context(client):
    body = {"examples": [{"image": ONE}], "context": {"image": ROWS[1]}}

    (pairs,) = client.post(CLASSIFY, json=body).json["results"]

    assert np.allclose([score for _, score in pairs], EXPECTED[0], atol=1e-6)
