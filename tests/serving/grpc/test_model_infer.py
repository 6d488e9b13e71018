"""`ModelInfer` of the Open Inference Protocol, by NVIDIA Triton's client and by bare messages."""

import json
import re
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from overnight.serving.inference.limits import Limits
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.novelty import LearnedRange, NoveltyRule
from tests.support.serving import bundles, published
from tests.support.serving.clients import EXPECTED, IMAGES, VERSION, application_of
from tests.support.serving.prediction_logs import LoggedApplication
from tests.support.waiting import until

KEY = "k" * 32


def message(images: np.ndarray = IMAGES, **changes: object) -> service_pb2.ModelInferRequest:
    """A request with raw contents."""
    request = service_pb2.ModelInferRequest(
        **{"model_name": "digits", "raw_input_contents": [images.tobytes()]} | changes
    )
    request.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    return request


def typed(images: np.ndarray = IMAGES) -> service_pb2.ModelInferRequest:
    request = message(images, raw_input_contents=[])
    request.inputs[0].contents.uint_contents.extend(images.ravel().tolist())
    return request


def infer(channel: grpc.Channel, request: service_pb2.ModelInferRequest, **how: object):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, **how)


def refusal(channel: grpc.Channel, request: service_pb2.ModelInferRequest, **how: object):
    with pytest.raises(grpc.RpcError) as refused:
        infer(channel, request, **how)
    return refused.value


def test_tritonclient_reads_metadata_and_infers(port):
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("digits", VERSION)
        assert not client.is_model_ready("nobody")
        assert client.get_model_metadata("digits").inputs[0].shape == [-1, 28, 28]
        assert client.get_model_config("digits").config.max_batch_size == 8
        assert client.get_model_repository_index().models[0].state == "READY"
        tensor = triton.InferInput("image", IMAGES.shape, "UINT8").set_data_from_numpy(IMAGES)

        answer = client.infer("digits", [tensor], model_version=VERSION, request_id="mine")

        assert np.allclose(answer.as_numpy("probabilities"), EXPECTED)
        assert answer.as_numpy("seen").shape == IMAGES.shape
        assert answer.get_response().id == "mine"
        stats = client.get_inference_statistics("digits").model_stats[0]
        assert (stats.version, stats.inference_count > 0) == (VERSION, True)
        with pytest.raises(triton.InferenceServerException, match="overnight promote digits"):
            client.load_model("digits")


def test_raw_requests_get_raw_answers_and_typed_ones_typed(channel):
    raw, as_typed = infer(channel, message()), infer(channel, typed())

    assert len(raw.raw_output_contents) == len(raw.outputs) == 2
    assert not raw.outputs[0].HasField("contents")
    assert not as_typed.raw_output_contents
    values = np.array(as_typed.outputs[0].contents.fp32_contents, np.float32)
    assert values.tobytes() == raw.raw_output_contents[0]
    assert list(as_typed.outputs[1].shape) == [*IMAGES.shape]


def test_the_answer_names_version_and_request_in_its_metadata(channel):
    call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    answer, done = call.with_call(message(), metadata=[("x-request-id", "told-1")])

    trailing = dict(done.trailing_metadata())
    assert answer.model_version == trailing["x-model-version"] == VERSION
    assert trailing["x-request-id"] == "told-1"


def test_rows_that_are_unlike_the_learned_ones_are_named_in_the_parameters(connect):
    rule = NoveltyRule(false_flags=0.01, ranges={"image": LearnedRange(low=0, high=15, margin=4)})
    bright = IMAGES.copy()
    bright[2, 5, 5] = 200
    channel = connect(novelty=rule)
    call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer

    answer, done = call.with_call(message(bright))

    assert answer.parameters["unlike_training_count"].int64_param == 1
    [reason] = json.loads(answer.parameters["unlike_training"].string_param)
    assert (reason["row"], reason["input"]) == (2, "image")
    assert dict(done.trailing_metadata())["x-input-unlike-training"] == "2"
    assert not infer(channel, message()).parameters


def test_named_outputs_come_alone_and_classes_as_texts(channel):
    request = message()
    output = request.outputs.add(name="probabilities")
    output.parameters["classification"].int64_param = 1

    answer = infer(channel, request)

    assert [(each.name, each.datatype) for each in answer.outputs] == [("probabilities", "BYTES")]
    best = EXPECTED.argmax(axis=1)
    assert f":{best[0]}:{best[0]}".encode() in answer.raw_output_contents[0]


def test_inputs_of_another_model_are_refused_by_name(connect):
    shop = connect(application_of(published.TENSORS, files=published.files()))

    refused = refusal(shop, message())

    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert published.TENSORS.inputs[0].name in refused.details()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda r: r.inputs[0].shape.pop(), "INVALID_ARGUMENT", r"inputs\[0\].shape"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP32"), "INVALID_ARGUMENT", "UINT8"),
        (lambda r: r.raw_input_contents.append(b""), "INVALID_ARGUMENT", "one for each input"),
        (
            lambda r: r.inputs[0].contents.uint_contents.append(1),
            "INVALID_ARGUMENT",
            r"inputs\[0\].contents: expected none",
        ),
        (lambda r: r.outputs.add(name="nothing"), "INVALID_ARGUMENT", r"outputs\[0\].name"),
        (lambda r: [r.outputs.add(name="seen") for _ in "12"], "INVALID_ARGUMENT", "again"),
        (lambda r: setattr(r, "model_name", "nobody"), "NOT_FOUND", "no model 'nobody'"),
        (lambda r: setattr(r, "model_name", "digits/ready"), "NOT_FOUND", "no model"),
        (lambda r: setattr(r, "model_name", ""), "NOT_FOUND", "no model"),
        (lambda r: setattr(r, "model_version", "7"), "NOT_FOUND", "'7' is not loaded"),
        (lambda r: setattr(r, "model_version", ".."), "NOT_FOUND", "no version"),
    ],
)
def test_what_is_wrong_is_refused_by_a_code_and_in_words(channel, change, code, said):
    request = message()
    change(request)

    refused = refusal(channel, request)

    assert refused.code().name == code
    assert re.search(said, refused.details())


