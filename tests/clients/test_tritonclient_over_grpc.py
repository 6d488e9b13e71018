"""NVIDIA Triton's unmodified client for gRPC, and that for asyncio, over a socket.

Rules: what its own tests ask of Triton: every operation of the client, requests that wait, time
out and are cancelled, streams and shared memory refused by an error that it raises.
"""

import asyncio
import queue
from collections.abc import Iterator
from contextlib import suppress

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from overnight.store.objects.keys import number_of
from tests.support import event_loop
from tests.support.serving import bundles

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

MODEL, VERSION = bundles.MODEL, bundles.version_name(1)
EXPECTED = bundles.probabilities(1, bundles.IMAGES)
Refused = triton.InferenceServerException


@pytest.fixture(scope="module")
def client(serving) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{serving.grpc_port}") as client:
        yield client


def _inputs() -> list[triton.InferInput]:
    tensor = triton.InferInput("image", bundles.IMAGES.shape, "UINT8")
    return [tensor.set_data_from_numpy(bundles.IMAGES)]


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"model_version": VERSION},
        {"model_version": str(number_of(VERSION))},
        {"request_id": "mine"},
        {"headers": {"x-mine": "of a caller", "x-request-id": "of-a-caller"}},
        {"parameters": {"text": "a", "whole": 1, "flag": True, "number": 1.5}},
        {"priority": 2, "timeout": 10**7},
        {"client_timeout": 60},
        {"compression_algorithm": "gzip"},
        {"compression_algorithm": "deflate"},
    ],
    ids=lambda chosen: ", ".join(chosen) or "nothing",
)
def test_whatever_a_caller_adds_every_output_can_be_read(client, chosen):
    result = client.infer(MODEL, _inputs(), **chosen)

    assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)
    assert np.array_equal(result.as_numpy("seen"), bundles.IMAGES // 2)
    assert result.get_response().id == chosen.get("request_id", "")
    assert result.get_output("nothing") is None


def test_class_count_returns_value_index_and_label(client):
    wanted = triton.InferRequestedOutput("probabilities", class_count=2)

    classes = client.infer(MODEL, _inputs(), outputs=[wanted]).as_numpy("probabilities")

    assert classes.shape == (len(bundles.IMAGES), 2)
    for texts, row in zip(classes, EXPECTED, strict=True):
        value, index, label = texts[0].decode().split(":")
        assert (int(index), label) == (row.argmax(), str(row.argmax()))
        assert np.isclose(float(value), row.max(), atol=1e-6)


def test_it_reads_what_perf_analyzer_reads(client):
    config = client.get_model_config(MODEL, as_json=True)["config"]
    client.infer(MODEL, _inputs())
    (stats,) = client.get_inference_statistics(MODEL, VERSION).model_stats

    assert config["max_batch_size"] == 1024
    assert not {"ensemble_scheduling", "sequence_batching"} & config.keys()
    assert stats.inference_stats.success.count >= 1
    assert stats.inference_stats.success.ns > 0


def test_metadata_and_index_are_read_as_json(client):
    metadata = client.get_model_metadata(MODEL, as_json=True)
    index = client.get_model_repository_index(as_json=True)

    assert (metadata["name"], metadata["platform"]) == (MODEL, "tensorflow_litert")
    assert [model["state"] for model in index["models"]] == ["READY"]
    assert client.get_server_metadata().name == "overnight"


def test_answers_may_come_by_a_callback(client):
    answers: queue.Queue = queue.Queue()
    for _ in range(4):
        client.async_infer(MODEL, _inputs(), lambda result, error: answers.put((result, error)))

    for _ in range(4):
        result, error = answers.get(timeout=60)
        assert error is None
        assert np.allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "version", "named"),
    [("nobody", "", "no model 'nobody'"), (MODEL, "9", "'9' is not loaded")],
)
def test_errors_have_a_status_and_words(client, model, version, named):
    with pytest.raises(Refused, match=named) as refused:
        client.infer(model, _inputs(), model_version=version)

    assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_a_timeout_that_is_over_is_an_error_of_the_client(client):
    # Timers count in milliseconds, in which a small request may be answered.
    images = np.zeros((1024, 28, 28), np.uint8)
    many = triton.InferInput("image", images.shape, "UINT8").set_data_from_numpy(images)

    with pytest.raises(Refused) as refused:
        client.infer(MODEL, [many], client_timeout=1e-6)

    assert refused.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_a_stream_is_refused_in_words(serving):
    answers: queue.Queue = queue.Queue()
    with triton.InferenceServerClient(f"127.0.0.1:{serving.grpc_port}") as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        # It may have been refused already, which the client reports here as well.
        with suppress(Refused):
            client.async_stream_infer(MODEL, _inputs())
        result, error = answers.get(timeout=60)
        client.stop_stream()

    assert result is None
    assert "no ModelStreamInfer on this server; it has ModelConfig, ModelInfer" in str(error)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("get_system_shared_memory_status", ()),
        ("register_system_shared_memory", ("mine", "/mine", 10)),
        ("unregister_system_shared_memory", ()),
        ("get_cuda_shared_memory_status", ()),
        ("register_cuda_shared_memory", ("mine", b"YQ==", 0, 10)),
        ("unregister_cuda_shared_memory", ()),
        ("get_trace_settings", ()),
        ("update_trace_settings", ()),
        ("get_log_settings", ()),
        ("update_log_settings", ({},)),
    ],
)
def test_what_is_not_offered_is_refused_in_words(client, call, arguments):
    with pytest.raises(Refused, match="on this server; it has ModelConfig") as refused:
        getattr(client, call)(*arguments)

    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


