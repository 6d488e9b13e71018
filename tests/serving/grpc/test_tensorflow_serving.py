"""TensorFlow Serving's services, by the messages and stubs of `tensorflow-serving-api`."""

import grpc
import numpy as np
import pytest

from overnight.store.novelty import LearnedRange, NoveltyRule
from overnight.store.objects import keys
from tests.support.serving.clients import EXPECTED, IMAGES, VERSION
from tests.support.serving.generated import module

predict_pb2 = module("tensorflow_serving.apis.predict_pb2")
classification_pb2 = module("tensorflow_serving.apis.classification_pb2")
metadata_pb2 = module("tensorflow_serving.apis.get_model_metadata_pb2")
status_pb2 = module("tensorflow_serving.apis.get_model_status_pb2")
prediction = module("tensorflow_serving.apis.prediction_service_pb2_grpc")
model_service = module("tensorflow_serving.apis.model_service_pb2_grpc")
NUMBER = keys.number_of(VERSION)
UINT8 = 4


def request(images: np.ndarray = IMAGES, model: str = "digits"):
    sent = predict_pb2.PredictRequest()
    sent.model_spec.name = model
    sent.inputs["image"].dtype = UINT8
    for side in images.shape:
        sent.inputs["image"].tensor_shape.dim.add(size=side)
    sent.inputs["image"].tensor_content = images.tobytes()
    return sent


@pytest.fixture(scope="module")
def stub(channel):
    return prediction.PredictionServiceStub(channel)


def test_predict_returns_all_outputs_of_the_version_by_name(stub):
    answer = stub.Predict(request())

    assert answer.model_spec.version.value == NUMBER
    assert set(answer.outputs) == {"probabilities", "seen"}
    values = np.frombuffer(answer.outputs["probabilities"].tensor_content, np.float32)
    assert np.allclose(values.reshape(len(IMAGES), 10), EXPECTED)


def test_rows_that_are_unlike_the_learned_ones_are_named_in_the_metadata(connect):
    rule = NoveltyRule(false_flags=0.01, ranges={"image": LearnedRange(low=0, high=15, margin=4)})
    stub = prediction.PredictionServiceStub(connect(novelty=rule))
    bright = IMAGES.copy()
    bright[2, 5, 5] = 200

    for images, flagged in ((bright, "2"), (IMAGES, None)):
        answer, done = stub.Predict.with_call(request(images))

        assert set(answer.outputs) == {"probabilities", "seen"}
        assert dict(done.trailing_metadata()).get("x-input-unlike-training") == flagged


def test_a_filter_a_number_and_a_label_choose(stub):
    numbered, labelled = request(), request()
    numbered.model_spec.version.value = NUMBER
    numbered.output_filter.append("probabilities")
    labelled.model_spec.version_label = "champion"

    assert set(stub.Predict(numbered).outputs) == {"probabilities"}
    assert stub.Predict(labelled).model_spec.version.value == NUMBER


def test_values_of_the_type_are_read_and_the_last_stands_for_the_rest(stub):
    sent = request(np.zeros((1, 28, 28), np.uint8))
    answer = stub.Predict(sent)
    sent.inputs["image"].tensor_content = b""
    sent.inputs["image"].int_val.append(0)

    assert stub.Predict(sent) == answer


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda sent: setattr(sent.model_spec, "name", "nobody"), "NOT_FOUND"),
        (lambda sent: setattr(sent.model_spec.version, "value", 7), "NOT_FOUND"),
        (lambda sent: setattr(sent.model_spec, "version_label", "a/b"), "NOT_FOUND"),
        (lambda sent: setattr(sent.model_spec, "signature_name", "other"), "INVALID_ARGUMENT"),
        (lambda sent: sent.output_filter.append("nothing"), "INVALID_ARGUMENT"),
        (lambda sent: setattr(sent.inputs["image"], "dtype", 1), "INVALID_ARGUMENT"),
        (lambda sent: sent.inputs["image"].tensor_shape.dim.pop(), "INVALID_ARGUMENT"),
        (lambda sent: sent.inputs["other"], "INVALID_ARGUMENT"),
    ],
)
def test_what_is_wrong_is_refused(stub, change, code):
    sent = request()
    change(sent)

    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(sent)

    assert refused.value.code().name == code


def test_classify_returns_a_label_and_a_score_of_each_class(stub):
    sent = classification_pb2.ClassificationRequest()
    sent.model_spec.name = "digits"
    example = sent.input.example_list.examples.add()
    example.features.feature["image"].int64_list.value.extend(IMAGES[0].ravel().tolist())

    (row,) = stub.Classify(sent).result.classifications

    assert [each.label for each in row.classes] == list("0123456789")
    assert np.allclose([each.score for each in row.classes], EXPECTED[0], atol=1e-6)


def test_the_signature_and_the_states_of_versions_are_reported(stub, channel):
    sent = metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    sent.model_spec.name = "digits"
    answer, signatures = stub.GetModelMetadata(sent), metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    asked = status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "digits"
    (state,) = model_service.ModelServiceStub(channel).GetModelStatus(asked).model_version_status

    assert answer.model_spec.version.value == NUMBER
    assert signatures.signature_def["serving_default"].inputs["image"].dtype == UINT8
    assert (state.version, state.state, state.status.error_code) == (NUMBER, 30, 0)
