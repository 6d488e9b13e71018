"""NVIDIA Triton's unmodified clients: classes, all outputs, configuration, statistics, asyncio."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from overnight.store.objects.keys import number_of
from tests.support import event_loop
from tests.support.serving import bundles

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

MODEL, VERSION = bundles.MODEL, bundles.version_name(1)
EXPECTED = bundles.probabilities(1, bundles.IMAGES)


@pytest.fixture(scope="module")
def client(serving) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
        yield client


def _inputs(*, binary: bool = True) -> list[triton.InferInput]:
    tensor = triton.InferInput("image", bundles.IMAGES.shape, "UINT8")
    return [tensor.set_data_from_numpy(bundles.IMAGES, binary_data=binary)]


@pytest.mark.parametrize("binary", [False, True])
def test_without_named_outputs_every_output_can_be_read(client, binary):
    result = client.infer(MODEL, _inputs(binary=binary))

    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)
    assert np.array_equal(result.as_numpy("seen"), bundles.IMAGES // 2)


@pytest.mark.parametrize("binary", [False, True])
def test_class_count_returns_value_index_and_label(client, binary):
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)

    classes = client.infer(MODEL, _inputs(), outputs=[wanted]).as_numpy("probabilities")

    assert classes.shape == (len(bundles.IMAGES), 2)
    for texts, row in zip(classes, EXPECTED, strict=True):
        value, index, label = (texts[0].decode() if binary else texts[0]).split(":")
        assert (int(index), label) == (row.argmax(), str(row.argmax()))
        assert np.isclose(float(value), row.max(), atol=1e-6)


def test_a_version_may_be_its_number(client):
    result = client.infer(MODEL, _inputs(), model_version=str(number_of(VERSION)))

    assert result.get_response()["model_version"] == VERSION


def test_it_reads_what_perf_analyzer_reads(client):
    config = client.get_model_config(MODEL)
    client.infer(MODEL, _inputs())
    (stats,) = client.get_inference_statistics(MODEL, VERSION)["model_stats"]

    assert config["max_batch_size"] == 1024
    assert not {"ensemble_scheduling", "sequence_batching"} & config.keys()
    assert stats["inference_stats"]["success"]["count"] >= 1
    assert client.get_inference_statistics()["model_stats"] == [stats]


def test_its_client_for_asyncio_works(serving):
    async def ask() -> tuple[list, dict, bool, list]:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{serving.port}") as client:
            pending = [client.infer(MODEL, _inputs(binary=binary)) for binary in (True, False)]
            answers = [
                answer.as_numpy("probabilities") for answer in await asyncio.gather(*pending)
            ]
            metadata = await client.get_model_metadata(MODEL)
            index = await client.get_model_repository_index()
            return answers, metadata, await client.is_model_ready(MODEL, VERSION), index

    answers, metadata, ready, index = event_loop.run(ask())

    assert all(np.allclose(answer, EXPECTED, atol=1e-6) for answer in answers)
    assert (metadata["versions"], ready) == ([VERSION], True)
    assert [entry["state"] for entry in index] == ["READY"]


@pytest.mark.parametrize("value", ["text", 1, 1.5, True])
def test_parameters_of_a_caller_are_left_alone(client, value):
    result = client.infer(MODEL, _inputs(), parameters={"mine": value}, priority=2, timeout=10**7)

    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)


def test_headers_and_query_parameters_of_a_caller_change_nothing(client):
    headers = {"X-Mine": 'a "quoted" text with a backslash\\ ', "X-Request-Id": "of-a-caller"}

    result = client.infer(MODEL, _inputs(), headers=headers, query_params={"test": "1"})

    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)