@pytest.mark.parametrize("call", ["load_model", "unload_model"])
def test_models_are_not_loaded_by_request(client, call):
    with pytest.raises(Refused, match="overnight promote digits") as refused:
        getattr(client, call)(MODEL)

    assert refused.value.status() == "StatusCode.PERMISSION_DENIED"
    assert client.is_model_ready(MODEL)


def test_its_client_for_asyncio_works(serving):
    async def ask() -> tuple[list, list, str]:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{serving.grpc_port}") as client:
            answers = await asyncio.gather(*(client.infer(MODEL, _inputs()) for _ in range(8)))
            ready = [
                await client.is_server_live(),
                await client.is_server_ready(),
                await client.is_model_ready(MODEL, VERSION),
                not await client.is_model_ready("nobody"),
            ]
            metadata = await client.get_model_metadata(MODEL)
            index = await client.get_model_repository_index()
            config = await client.get_model_config(MODEL)
            stats = await client.get_inference_statistics(MODEL)
            told = [
                metadata.versions[0],
                index.models[0].version,
                stats.model_stats[0].version,
            ]
            assert config.config.max_batch_size == 1024
            with pytest.raises(Refused) as refused:
                await client.infer("nobody", _inputs())
            rows = [answer.as_numpy("probabilities") for answer in answers]
            return rows, [ready, told], refused.value.status()

    rows, (ready, told), status = event_loop.run(ask())

    assert all(np.allclose(each, EXPECTED, atol=1e-6) for each in rows)
    assert all(ready)
    assert told == [VERSION] * 3
    assert status == "StatusCode.NOT_FOUND"


def test_a_stream_of_asyncio_is_refused_in_words(serving):
    async def requests():
        yield {"model_name": MODEL, "inputs": _inputs()}

    async def ask() -> str:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{serving.grpc_port}") as client:
            # What its client for asyncio lets through, as it is.
            with pytest.raises(grpc.RpcError) as refused:
                async for _ in client.stream_infer(requests()):
                    pass
            return str(refused.value)

    assert "no ModelStreamInfer on this server" in event_loop.run(ask())
