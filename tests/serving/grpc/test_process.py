"""gRPC of the serving process: its port beside HTTP, several workers, and its end."""

import socket

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.support.s3_server import free_ports
from tests.support.serving import bundles
from tests.support.serving.server_process import run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def test_the_process_answers_over_grpc_until_it_is_stopped(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 1)
    (port,) = free_ports(1)
    arguments = ("--rehearse", str(folder), "--grpc-port", str(port))
    with run_serving(*arguments, place=tmp_path / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            tensor = triton.InferInput("image", bundles.IMAGES.shape, "UINT8")
            tensor.set_data_from_numpy(bundles.IMAGES)
            answer = client.infer("digits", [tensor])
    assert np.allclose(answer.as_numpy("probabilities"), bundles.probabilities(1))
    assert serving.process.returncode == 0
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=5)


def test_a_port_that_is_taken_is_an_error_that_names_the_setting(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = ("--rehearse", str(folder), "--grpc-port", str(taken.getsockname()[1]))
        with run_serving(*arguments, place=tmp_path / "home") as serving:
            assert serving.process.wait(60) == 1
    assert "set OVERNIGHT_SERVING_GRPC_PORT" in serving.log.read_text()
