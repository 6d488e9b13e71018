"""gRPC of the serving process: its port beside HTTP, several workers, and its end."""

import socket

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.certificates import write_authority
from tests.support.serving import bundles
from tests.support.serving.server_process import run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def test_the_process_answers_over_grpc_until_it_is_stopped(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=tmp_path / "home", grpc=True) as serving:
        port = serving.grpc_port
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


def _live(port: int, authority: bytes, own: bytes | None) -> bool | str:
    """What a client is told that trusts an authority, and shows its own certificate if any."""
    credentials = grpc.ssl_channel_credentials(authority, own, own)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive
        try:
            return call(service_pb2.ServerLiveRequest(), timeout=20).live
        except grpc.RpcError as error:
            return error.code().name


def test_clients_show_a_certificate_of_the_authority_that_is_set(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 1)
    authority, served = write_authority(tmp_path)
    (tmp_path / "other").mkdir()
    _, stranger = write_authority(tmp_path / "other")
    settings = {
        "serving_grpc_tls_certificate_file": str(served),
        "serving_grpc_tls_key_file": str(served),
        "serving_grpc_tls_client_ca_file": str(authority),
    }

    with run_serving(
        "--rehearse", str(folder), place=tmp_path / "home", grpc=True, **settings
    ) as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        trusted = authority.read_bytes()
        told = [
            _live(serving.grpc_port, trusted, own)
            for own in (served.read_bytes(), stranger.read_bytes(), None)
        ]

    assert told == [True, "UNAVAILABLE", "UNAVAILABLE"]
