"""The Open Inference Protocol v2 over gRPC: what every server of it answers, and refuses how.

Rules: the messages of its specification for gRPC (`ServerMetadataResponse`, `ModelInferRequest`,
`InferTensorContents` and their fields), which the suites of KServe, MLServer and Triton hold each
in its own way. The id of a case is the rule.
"""

import json
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as v2_messages

from overnight.store.objects.keys import number_of
from tests.support.serving.clients import EXPECTED, IMAGES, LIMITS, VERSION, changed, v2
from tests.support.serving.grpc_calls import Stub, as_message, channel_to, refusal, set_parameters

ONE = IMAGES[:1]
INVALID, UNKNOWN = "INVALID_ARGUMENT", "NOT_FOUND"
Request = v2_messages.ModelInferRequest


def one(**changes: object) -> Request:
    """A request with one row, by typed contents."""
    return as_message(v2(ONE, **changes))


def raw(*parts: bytes, shape: tuple[int, ...] = (1, 28, 28)) -> Request:
    """A request with raw contents."""
    sent = Request(model_name="digits", raw_input_contents=parts or [ONE.tobytes()])
    sent.inputs.add(name="image", datatype="UINT8", shape=shape)
    return sent


def with_(sent: Request, change: Callable[[Request], object]) -> Request:
    change(sent)
    return sent


def probabilities(answer: v2_messages.ModelInferResponse) -> np.ndarray:
    """The first output, from whichever contents it has."""
    if answer.raw_output_contents:
        flat = np.frombuffer(answer.raw_output_contents[0], "<f4")
    else:
        flat = np.array(answer.outputs[0].contents.fp32_contents, np.float32)
    return flat.reshape(answer.outputs[0].shape)


@pytest.mark.parametrize(
    ("call", "sent", "path"),
    [
        ("ServerMetadata", v2_messages.ServerMetadataRequest(), "/v2"),
        ("ModelMetadata", v2_messages.ModelMetadataRequest(name="digits"), "/v2/models/digits"),
        (
            "ModelMetadata",
            v2_messages.ModelMetadataRequest(name="digits", version=VERSION),
            f"/v2/models/digits/versions/{VERSION}",
        ),
        (
            "ModelMetadata",
            v2_messages.ModelMetadataRequest(name="digits", version=str(number_of(VERSION))),
            "/v2/models/digits",
        ),
    ],
)
def test_metadata_have_all_fields_that_they_have_over_http(client, stub, call, sent, path):
    answer = getattr(stub, call)(sent)

    told = json_format.MessageToDict(answer, preserving_proto_field_name=True)
    expected = client.get(path).json
    fields = {field.name for field in answer.DESCRIPTOR.fields}
    for tensor in (*told.get("inputs", ()), *told.get("outputs", ())):
        # The JSON of protocol buffers has int64 as texts.
        tensor["shape"] = [int(side) for side in tensor["shape"]]
    assert told == {name: value for name, value in expected.items() if name in fields}


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("digits", "", True),
        ("digits", VERSION, True),
        ("digits", str(number_of(VERSION)), True),
        ("digits", "9", False),
        ("nobody", "", False),
    ],
)
def test_a_model_or_a_version_is_ready_or_not(stub, name, version, ready):
    sent = v2_messages.ModelReadyRequest(name=name, version=version)

    assert stub.ModelReady(sent).ready is ready


def test_the_server_is_live_and_ready(stub):
    assert stub.ServerLive(v2_messages.ServerLiveRequest()).live
    assert stub.ServerReady(v2_messages.ServerReadyRequest()).ready


