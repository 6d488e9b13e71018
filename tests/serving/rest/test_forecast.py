"""What a forecast is asked over HTTP is what it learned: encoding, order, leaks, unknown words.

Each of these was wrong in some published serving application: an encoder fitted anew on each
request, so that every product is answered alike; a column of the very day that is asked for.
"""

import json
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
import tritonclient.http as triton

from tests.support.serving import forecasts
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]
INFER = f"/v2/models/{forecasts.MODEL}/infer"
PREDICT = f"/v1/models/{forecasts.MODEL}:predict"
ROWS = forecasts.rows(60)
SHOPS = [shop for shop in forecasts.SHOPS if shop != "other"]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("forecast")
    folder = forecasts.folder(place / "bundle")
    with run_serving("--rehearse", str(folder), place=place) as actual:
        until(actual.is_ready, what="the forecast answers")
        yield actual


def send(serving: Serving, body: object, path: str = INFER) -> dict:
    status, _, answer = serving.request("POST", path, body)
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def refused(serving: Serving, body: object, path: str = INFER) -> str:
    status, headers, answer = serving.request("POST", path, body)
    assert status == 400, answer
    assert isinstance(answer, dict)
    assert "json" in headers["content-type"]
    return str(answer["error"])


def single_row(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """The first row, changed."""
    return {name: values[:1] for name, values in ROWS.items()} | changes


def by_instance(request: forecasts.Rows) -> list[dict]:
    """Rows as `instances` of TensorFlow Serving, with texts for vocabularies and dates."""
    n = len(request["day"])
    return [
        {
            spec.name: forecasts.spelled(spec, request[spec.name][row])
            if spec.accepts_text
            else request[spec.name][row].tolist()
            for spec in forecasts.TENSORS.inputs
        }
        for row in range(n)
    ]


@pytest.mark.parametrize("in_words", [True, False], ids=["words", "numbers"])
def test_rows_get_the_predictions_of_training_alone_and_in_a_batch(serving, in_words):
    together = forecasts.answered(send(serving, forecasts.request(ROWS, words=in_words)))

    expected = forecasts.expected(ROWS)
    np.testing.assert_allclose(together["units"], expected["units"], rtol=1e-5)
    np.testing.assert_array_equal(together["known"], expected["known"])
    for row in range(0, 60, 7):
        single = {name: values[row : row + 1] for name, values in ROWS.items()}
        alone = forecasts.answered(send(serving, forecasts.request(single, words=in_words)))
        np.testing.assert_allclose(alone["units"], expected["units"][row : row + 1], rtol=1e-5)


def test_the_encoding_of_a_shop_does_not_depend_on_other_rows(serving):
    singles = []
    for shop in SHOPS:
        body = forecasts.request(single_row(), shop={"data": [shop]})
        singles.append(forecasts.answered(send(serving, body))["units"][0])
    repeated = {
        name: np.repeat(values, len(SHOPS), axis=0) for name, values in single_row().items()
    }
    body = forecasts.request(repeated, shop={"data": SHOPS})
    together = forecasts.answered(send(serving, body))["units"]

    assert len({float(units[1]) for units in singles}) == len(SHOPS)
    np.testing.assert_array_equal(together, singles)


def test_the_order_of_rows_changes_no_prediction(serving):
    order = np.random.default_rng(4).permutation(len(ROWS["day"]))
    shuffled = {name: values[order] for name, values in ROWS.items()}

    plain = forecasts.answered(send(serving, forecasts.request(ROWS)))
    moved = forecasts.answered(send(serving, forecasts.request(shuffled)))

    np.testing.assert_array_equal(moved["units"], plain["units"][order])


def test_both_protocols_accept_texts_and_agree(serving):
    actual = send(serving, {"instances": by_instance(ROWS)}, PREDICT)

    assert actual.keys() == {"predictions"}
    expected = forecasts.expected(ROWS)["units"]
    np.testing.assert_allclose(actual["predictions"], expected, rtol=1e-5)


def test_a_value_out_of_vocabulary_is_predicted_as_the_fallback_and_listed(serving):
    request = {name: np.repeat(values, 3, axis=0) for name, values in single_row().items()}
    shops, kinds = ["north", "atlantis, shop[0]", "4711"], ["bread", "bread", "caviar"]
    body = forecasts.request(request, shop={"data": shops}, kind={"data": kinds})

    answer = send(serving, body)
    instances = by_instance(request)
    for row, (shop, kind) in enumerate(zip(shops, kinds, strict=True)):
        instances[row] |= {"shop": shop, "kind": kind}
    rows = send(serving, {"instances": instances}, PREDICT)

    encoded = request | {
        "shop": np.array([1, 0, 3], np.int32),
        "kind": np.array([1, 1, 0], np.int32),
    }
    expected = forecasts.expected(encoded)
    actual = forecasts.answered(answer)
    np.testing.assert_allclose(actual["units"], expected["units"], rtol=1e-5)
    assert actual["known"].tolist() == [[1, 1], [0, 1], [1, 0]]
    # Digits, commas and brackets in a value must survive: clients do not parse the text.
    listed = [
        {"tensor": "shop", "row": 1, "value": "atlantis, shop[0]"},
        {"tensor": "kind", "row": 2, "value": "caviar"},
    ]
    # A parameter of v2 is a string, a number or a boolean, never a list.
    assert json.loads(answer["parameters"]["out_of_vocabulary"]) == listed
    assert answer["parameters"]["out_of_vocabulary_count"] == 2
    assert (rows["out_of_vocabulary"], rows["out_of_vocabulary_count"]) == (listed, 2)
    np.testing.assert_allclose(rows["predictions"], expected["units"], rtol=1e-5)


def test_a_column_known_only_after_the_day_is_refused_by_name(serving):
    body = forecasts.request(single_row())
    leaked = {"name": "sold_that_day", "shape": [1], "datatype": "FP32", "data": [70.0]}
    (instance,) = by_instance(single_row())

    error = refused(serving, body | {"inputs": [*body["inputs"], leaked]})
    rows = refused(serving, {"instances": [instance | {"sold_that_day": 70.0}]}, PREDICT)

    assert "'sold_that_day', which the model does not take" in error
    assert "sold_that_day" in rows


def test_a_missing_field_is_named(serving):
    body = forecasts.request(single_row())
    without = [tensor for tensor in body["inputs"] if tensor["name"] != "lead"]
    (instance,) = by_instance(single_row())
    del instance["lead"]

    assert "no 'lead'" in refused(serving, body | {"inputs": without})
    assert "lead" in refused(serving, {"instances": [instance]}, PREDICT)


@pytest.mark.parametrize("day", ["2025-12-31", "2027-01-01", "0001-01-01"])
def test_a_day_out_of_range_is_shown_as_a_date_with_the_range(serving, day):
    body = forecasts.request(single_row(), day={"data": [day]})
    number = forecasts.request(single_row(day=np.array([forecasts.days(date.fromisoformat(day))])))

    for error in (refused(serving, body), refused(serving, number)):
        assert "expected a day from 2026-01-01 to 2026-12-31" in error
        assert f"found {day}" in error


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("day", "tomorrow", "a date such as"),
        ("day", "2026-02-30", "a date such as"),
        ("day", "20261122", "a date such as"),
        ("day", None, "null"),
        ("day", 20_000, "expected a text"),
        ("shop", 1, "expected a text"),
        ("shop", ["north"], "a list of 1"),
        ("shop", {}, "an object"),
        ("shop", True, "a boolean"),
        ("lead", "1", "INT32 values"),
        ("lead", 8, "at most 7"),
        ("sold", None, "FP32 values"),
    ],
)
def test_an_invalid_value_is_named_with_its_field(serving, name, value, error):
    request = single_row()
    data = [value, *[0.0] * (forecasts.DAYS - 1)] if name == "sold" else [value]

    actual = refused(serving, forecasts.request(request, **{name: {"data": data}}))

    assert error in actual
    assert ".data" in actual


def test_texts_may_be_sent_as_raw_tensors(serving):
    request = forecasts.request(ROWS)
    inputs = []
    for spec, tensor in zip(forecasts.TENSORS.inputs, request["inputs"], strict=True):
        given = triton.InferInput(spec.name, tensor["shape"], tensor["datatype"])
        as_numpy = np.array(tensor["data"], np.object_) if spec.accepts_text else ROWS[spec.name]
        given.set_data_from_numpy(as_numpy, binary_data=True)
        inputs.append(given)

    with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
        actual = client.infer(forecasts.MODEL, inputs).as_numpy("units")

    np.testing.assert_allclose(actual, forecasts.expected(ROWS)["units"], rtol=1e-5)


def test_golden_examples_can_be_sent_as_a_request(serving):
    status, headers, examples = serving.request("GET", f"/api/models/{forecasts.MODEL}/examples")

    assert status == 200
    assert headers["cache-control"] == "no-store"
    answer = forecasts.answered(send(serving, examples))
    np.testing.assert_allclose(
        answer["units"], forecasts.expected(forecasts.rows())["units"], rtol=1e-5
    )