def test_contents_of_another_type_and_values_out_of_range_are_refused(channel):
    other = message(raw_input_contents=[])
    other.inputs[0].contents.fp32_contents.append(1)
    beyond = typed()
    beyond.inputs[0].contents.uint_contents[5] = 256

    assert "uint_contents, as the datatype is UINT8" in refusal(channel, other).details()
    assert "inputs[0].contents" not in (said := refusal(channel, beyond).details())
    assert "data[5]" in said


def test_a_message_of_other_bytes_is_refused(channel):
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    with pytest.raises(grpc.RpcError) as refused:
        call(b"\xff\xff\xff")

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_more_rows_and_more_bytes_than_the_limit_are_refused(connect):
    channel = connect(limits=Limits(body_bytes=100_000, batch_rows=8))
    images = np.zeros((9, 28, 28), np.uint8)

    assert "at most 8 rows" in refusal(channel, message(images)).details()
    large = refusal(channel, message(np.zeros((200, 28, 28), np.uint8)))
    assert large.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    unpacked = message(np.zeros((2_000, 28, 28), np.uint8))
    packed = refusal(channel, unpacked, compression=grpc.Compression.Gzip)
    assert packed.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_keys_are_those_of_http(connect, tmp_path):
    (tmp_path / "keys").write_text(f"shop {KEY}\n")
    channel = connect(admission=Admission(keys=Tokens(tmp_path / "keys")))

    for metadata in ([("x-api-key", KEY)], [("authorization", f"Bearer {KEY}")]):
        assert infer(channel, message(), metadata=metadata).model_name == "digits"
    for metadata in ([], [("x-api-key", "x" * 32)], [("x-api-key", KEY)] * 2):
        refused = refusal(channel, message(), metadata=metadata)
        expected = "INVALID_ARGUMENT" if len(metadata) == 2 else "UNAUTHENTICATED"
        assert refused.code().name == expected


def test_the_rate_of_a_client_is_limited(connect):
    channel = connect(limits=Limits(per_second=0.5))

    infer(channel, message())
    refused = refusal(channel, message())

    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(refused.trailing_metadata())["grpc-retry-pushback-ms"]) > 0


def test_calls_are_counted_beside_those_of_http(connect):
    client = application_of()
    channel = connect(client)
    infer(channel, message())
    refusal(channel, message(model_version="7"))

    lines = client.get("/metrics").text.splitlines()
    counted = [line for line in lines if 'protocol="v2_grpc"' in line]
    assert any(f'version="{VERSION}"' in line and 'status="200"' in line for line in counted)
    assert any('status="404"' in line for line in counted)


def test_answers_are_recorded_as_over_http(connect, tmp_path):
    logged = LoggedApplication(tmp_path)
    channel = connect(logged.client)
    infer(channel, message(id="mine"), metadata=[("x-request-id", "told-2")])
    infer(channel, message(), metadata=[("x-prediction-log", "skip")])

    (answer,) = logged.records()
    assert (answer.request, answer.caller) == ("told-2", "mine")


def test_a_call_waits_for_its_turn_until_its_deadline(connect):
    client = application_of()
    channel, admission = connect(client), client.application.wsgi_app
    while admission.take_slot():
        pass

    refused = refusal(channel, message(), timeout=0.2)
    admission.return_slot()

    assert refused.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert infer(channel, message(), timeout=30).model_version == bundles.version_name(1)


def test_a_call_that_is_known_to_be_quick_waits_for_no_turn(connect):
    client = application_of()
    channel, admission = connect(client), client.application.wsgi_app
    # The first call takes longer than all that follow, so the mean needs some of them.
    for _ in range(60):
        infer(channel, message())
    while admission.take_slot():
        pass

    assert infer(channel, message(), timeout=30).model_version == bundles.version_name(1)


def test_a_call_that_was_cancelled_while_it_waited_is_not_run(connect):
    client = application_of()
    channel, admission = connect(client), client.application.wsgi_app
    while admission.take_slot():
        pass
    future = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(message())
    until(lambda: len(client.application.extensions["overnight"].status.meter.in_flight) == 1)

    future.cancel()
    time.sleep(0.2)
    admission.return_slot()

    def counted() -> list[str]:
        lines = client.get("/metrics").text.splitlines()
        return [line for line in lines if 'protocol="v2_grpc"' in line]

    until(lambda: bool(counted()))
    assert all('status="499"' in line for line in counted())


def test_calls_that_are_over_or_cancelled_leave_no_slot_taken(connect):
    client = application_of()
    channel, admission = connect(client), client.application.wsgi_app
    taken = 0
    while admission.take_slot():
        taken += 1
    in_flight = client.application.extensions["overnight"].status.meter.in_flight
    call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    over = [call.future(message(), timeout=0.3) for _ in range(3)]
    cancelled = [call.future(message()) for _ in range(3)]
    until(lambda: all(future.done() for future in over))
    for future in cancelled:
        future.cancel()
    for _ in range(taken):
        admission.return_slot()
    until(lambda: not in_flight)

    assert {future.code().name for future in over} == {"DEADLINE_EXCEEDED"}
    assert {future.code().name for future in cancelled} == {"CANCELLED"}
    assert [admission.take_slot() for _ in range(taken + 1)] == [True] * taken + [False]
