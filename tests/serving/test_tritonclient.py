"""NVIDIA Triton's client for the Open Inference Protocol v2, over a socket."""

from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.support.serving import bundles
from tests.support.serving.server_process import run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

MODEL, VERSION = bundles.MODEL, bundles.version_name(1)
IMAGES = bundles.IMAGES
EXPECTED = bundles.probabilities(1, IMAGES)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    place = tmp_path_factory.mktemp("tritonclient")
    folder = bundles.folder(place / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=place / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
            yield client


def _image(images: np.ndarray = IMAGES, *, binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("image", images.shape, "UINT8")
    return tensor.set_data_from_numpy(images, binary_data=binary)


def _output(name: str, *, binary: bool) -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput(name, binary_data=binary)


def test_it_finds_the_server_and_the_model_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, VERSION)
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready(MODEL, "7")


def test_it_reads_the_metadata(client):
    server, model = client.get_server_metadata(), client.get_model_metadata(MODEL)

    assert {"model_versions", "binary_tensor_data", "model_repository"} <= set(server["extensions"])
    assert model["name"] == MODEL
    assert model["versions"] == [VERSION]
    assert model["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert client.get_model_metadata(MODEL, VERSION) == model


def test_it_lists_the_repository_and_cannot_change_it(client):
    assert client.get_model_repository_index() == [
        {"name": MODEL, "version": VERSION, "state": "READY", "reason": ""}
    ]
    for change in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="overnight promote digits") as refusal:
            change(MODEL)
        assert refusal.value.status() == "403"


@pytest.mark.parametrize("sent_binary", [False, True])
@pytest.mark.parametrize("asked_binary", [False, True])
def test_it_infers_in_json_and_binary(client, sent_binary, asked_binary):
    result = client.infer(
        MODEL,
        [_image(binary=sent_binary)],
        outputs=[_output("probabilities", binary=asked_binary), _output("seen", binary=True)],
        request_id="mine",
    )

    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", MODEL, VERSION)
    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)
    assert result.as_numpy("probabilities").dtype == np.float32
    assert np.array_equal(result.as_numpy("seen"), IMAGES // 2)


def test_without_requested_outputs_it_gets_raw_tensors(client):
    result = client.infer(MODEL, [_image()], model_version=VERSION)

    assert result.get_response()["outputs"][0]["parameters"]["binary_data_size"] == EXPECTED.nbytes
    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("received", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_it_may_compress_requests_and_responses(client, sent, received, binary):
    result = client.infer(
        MODEL,
        [_image(binary=binary)],
        request_compression_algorithm=sent,
        response_compression_algorithm=received,
    )

    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)


def test_it_may_infer_asynchronously(client):
    pending = [client.async_infer(MODEL, [_image(IMAGES[place : place + 1])]) for place in range(5)]

    actual = [item.get_result().as_numpy("probabilities")[0] for item in pending]

    assert np.allclose(actual, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (_image(np.zeros((1, 27, 28), np.uint8)), r"inputs\[0\].shape: expected \[-1, 28, 28\]"),
        (
            triton.InferInput("image", [1, 28, 28], "FP32").set_data_from_numpy(
                np.zeros((1, 28, 28), np.float32)
            ),
            r"inputs\[0\].datatype: expected UINT8 or BYTES, found the text 'FP32'",
        ),
        (
            triton.InferInput("photo", [1, 28, 28], "UINT8").set_data_from_numpy(IMAGES[:1]),
            r"inputs: expected the tensors \['image'\]",
        ),
    ],
)
def test_its_errors_have_messages(client, tensor, message):
    with pytest.raises(InferenceServerException, match=message) as refusal:
        client.infer(MODEL, [tensor])
    assert refusal.value.status() == "400"


def test_errors_of_unknown_names_have_messages(client):
    with pytest.raises(InferenceServerException, match=r"no model 'nobody'.*digits") as refusal:
        client.infer("nobody", [_image()])
    assert refusal.value.status() == "404"
    with pytest.raises(InferenceServerException, match=f"'7' is not loaded here.*{VERSION}"):
        client.infer(MODEL, [_image()], model_version="7")
    with pytest.raises(InferenceServerException, match=r"outputs.*expected one of"):
        client.infer(MODEL, [_image()], outputs=[_output("mood", binary=True)])


@pytest.mark.parametrize("extension", ["get_log_settings", "get_trace_settings"])
def test_unsupported_extensions_are_refused_with_a_message(client, extension):
    with pytest.raises(InferenceServerException, match="GET /v2/") as refusal:
        getattr(client, extension)()
    assert refusal.value.status() == "404"
