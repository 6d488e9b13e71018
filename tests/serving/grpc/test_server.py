"""Health, reflection, TLS, and that our messages are numbered as everybody's are."""

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from overnight.serving.grpc import messages
from overnight.serving.grpc.proto_files import parse_proto
from overnight.serving.grpc.server import GrpcServer
from overnight.serving.grpc.tls import tls_files
from overnight.store.errors import ConfigurationError
from tests.support.certificates import write_authority
from tests.support.serving.clients import application_of
from tests.support.serving.generated import module
from tests.support.serving.grpc_calls import answering

THEIRS = {
    "inference.": [service_pb2, model_config_pb2],
    "tensorflow.": [
        module(f"tensorflow_serving.apis.{name}_pb2")
        for name in ("predict", "classification", "get_model_metadata", "get_model_status")
    ],
}


def _health(channel: grpc.Channel, service: str) -> str:
    request, response = (
        messages.message(f"grpc.health.v1.HealthCheck{kind}") for kind in ("Request", "Response")
    )
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check", request.SerializeToString, response.FromString
    )
    status = check(request(service=service)).status
    return response.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[status].name


@pytest.mark.parametrize("prefix", sorted(THEIRS))
def test_every_field_has_the_number_and_the_type_of_the_protocol(prefix):
    theirs = {
        name: descriptor
        for each in THEIRS[prefix]
        for name, descriptor in each.DESCRIPTOR.message_types_by_name.items()
    }
    compared = 0
    for name, descriptor in theirs.items():
        try:
            ours = messages.POOL.FindMessageTypeByName(descriptor.full_name)
        except KeyError:
            continue
        for field in ours.fields:
            other = descriptor.fields_by_name[field.name]
            assert (field.number, field.type) == (other.number, other.type), f"{name}.{field.name}"
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("text", ["message A { strange }", "message A { int32 a = 1 }", "é"])
def test_a_file_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|found|invalid literal"):
        parse_proto("a.proto", text)


def test_health_is_that_of_the_server_and_of_its_services(channel):
    assert {_health(channel, name) for name in ("", *messages.SERVICES)} == {"SERVING"}
    with pytest.raises(grpc.RpcError) as refused:
        _health(channel, "nothing")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watch_says_what_is_now(channel):
    request, response = (
        messages.message(f"grpc.health.v1.HealthCheck{kind}") for kind in ("Request", "Response")
    )
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", request.SerializeToString, response.FromString
    )
    call = watch(request())

    assert next(call).status == 1
    call.cancel()


@pytest.mark.parametrize("package", ["grpc.reflection.v1", "grpc.reflection.v1alpha"])
def test_reflection_lists_the_services_and_their_files(channel, package):
    request, response = (
        messages.message(f"{package}.ServerReflection{kind}") for kind in ("Request", "Response")
    )
    reflect = channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request.SerializeToString,
        response.FromString,
    )
    sent = [
        request(list_services=""),
        request(file_containing_symbol="inference.GRPCInferenceService"),
        request(file_by_filename="nothing.proto"),
    ]

    listed, file, missing = reflect(iter(sent))

    names = {each.name for each in listed.list_services_response.service}
    assert names == set(messages.SERVICES)
    (described,) = file.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(described).package == "inference"
    assert missing.error_response.error_code == 5


def test_tls_alone_is_spoken_where_it_is_set_up(tmp_path):
    authority, served = write_authority(tmp_path)
    request = service_pb2.ServerLiveRequest()
    with answering(application_of(), tls_files(served, served, None)) as port:
        credentials = grpc.ssl_channel_credentials(authority.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            assert service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive(request).live
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.ServerLive(request, timeout=5)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_files_of_tls_that_cannot_be_used_are_named(tmp_path):
    authority, served = write_authority(tmp_path)
    (tmp_path / "other.pem").write_text("nothing")
    for files, said in (
        ((served, None, None), "set both, or neither"),
        ((None, None, authority), "CLIENT_CA_FILE: set"),
        ((served, tmp_path / "absent", None), "KEY_FILE: .*absent cannot be read"),
        ((served, tmp_path / "other.pem", None), "found what is not"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            tls_files(*files)


def test_an_address_that_cannot_be_listened_at_is_named():
    with pytest.raises(ConfigurationError, match="OVERNIGHT_SERVING_GRPC_PORT"):
        GrpcServer(application_of().application, "192.0.2.1", 1)