@pytest.mark.parametrize("call", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
@pytest.mark.parametrize(("name", "version"), [("nobody", ""), ("digits", "9"), ("digits", "..")])
def test_of_what_is_not_served_nothing_is_told(stub, call, name, version):
    request = getattr(v2_messages, f"{call}Request")(name=name, version=version)

    code, text = refusal(getattr(stub, call), request)

    assert code == UNKNOWN
    assert (version or name) in text


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        pytest.param(as_message({}), "inputs: expected the tensors", id="inputs are required"),
        pytest.param(
            as_message({"inputs": v2(ONE)["inputs"] * 2}),
            "more than once",
            id="an input comes once",
        ),
        pytest.param(one(name="photo"), "'photo', which the model", id="names are those declared"),
        pytest.param(one(name=""), "no 'image'", id="a name is required"),
        pytest.param(one(shape=[]), "[0].shape: expected", id="a shape is required"),
        pytest.param(
            with_(one(), lambda sent: sent.inputs[0].ClearField("datatype")),
            "[0].datatype: expected",
            id="a datatype is required",
        ),
        pytest.param(
            with_(one(), lambda sent: sent.inputs[0].ClearField("contents")),
            "784 numbers",
            id="contents are required",
        ),
        pytest.param(one(datatype="INT32"), "'INT32'", id="datatypes are declared"),
        pytest.param(
            with_(one(), lambda sent: setattr(sent.inputs[0], "datatype", "uint8")),
            "'uint8'",
            id="datatypes are capitals",
        ),
        pytest.param(
            with_(one(), lambda sent: setattr(sent.inputs[0], "datatype", "FP16")),
            "'FP16'",
            id="a datatype is known",
        ),
        pytest.param(one(shape=[784]), "found [784]", id="a shape has all its axes"),
        pytest.param(one(shape=[1, 28, 27]), "found [1, 28, 27]", id="axes are as declared"),
        pytest.param(one(shape=[1, 784]), "found [1, 784]", id="axes are not joined"),
        pytest.param(one(shape=[-1, 28, 28]), "found [-1, 28, 28]", id="no axis is open"),
        pytest.param(one(shape=[2, -5]), "found [2, -5]", id="no axis is negative"),
        pytest.param(one(shape=[0, 28, 28], data=[]), "at least one row", id="a batch has a row"),
        pytest.param(one(shape=[16, 2**60 + 2]), "[0].shape: expected", id="no product overflows"),
        pytest.param(one(shape=[2, 28, 28]), "1568 numbers", id="a shape has as many values"),
        pytest.param(one(data=[1]), "784 numbers, as `shape`", id="values are not fewer"),
        pytest.param(one(data=[1] * 785), "784 numbers, as `shape`", id="values are not more"),
        pytest.param(one(data=changed(7, 256)), "[0].data[7]: expected whole", id="UINT8 ends"),
        pytest.param(
            with_(one(), lambda sent: sent.inputs[0].contents.fp32_contents.append(1)),
            "inputs[0].contents: expected uint_contents",
            id="contents are of one type",
        ),
        pytest.param(
            with_(one(data=[]), lambda sent: sent.inputs[0].contents.int_contents.append(1)),
            "uint_contents, as the datatype is UINT8",
            id="contents are of the datatype",
        ),
        pytest.param(
            with_(one(), lambda sent: sent.outputs.add()), "outputs[0].name", id="outputs are named"
        ),
        pytest.param(
            with_(one(), lambda sent: sent.outputs.add(name="mood")),
            "expected one of ['probabilities', 'seen'], found the text 'mood'",
            id="outputs are those declared",
        ),
        pytest.param(
            with_(one(), lambda sent: [sent.outputs.add(name="seen") for _ in range(2)]),
            "outputs[1].name: expected each output once",
            id="an output comes once",
        ),
        pytest.param(
            with_(raw(), lambda sent: sent.raw_input_contents.append(b"")),
            "raw_input_contents: expected 1, one for each input",
            id="raw contents are not more than inputs",
        ),
        pytest.param(
            with_(raw(), lambda sent: sent.inputs.add(name="other")),
            "raw_input_contents: expected 2, one for each input",
            id="raw contents are not fewer than inputs",
        ),
        pytest.param(
            with_(raw(), lambda sent: sent.inputs[0].contents.uint_contents.append(1)),
            "inputs[0].contents: expected none",
            id="raw contents and typed ones exclude each other",
        ),
        pytest.param(raw(ONE.tobytes()[:-1]), "expected 784 bytes", id="no raw byte is missing"),
        pytest.param(raw(ONE.tobytes() + b"x"), "expected 784 bytes", id="no raw byte is left"),
        pytest.param(raw(b""), "expected 784 bytes", id="raw contents are there"),
        pytest.param(
            raw(shape=(2, 28, 28)), "expected 1568 bytes", id="raw contents are those of the shape"
        ),
        pytest.param(
            with_(raw(), lambda sent: set_parameters(sent, {"binary_data_output": "yes"})),
            "parameters.binary_data_output: expected true or false",
            id="a flag is no text",
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_by_its_field(stub, sent, message):
    code, text = refusal(stub.ModelInfer, sent)

    assert code == INVALID
    assert message in text
    assert text.startswith(("inputs", "outputs", "raw_input_contents", "parameters"))


def test_a_batch_beyond_the_limit_is_too_large(stub):
    code, text = refusal(stub.ModelInfer, one(shape=[2**62 + 2, 28, 28]))

    assert code == "RESOURCE_EXHAUSTED"
    assert f"at most {LIMITS.batch_rows} rows" in text


PARAMETERS = [
    {"a": 1, "b": "x", "c": 1.5, "d": True},
    {"priority": 1, "timeout": 10**6, "sequence_id": 7},
    {"content_type": "np"},
]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(as_message(v2()), id="typed contents"),
        pytest.param(raw(IMAGES.tobytes(), shape=IMAGES.shape), id="raw contents"),
        pytest.param(
            with_(
                raw(IMAGES.tobytes(), shape=IMAGES.shape),
                lambda sent: sent.inputs[0].contents.SetInParent(),
            ),
            id="raw contents beside empty ones",
        ),
        *(as_message(v2() | {"parameters": each}) for each in PARAMETERS),
        *(as_message(v2(parameters=each)) for each in PARAMETERS),
        pytest.param(
            as_message(v2() | {"outputs": [{"name": "probabilities", "parameters": {"mine": 1}}]}),
            id="outputs may be named",
        ),
        pytest.param(
            with_(as_message(v2()), lambda sent: setattr(sent, "model_version", VERSION)),
            id="versions may be named",
        ),
        pytest.param(
            with_(
                as_message(v2()),
                lambda sent: setattr(sent, "model_version", str(number_of(VERSION))),
            ),
            id="versions may be numbers",
        ),
    ],
)
def test_a_request_within_the_rules_is_answered(stub, sent):
    answer = stub.ModelInfer(sent)

    assert (answer.model_name, answer.model_version) == ("digits", VERSION)
    first = answer.outputs[0]
    assert (first.name, first.datatype, first.shape) == ("probabilities", "FP32", [3, 10])
    assert np.allclose(probabilities(answer), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("sent", ["", "42", "a b ü"])
def test_an_id_comes_back(stub, sent):
    assert stub.ModelInfer(with_(raw(), lambda made: setattr(made, "id", sent))).id == sent


@pytest.mark.parametrize("names", [[], ["seen", "probabilities"], ["probabilities"], ["seen"]])
def test_outputs_are_all_or_those_that_are_named_in_their_order(stub, names):
    sent = as_message(v2() | {"outputs": [{"name": name} for name in names]})

    answer = stub.ModelInfer(sent)

    assert [output.name for output in answer.outputs] == (names or ["probabilities", "seen"])


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("wanted", [None, True, False])
def test_answers_are_raw_where_the_request_is_or_asks_for_it(stub, is_raw, wanted):
    sent = raw() if is_raw else one()
    if wanted is not None:
        sent.parameters["binary_data_output"].bool_param = wanted

    answer = stub.ModelInfer(sent)

    expected = is_raw or wanted is True
    assert len(answer.raw_output_contents) == (2 if expected else 0)
    assert all(output.HasField("contents") is not expected for output in answer.outputs)
    assert np.allclose(probabilities(answer), EXPECTED[:1], atol=1e-6)


@pytest.mark.parametrize(("asked", "count"), [(1, 1), (3, 3), (999, 10), (0, 10)])
def test_classification_returns_value_index_and_label_highest_first(stub, asked, count):
    wanted = {"name": "probabilities", "parameters": {"classification": asked}}

    answer = stub.ModelInfer(as_message(v2() | {"outputs": [wanted]}))

    (output,) = answer.outputs
    assert (output.datatype, output.shape) == ("BYTES" if asked else "FP32", [3, count])
    if asked:
        texts = [text.decode().split(":") for text in output.contents.bytes_contents]
        best = np.argsort(-EXPECTED, axis=1, kind="stable")[:, :count]
        assert [int(index) for _, index, _ in texts] == best.ravel().tolist()
        assert [label for _, _, label in texts] == [str(index) for index in best.ravel()]


@pytest.mark.parametrize("count", [-1, 1.5, "3", True])
def test_what_is_no_number_of_classes_is_refused(stub, count):
    wanted = {"name": "probabilities", "parameters": {"classification": count}}

    code, text = refusal(stub.ModelInfer, as_message(v2() | {"outputs": [wanted]}))

    assert code == INVALID
    assert "outputs[0].parameters.classification: expected a number" in text


def _rows(axis: tuple[int, ...] = (), **values: list) -> Request:
    """Two rows of the shop, by typed contents."""
    columns = {
        "title": ("BYTES", ["red blau", "grün"]),
        "price": ("FP32", [4.0, float("nan")]),
        "shop": ("BYTES", ["north", "west"]),
        "clicks": ("FP32", [1.0, 2.0, 3.0, 4.0]),
    }
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": [2, 2] if name == "clicks" else [2, *axis],
            "data": values.get(name, data),
        }
        for name, (datatype, data) in columns.items()
    ]
    return as_message({"inputs": inputs, "outputs": [{"name": "sent"}]})


