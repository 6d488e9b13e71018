"""TensorFlow Serving's services, case by case, by the stubs of `tensorflow-serving-api`.

Rules: those that its model server's own tests hold: a version is chosen by number or label, a
signature and outputs by name; a `TensorProto` has its bytes or its values; examples have features
of one kind. The id of a case is the rule.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from flask.testing import FlaskClient

from overnight.store.objects.keys import number_of
from tests.support.serving import bundles
from tests.support.serving.clients import EXPECTED, IMAGES, LIMITS, VERSION
from tests.support.serving.generated import module
from tests.support.serving.grpc_calls import channel_to, refusal

predict_pb2 = module("tensorflow_serving.apis.predict_pb2")
classification_pb2 = module("tensorflow_serving.apis.classification_pb2")
regression_pb2 = module("tensorflow_serving.apis.regression_pb2")
inference_pb2 = module("tensorflow_serving.apis.inference_pb2")
metadata_pb2 = module("tensorflow_serving.apis.get_model_metadata_pb2")
management_pb2 = module("tensorflow_serving.apis.model_management_pb2")
status_pb2 = module("tensorflow_serving.apis.get_model_status_pb2")
prediction = module("tensorflow_serving.apis.prediction_service_pb2_grpc")
model_service = module("tensorflow_serving.apis.model_service_pb2_grpc")

NUMBER = number_of(VERSION)
INVALID, UNKNOWN = "INVALID_ARGUMENT", "NOT_FOUND"
DTYPES = {np.float32: 1, np.float64: 2, np.int32: 3, np.uint8: 4, np.int64: 9, np.bool_: 10}
TEXT = 7


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    return prediction.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> Any:
    return model_service.ModelServiceStub(channel)


@pytest.fixture(scope="module")
def shop_stub(shop: FlaskClient) -> Iterator[Any]:
    with channel_to(shop) as channel:
        yield prediction.PredictionServiceStub(channel)


def put(into: Any, rows: np.ndarray) -> None:
    """An array as a tensor, by its bytes."""
    into.dtype = DTYPES[rows.dtype.type]
    for side in rows.shape:
        into.tensor_shape.dim.add(size=side)
    into.tensor_content = rows.tobytes()


def put_texts(into: Any, *texts: bytes) -> None:
    into.dtype = TEXT
    into.tensor_shape.dim.add(size=len(texts))
    into.string_val.extend(texts)


def request(images: np.ndarray = IMAGES, model: str = "digits") -> Any:
    sent = predict_pb2.PredictRequest()
    sent.model_spec.name = model
    put(sent.inputs["image"], images)
    return sent


def values(images: np.ndarray = IMAGES) -> Any:
    """A request whose tensor has its values one by one."""
    sent = request(images)
    sent.inputs["image"].ClearField("tensor_content")
    sent.inputs["image"].int_val.extend(images.ravel().tolist())
    return sent


def with_(sent: Any, change: Callable[[Any], object]) -> Any:
    change(sent)
    return sent


def read(tensor: Any) -> np.ndarray:
    kinds = {number: kind for kind, number in DTYPES.items()}
    shape = [side.size for side in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, kinds[tensor.dtype]).reshape(shape)


CHOICES = {
    "the champion": lambda spec: None,
    "a number": lambda spec: setattr(spec.version, "value", NUMBER),
    "a label": lambda spec: setattr(spec, "version_label", "champion"),
    "a signature": lambda spec: setattr(spec, "signature_name", "serving_default"),
}


@pytest.mark.parametrize("choice", list(CHOICES))
@pytest.mark.parametrize("make", [request, values])
def test_predict_returns_every_output_by_name_and_the_version(stub, make, choice):
    sent = make()
    CHOICES[choice](sent.model_spec)

    answer = stub.Predict(sent)

    spec = answer.model_spec
    assert (spec.name, spec.version.value) == ("digits", NUMBER)
    assert spec.signature_name == "serving_default"
    assert set(answer.outputs) == {"probabilities", "seen"}
    assert np.allclose(read(answer.outputs["probabilities"]), EXPECTED, atol=1e-6)
    assert np.array_equal(read(answer.outputs["seen"]), IMAGES // 2)


@pytest.mark.parametrize("wanted", [["seen"], ["probabilities"], ["seen", "probabilities"]])
def test_a_filter_chooses_outputs(stub, wanted):
    sent = request()
    sent.output_filter.extend(wanted)

    assert set(stub.Predict(sent).outputs) == set(wanted)


@pytest.mark.parametrize("number", [1, 2])
def test_every_loaded_version_is_asked_by_its_number(two_versions, number):
    sent = request()
    sent.model_spec.version.value = number_of(bundles.version_name(number))
    with channel_to(two_versions) as channel:
        answer = prediction.PredictionServiceStub(channel).Predict(sent)

    expected = bundles.probabilities(number, IMAGES)
    assert answer.model_spec.version == sent.model_spec.version
    assert np.allclose(read(answer.outputs["probabilities"]), expected, atol=1e-6)


SPECS = [
    pytest.param(lambda spec: setattr(spec, "name", "nobody"), "'nobody'", id="an unknown model"),
    pytest.param(lambda spec: setattr(spec, "name", "digits/ready"), "no model", id="no path"),
    pytest.param(lambda spec: spec.Clear(), "no model", id="no model at all"),
    pytest.param(lambda spec: setattr(spec.version, "value", 99), "99", id="an unknown number"),
    pytest.param(lambda spec: setattr(spec.version, "value", 0), "0", id="number 0"),
    pytest.param(lambda spec: setattr(spec.version, "value", -1), "-1", id="a negative number"),
    pytest.param(
        lambda spec: setattr(spec.version, "value", 2**63 - 1), f"{2**63 - 1}", id="the last number"
    ),
    pytest.param(lambda spec: setattr(spec, "version_label", "latest"), "latest", id="a label"),
    pytest.param(lambda spec: setattr(spec, "version_label", "a/b"), "no label", id="no label"),
    pytest.param(lambda spec: setattr(spec, "version_label", ".."), "no label", id="no folder"),
]


def metadata() -> Any:
    sent = metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    sent.model_spec.name = "digits"
    return sent


def status() -> Any:
    sent = status_pb2.GetModelStatusRequest()
    sent.model_spec.name = "digits"
    return sent


def examples(*rows: np.ndarray) -> Any:
    sent = classification_pb2.ClassificationRequest()
    sent.model_spec.name = "digits"
    for row in rows:
        example = sent.input.example_list.examples.add()
        example.features.feature["image"].int64_list.value.extend(row.ravel().tolist())
    return sent


@pytest.mark.parametrize(
    ("call", "make"),
    [
        ("Predict", request),
        ("Classify", lambda: examples(IMAGES[0])),
        ("GetModelMetadata", metadata),
    ],
)
@pytest.mark.parametrize(("change", "named"), SPECS)
def test_what_is_not_served_is_unknown_to_every_method(stub, call, make, change, named):
    sent = make()
    change(sent.model_spec)

    code, text = refusal(getattr(stub, call), sent)

    assert code == UNKNOWN
    assert named in text


@pytest.mark.parametrize(("change", "named"), SPECS)
def test_what_is_not_served_has_no_status(models, change, named):
    sent = status()
    change(sent.model_spec)

    code, text = refusal(models.GetModelStatus, sent)

    assert code == UNKNOWN
    assert named in text


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        pytest.param(
            with_(request(), lambda sent: setattr(sent.model_spec, "signature_name", "regress")),
            "model_spec.signature_name: expected serving_default",
            id="a signature is known",
        ),
        pytest.param(
            with_(request(), lambda sent: sent.inputs.pop("image")),
            "inputs: expected the tensors ['image'], found no 'image'",
            id="every input is there",
        ),
        pytest.param(
            with_(request(), lambda sent: put(sent.inputs["other"], IMAGES)),
            "'other'",
            id="no input is unknown",
        ),
        pytest.param(
            with_(request(), lambda sent: sent.output_filter.append("mood")),
            "'mood'",
            id="an output of a filter is known",
        ),
        pytest.param(
            with_(request(), lambda sent: sent.output_filter.extend(["seen", "seen"])),
            "each output once",
            id="an output of a filter comes once",
        ),
        pytest.param(
            request(IMAGES.astype(np.float32)),
            "datatype: expected UINT8 or BYTES, found",
            id="a dtype is declared",
        ),
        pytest.param(
            with_(request(), lambda sent: setattr(sent.inputs["image"], "dtype", 0)),
            "datatype: expected UINT8 or BYTES, found",
            id="a dtype is there",
        ),
        pytest.param(
            with_(request(), lambda sent: setattr(sent.inputs["image"], "dtype", 19)),
            "the type 19",
            id="a dtype is one that models have",
        ),
        pytest.param(
            with_(request(), lambda sent: sent.inputs["image"].ClearField("tensor_shape")),
            "shape: expected",
            id="a shape is there",
        ),
        pytest.param(request(IMAGES.reshape(3, 784)), "found [3, 784]", id="a shape is declared"),
        pytest.param(request(IMAGES[:0]), "at least one row", id="a batch has a row"),
        pytest.param(
            with_(
                request(),
                lambda sent: setattr(sent.inputs["image"].tensor_shape.dim[0], "size", -1),
            ),
            "found [-1, 28, 28]",
            id="no side is open",
        ),
        pytest.param(
            with_(
                request(), lambda sent: setattr(sent.inputs["image"].tensor_shape.dim[0], "size", 4)
            ),
            "expected 3136 bytes",
            id="bytes are those of the shape",
        ),
        pytest.param(
            with_(
                request(),
                lambda sent: setattr(sent.inputs["image"], "tensor_content", IMAGES.tobytes()[:-1]),
            ),
            "expected 2352 bytes",
            id="no byte is missing",
        ),
        pytest.param(
            with_(values(), lambda sent: sent.inputs["image"].int_val.append(1)),
            "2352 numbers",
            id="values are not more than the shape has",
        ),
        pytest.param(
            with_(values(), lambda sent: sent.inputs["image"].ClearField("int_val")),
            "data: expected",
            id="a tensor has bytes or values",
        ),
        pytest.param(
            with_(
                values(),
                lambda sent: (
                    sent.inputs["image"].ClearField("int_val"),
                    sent.inputs["image"].float_val.append(1),
                ),
            ),
            "data: expected",
            id="values are of the dtype",
        ),
        *(
            pytest.param(
                with_(
                    values(),
                    lambda sent, value=value: sent.inputs["image"].int_val.__setitem__(5, value),
                ),
                "data[5]: expected whole numbers of 0 to 255",
                id=f"{value} is no UINT8",
            )
            for value in (256, -1)
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_by_its_field(stub, sent, message):
    code, text = refusal(stub.Predict, sent)

    assert code == INVALID
    assert message in text


def test_a_batch_beyond_the_limit_is_too_large(stub):
    code, text = refusal(stub.Predict, request(np.zeros((9, 28, 28), np.uint8)))

    assert code == "RESOURCE_EXHAUSTED"
    assert f"at most {LIMITS.batch_rows} rows" in text


@pytest.mark.parametrize("count", [1, 5])
def test_the_last_value_stands_for_all_that_are_missing(stub, count):
    sent = values(np.full((1, 28, 28), 7, np.uint8))
    del sent.inputs["image"].int_val[count:]

    assert stub.Predict(sent) == stub.Predict(values(np.full((1, 28, 28), 7, np.uint8)))


def shop_request() -> Any:
    sent = predict_pb2.PredictRequest()
    sent.model_spec.name = "digits"
    put_texts(sent.inputs["title"], b"red blau", "grün".encode())
    put(sent.inputs["price"], np.float32([4, 5]))
    put_texts(sent.inputs["shop"], b"north", b"south")
    put(sent.inputs["clicks"], np.float32([[1, 2], [3, 4]]))
    return sent


ROWS = [
    {"title": "red blau", "price": 4, "shop": "north", "clicks": [1, 2]},
    {"title": "grün", "price": 5, "shop": "south", "clicks": [3, 4]},
]


@pytest.mark.parametrize("form", ["bytes", "values"])
def test_texts_and_floats_mean_what_they_mean_over_http(shop, shop_stub, form):
    expected = shop.post("/v1/models/digits:predict", json={"instances": ROWS}).json["predictions"]
    sent = shop_request()
    if form == "values":
        sent.inputs["price"].ClearField("tensor_content")
        sent.inputs["price"].float_val.extend([4, 5])

    assert np.allclose(read(shop_stub.Predict(sent).outputs["sent"]), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda inputs: inputs["price"].ClearField("tensor_content"),
            "data: expected",
            id="a float has a value",
        ),
        pytest.param(
            lambda inputs: setattr(
                inputs["price"], "tensor_content", np.float32([4, np.inf]).tobytes()
            ),
            "expected finite numbers",
            id="a float is finite",
        ),
        pytest.param(
            lambda inputs: inputs["title"].string_val.__setitem__(0, b"\xff"),
            "data",
            id="a text is UTF-8",
        ),
        pytest.param(
            lambda inputs: inputs["title"].string_val.append(b"blau"),
            "data",
            id="texts are not more than the shape has",
        ),
        pytest.param(
            lambda inputs: (
                inputs["title"].ClearField("string_val"),
                setattr(inputs["title"], "tensor_content", b"red"),
            ),
            "data",
            id="texts are no bytes",
        ),
        pytest.param(lambda inputs: inputs.pop("clicks"), "no 'clicks'", id="every input is there"),
    ],
)
def test_values_that_break_a_rule_are_refused(shop_stub, change, message):
    sent = shop_request()
    change(sent.inputs)

    code, text = refusal(shop_stub.Predict, sent)

    assert code == INVALID
    assert message in text


@pytest.mark.parametrize("choice", list(CHOICES))
def test_classify_has_a_label_and_a_score_for_every_class(stub, choice):
    sent = examples(*IMAGES)
    CHOICES[choice](sent.model_spec)

    answer = stub.Classify(sent)

    assert answer.model_spec.version.value == NUMBER
    for row, expected in zip(answer.result.classifications, EXPECTED, strict=True):
        assert [each.label for each in row.classes] == list("0123456789")
        assert np.allclose([each.score for each in row.classes], expected, atol=1e-6)


def test_examples_share_a_context_and_go_before_it(stub):
    sent = classification_pb2.ClassificationRequest()
    sent.model_spec.name = "digits"
    shared = sent.input.example_list_with_context
    shared.context.features.feature["image"].int64_list.value.extend(IMAGES[0].ravel().tolist())
    shared.examples.add()
    own = shared.examples.add().features.feature["image"]
    own.int64_list.value.extend(IMAGES[1].ravel().tolist())

    rows = stub.Classify(sent).result.classifications

    for row, expected in zip(rows, EXPECTED[:2], strict=True):
        assert np.allclose([each.score for each in row.classes], expected, atol=1e-6)


def _feature(sent: Any, place: int = 0) -> Any:
    return sent.input.example_list.examples[place].features.feature["image"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        pytest.param(examples(), "examples: expected", id="there is an example"),
        pytest.param(
            with_(examples(), lambda sent: sent.input.Clear()), "examples: expected", id="an input"
        ),
        pytest.param(
            with_(examples(), lambda sent: sent.input.example_list.examples.add()),
            "['image']",
            id="every feature is there",
        ),
        pytest.param(
            with_(examples(IMAGES[0]), lambda sent: _feature(sent).int64_list.value.pop()),
            "examples",
            id="a feature has all its values",
        ),
        pytest.param(
            with_(examples(IMAGES[0]), lambda sent: _feature(sent).ClearField("int64_list")),
            "examples",
            id="a feature has a kind",
        ),
        pytest.param(
            with_(
                examples(IMAGES[0]),
                lambda sent: _feature(sent).bytes_list.value.append(b"red"),
            ),
            "examples",
            id="numbers are no bytes",
        ),
        pytest.param(
            with_(
                examples(IMAGES[0]),
                lambda sent: _feature(sent).int64_list.value.__setitem__(0, 256),
            ),
            "0 to 255",
            id="a value is within its type",
        ),
        pytest.param(
            with_(
                examples(IMAGES[0]),
                lambda sent: (
                    sent.input.example_list.examples[0].features.feature["photo"].float_list
                ).value.append(1),
            ),
            "'photo'",
            id="no feature is unknown",
        ),
        pytest.param(
            with_(
                examples(IMAGES[0]),
                lambda sent: setattr(sent.model_spec, "signature_name", "regress"),
            ),
            "signature_name: expected serving_default",
            id="a signature is known",
        ),
    ],
)
def test_examples_that_break_a_rule_are_refused(stub, sent, message):
    code, text = refusal(stub.Classify, sent)

    assert code == INVALID
    assert message in text


def test_a_model_without_labels_is_not_classified(unnamed):
    with channel_to(unnamed) as channel:
        call = prediction.PredictionServiceStub(channel).Classify
        code, text = refusal(call, examples(IMAGES[0]))

    assert code == INVALID
    assert "no classes" in text


@pytest.mark.parametrize("choice", list(CHOICES))
def test_the_signature_has_every_input_and_every_output(stub, choice):
    sent = metadata()
    CHOICES[choice](sent.model_spec)

    answer, signatures = stub.GetModelMetadata(sent), metadata_pb2.SignatureDefMap()

    assert (answer.model_spec.name, answer.model_spec.version.value) == ("digits", NUMBER)
    assert answer.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    # Every output that `Predict` returns.
    tensors = {**signature.inputs, **signature.outputs}
    assert {name: each.dtype for name, each in tensors.items()} == {
        "image": 4,
        "probabilities": 1,
        "seen": 4,
    }
    sides = [side.size for side in signature.outputs["seen"].tensor_shape.dim]
    assert sides == [-1, 28, 28]


@pytest.mark.parametrize("fields", [[], ["assets"], ["signature_def", "assets"]])
def test_other_fields_of_the_metadata_are_refused(stub, fields):
    sent = metadata()
    sent.metadata_field[:] = fields

    code, text = refusal(stub.GetModelMetadata, sent)

    assert code == INVALID
    assert "metadata_field: expected signature_def" in text


@pytest.mark.parametrize("choice", [name for name in CHOICES if name != "a signature"])
def test_the_status_has_the_states_of_the_versions(two_versions, choice):
    newest = number_of(bundles.version_name(2))
    sent = status()
    if choice == "a number":
        sent.model_spec.version.value = newest
    elif choice == "a label":
        sent.model_spec.version_label = "champion"
    with channel_to(two_versions) as channel:
        answer = model_service.ModelServiceStub(channel).GetModelStatus(sent)

    states = [(each.version, each.state) for each in answer.model_version_status]
    assert all(each.status.error_code == 0 for each in answer.model_version_status)
    oldest = [(number_of(bundles.version_name(1)), 30)]
    assert states == [(newest, 30), *(oldest if choice == "the champion" else [])]


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        ("Regress", regression_pb2.RegressionRequest()),
        ("MultiInference", inference_pb2.MultiInferenceRequest()),
    ],
)
def test_other_kinds_of_inference_are_refused_in_words(stub, call, sent):
    code, text = refusal(getattr(stub, call), sent)

    assert code == "UNIMPLEMENTED"
    assert f"PredictionService has no {call} on this server" in text
    assert "Predict" in text


def test_models_are_not_configured_by_request(models):
    code, text = refusal(models.HandleReloadConfigRequest, management_pb2.ReloadConfigRequest())

    assert code == "UNIMPLEMENTED"
    assert "it has GetModelStatus" in text


@pytest.mark.parametrize("call", ["Predict", "Classify", "GetModelMetadata"])
def test_a_message_of_other_bytes_is_refused(channel, call):
    method = channel.unary_unary(f"/tensorflow.serving.PredictionService/{call}")

    code, text = refusal(method, b"\xff\xff\xff")

    assert code == INVALID
    assert "the message: expected a tensorflow.serving." in text
