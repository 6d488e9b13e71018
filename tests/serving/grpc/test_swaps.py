"""Two hundred swaps under load over gRPC: no call fails, each is answered by one version."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from tests.support.serving import bundles
from tests.support.serving.clients import LIMITS
from tests.support.serving.grpc_calls import answering

SWAPS, CLIENTS = 200, 3
BLANK = np.zeros((1, 28, 28), np.uint8)


def _loaded(number: int, generation: int) -> LoadedVersion:
    files = bundles.files(number)
    predictor = load_version(bundles.manifest(number, files), files, threads=1)
    return LoadedVersion(generation, predictor, None)


def _ask(port: int, ended: threading.Event) -> list[tuple[str, np.ndarray]]:
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.raw_input_contents.append(BLANK.tobytes())
    request.inputs.add(name="image", datatype="UINT8", shape=BLANK.shape)
    answers = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        while not ended.is_set():
            answer = stub.ModelInfer(request, timeout=30)
            values = np.frombuffer(answer.raw_output_contents[0], np.float32)
            answers.append((answer.model_version, values))
    return answers


@pytest.mark.timeout(120)
def test_no_call_fails_and_each_is_answered_by_the_version_that_it_names():
    slots = ModelSlots()
    slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    slot.put(_loaded(1, 1))
    slot.shared.activate(1)
    status = StandaloneStatus()
    client = create_application(Router(slots), limits=LIMITS, status=status).test_client()
    ended = threading.Event()
    with answering(client) as port, ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(_ask, port, ended) for _ in range(CLIENTS)]
        try:
            for generation in range(2, SWAPS + 2):
                slot.put(_loaded(1 + generation % 2, generation))
                slot.shared.activate(generation)
                slot.drop({generation})
        finally:
            ended.set()
        answers = [answer for each in asking for answer in each.result()]

    expected = {bundles.version_name(n): bundles.probabilities(n, BLANK)[0] for n in (1, 2)}
    assert {version for version, _ in answers} == set(expected)
    for version, values in answers:
        assert np.allclose(values, expected[version], atol=1e-5)