ROWS = [
    {"title": "red blau", "price": 4.0, "shop": "north", "clicks": [1, 2]},
    {"title": "grün", "price": None, "shop": "west", "clicks": [3, 4]},
]


@pytest.mark.parametrize("axis", [(), (1,)], ids=["single values", "a column"])
def test_texts_gaps_and_lists_mean_what_they_mean_over_http(shop, shop_stub, axis):
    expected = shop.post("/v1/models/digits:predict", json={"instances": ROWS}).json["predictions"]

    answer = shop_stub.ModelInfer(_rows(axis))

    assert np.allclose(answer.outputs[0].contents.fp32_contents, np.ravel(expected))
    assert answer.parameters["out_of_vocabulary_count"].int64_param >= 1
    assert "west" in json.dumps(json.loads(answer.parameters["out_of_vocabulary"].string_param))


def _lengthened(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _raw_rows(title: bytes) -> Request:
    """Two rows of the shop, by raw contents."""
    sent = _rows()
    for tensor in sent.inputs:
        tensor.ClearField("contents")
    floats = [np.float32(values).tobytes() for values in ([4, np.nan], [1, 2, 3, 4])]
    shops = _lengthened(b"north", b"west")
    sent.raw_input_contents.extend([title, floats[0], shops, floats[1]])
    return sent


def test_raw_texts_come_each_after_its_length(shop_stub):
    typed = shop_stub.ModelInfer(_rows())

    answer = shop_stub.ModelInfer(_raw_rows(_lengthened(b"red blau", "grün".encode())))

    actual = np.frombuffer(answer.raw_output_contents[0], "<f4")
    assert np.allclose(actual, typed.outputs[0].contents.fp32_contents)


@pytest.mark.parametrize(
    "title",
    [
        pytest.param(_lengthened(b"red"), id="every text is there"),
        pytest.param(_lengthened(b"red", b"green", b"blau"), id="no text is left"),
        pytest.param(b"\xff\xff\xff\x7fred", id="no length is beyond the contents"),
        pytest.param(_lengthened(b"red", b"green")[:-1], id="no text is cut"),
        pytest.param(b"\x03\x00", id="no length is cut"),
        pytest.param(_lengthened(b"red", b"\xff"), id="a text is UTF-8"),
        pytest.param(b"", id="contents are there"),
    ],
)
def test_raw_texts_that_break_a_rule_are_refused(shop_stub, title):
    code, text = refusal(shop_stub.ModelInfer, _raw_rows(title))

    assert code == INVALID
    assert text.startswith("inputs[0].data")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"price": [float("inf"), 1.0]}, "expected finite numbers, found inf"),
        ({"price": [4.0]}, "2 numbers, as `shape`"),
        ({"clicks": [float("nan"), 1.0, 1.0, 1.0]}, "nan"),
        ({"title": ["red", b"\xff"]}, "inputs[0].data"),
        ({"title": ["red"]}, "inputs[0].data"),
    ],
)
def test_values_that_break_a_rule_are_refused(shop_stub, values, message):
    code, text = refusal(shop_stub.ModelInfer, _rows(**values))

    assert code == INVALID
    assert message in text


