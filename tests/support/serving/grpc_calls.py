"""Applications that are asked over gRPC by a server of this process, and messages for them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient
from tritonclient.grpc import service_pb2, service_pb2_grpc

from overnight.serving.grpc.server import GrpcServer
from overnight.serving.grpc.tls import TlsFiles

# The field of the contents that has the values of a datatype.
CONTENTS = {
    "UINT8": "uint_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
    "BOOL": "bool_contents",
}
Stub = service_pb2_grpc.GRPCInferenceServiceStub


@contextmanager
def answering(client: FlaskClient, tls: TlsFiles | None = None) -> Iterator[int]:
    """The port at which an application is asked over gRPC meanwhile."""
    server = GrpcServer(client.application, "127.0.0.1", 0, tls=tls)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@contextmanager
def channel_to(client: FlaskClient) -> Iterator[grpc.Channel]:
    """A channel to an application, for as long as both are there."""
    with answering(client) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def as_message(body: Mapping[str, Any], model: str = "digits") -> service_pb2.ModelInferRequest:
    """The JSON of an inference request as the message of the same protocol, by typed contents."""
    sent = service_pb2.ModelInferRequest(model_name=model, id=body.get("id", ""))
    set_parameters(sent, body.get("parameters", {}))
    for tensor in body.get("inputs", ()):
        made = sent.inputs.add(
            name=tensor.get("name", ""),
            datatype=tensor.get("datatype", ""),
            shape=tensor.get("shape", ()),
        )
        set_parameters(made, tensor.get("parameters", {}))
        if "data" in tensor:
            contents = getattr(made.contents, CONTENTS[tensor["datatype"]])
            data = tensor["data"]
            contents.extend(text.encode() if isinstance(text, str) else text for text in data)
    for output in body.get("outputs", ()):
        set_parameters(sent.outputs.add(name=output["name"]), output.get("parameters", {}))
    return sent


def set_parameters(into: Any, parameters: Mapping[str, Any]) -> None:
    """Set parameters of a message by the types of their values."""
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in parameters.items():
        setattr(into.parameters[name], kinds[type(value)], value)


def refusal(call: Callable[..., Any], sent: Any, **how: Any) -> tuple[str, str]:
    """The code and the text by which a call is refused.

    Raises:
        Failed: it is not.
    """
    with pytest.raises(grpc.RpcError) as refused:
        call(sent, **how)
    return refused.value.code().name, refused.value.details()