@pytest.mark.parametrize("pack", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_messages_may_be_compressed(stub, pack):
    assert np.allclose(
        probabilities(stub.ModelInfer(raw(), compression=pack)), EXPECTED[:1], atol=1e-6
    )


@pytest.mark.parametrize("ready", [True, False])
def test_the_index_lists_every_version_with_its_state(two_versions, ready):
    with channel_to(two_versions) as channel:
        models = Stub(channel).RepositoryIndex(v2_messages.RepositoryIndexRequest(ready=ready))

    expected = two_versions.post("/v2/repository/index", json={"ready": ready}).json
    told = [(each.name, each.version, each.state) for each in models.models]
    assert told == [(each["name"], each["version"], each["state"]) for each in expected]
    assert len(told) >= 1


@pytest.mark.parametrize("call", ["RepositoryModelLoad", "RepositoryModelUnload"])
@pytest.mark.parametrize(("name", "code"), [("digits", "PERMISSION_DENIED"), ("nobody", UNKNOWN)])
def test_models_are_neither_loaded_nor_unloaded_by_request(stub, call, name, code):
    sent = getattr(v2_messages, f"{call}Request")(model_name=name)

    assert refusal(getattr(stub, call), sent)[0] == code
    assert stub.ModelReady(v2_messages.ModelReadyRequest(name="digits")).ready


@pytest.mark.parametrize("name", ["digits", ""])
def test_the_statistics_count_what_a_version_answered(two_versions, name):
    newest = two_versions.get("/v2/models/digits").json["versions"]
    with channel_to(two_versions) as channel:
        stub = Stub(channel)
        for _ in range(3):
            stub.ModelInfer(raw())
        refusal(stub.ModelInfer, one(shape=[1]))
        stats = stub.ModelStatistics(v2_messages.ModelStatisticsRequest(name=name)).model_stats

    assert {each.version for each in stats} == set(newest)
    used = max(stats, key=lambda each: each.inference_count)
    assert (used.inference_count, used.inference_stats.fail.count) == (3, 1)
    assert used.inference_stats.success.ns > 0
    assert used.last_inference > 0


@pytest.mark.parametrize("application", ["client", "shop"])
def test_the_configuration_is_that_of_http(request, application):
    client = request.getfixturevalue(application)
    with channel_to(client) as channel:
        sent = v2_messages.ModelConfigRequest(name="digits")
        config = Stub(channel).ModelConfig(sent).config

    expected = json_format.ParseDict(
        client.get("/v2/models/digits/config").json, type(config)(), ignore_unknown_fields=True
    )
    assert config == expected
    assert config.max_batch_size == LIMITS.batch_rows


OTHERS = [
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
]


@pytest.mark.parametrize("call", OTHERS)
def test_extensions_that_are_not_named_are_refused_in_words(stub, call):
    code, text = refusal(getattr(stub, call), getattr(v2_messages, f"{call}Request")())

    assert code == "UNIMPLEMENTED"
    assert text.startswith(f"inference.GRPCInferenceService has no {call} on this server; it has ")
    assert "ModelInfer" in text


def test_streams_of_inference_are_refused_in_words(stub):
    with pytest.raises(grpc.RpcError) as refused:
        next(stub.ModelStreamInfer(iter([raw()])))

    assert refused.value.code().name == "UNIMPLEMENTED"
    assert "no ModelStreamInfer on this server" in refused.value.details()


@pytest.mark.parametrize("method", ["/inference.Nobody/Call", "/nothing", "/a/b/c"])
def test_services_of_other_names_are_unimplemented(channel, method):
    code, _ = refusal(channel.unary_unary(method), b"")

    assert code == "UNIMPLEMENTED"
