"""Asks serving with MLServer's codecs and types, and prints what it was told.

Runs in MLServer's environment. Its types are generated from the protocol's OpenAPI document, so an
answer that is none of the protocol's objects ends the script.
"""

import importlib.resources
import json
import sys
import urllib.error
import urllib.request

import grpc
import numpy as np
import pandas as pd
from mlserver import types
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.grpc import converters, dataplane_pb2, dataplane_pb2_grpc


def fetch(address: str, body: str | None = None) -> bytes:
    request = urllib.request.Request(
        address, body.encode() if body else None, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def ask(url: str, model: str, rows: list) -> dict[str, object]:
    images = np.array(rows, np.uint8)
    server = types.MetadataServerResponse.model_validate_json(fetch(f"{url}/v2"))
    metadata = types.MetadataModelResponse.model_validate_json(fetch(f"{url}/v2/models/{model}"))
    index = types.RepositoryIndexResponse.model_validate_json(
        fetch(f"{url}/v2/repository/index", types.RepositoryIndexRequest().model_dump_json())
    )
    request = types.InferenceRequest(inputs=[NumpyCodec.encode_input("image", images)])
    infer = f"{url}/v2/models/{model}/infer"
    answer = types.InferenceResponse.model_validate_json(fetch(infer, request.model_dump_json()))
    decoded = {each.name: NumpyCodec.decode_output(each).tolist() for each in answer.outputs}
    first = answer.model_copy(update={"outputs": answer.outputs[:1]})
    return {
        "server": server.name,
        "platform": metadata.platform,
        "inputs": [(each.name, str(each.datatype), each.shape) for each in metadata.inputs],
        "states": [str(each.state) for each in index.root],
        "version": answer.model_version,
        "outputs": decoded,
        "by request codec": NumpyRequestCodec.decode_response(first).tolist(),
        "refused": _refusal(infer, types.InferenceRequest(inputs=[]).model_dump_json()),
        "document": json.loads(
            importlib.resources.files("mlserver.rest.openapi")
            .joinpath("dataplane.json")
            .read_text()
        ),
    }


def ask_over_grpc(address: str, model: str, rows: list) -> dict[str, object]:
    """What its generated stub and its converters of messages read."""
    images = np.array(rows, np.uint8)
    request = types.InferenceRequest(
        id="mine", inputs=[NumpyCodec.encode_input("image", images)], parameters={"mine": "text"}
    )
    with grpc.insecure_channel(address) as channel:
        stub = dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        server = stub.ServerMetadata(dataplane_pb2.ServerMetadataRequest())
        metadata = stub.ModelMetadata(dataplane_pb2.ModelMetadataRequest(name=model))
        index = stub.RepositoryIndex(dataplane_pb2.RepositoryIndexRequest())
        answers = [
            converters.ModelInferResponseConverter.to_types(
                stub.ModelInfer(
                    converters.ModelInferRequestConverter.from_types(
                        request, model_name=model, use_raw=use_raw
                    )
                )
            )
            for use_raw in (False, True)
        ]
        try:
            stub.ModelInfer(dataplane_pb2.ModelInferRequest(model_name=model))
        except grpc.RpcError as error:
            refused = (error.code().name, error.details())
    return {
        "server": converters.ServerMetadataResponseConverter.to_types(server).name,
        "platform": converters.ModelMetadataResponseConverter.to_types(metadata).platform,
        "states": [each.state for each in index.models],
        "ids": [answer.id for answer in answers],
        "outputs": [
            {each.name: NumpyCodec.decode_output(each).tolist() for each in answer.outputs}
            for answer in answers
        ],
        "refused": refused,
    }


def _refusal(address: str, body: str) -> tuple[int, str]:
    try:
        fetch(address, body)
    except urllib.error.HTTPError as refusal:
        error = types.InferenceErrorResponse.model_validate_json(refusal.read())
        return refusal.code, str(error.error)
    return 200, ""


def table() -> str:
    """A table with a missing value, and a list for each of its rows, as one request."""
    frame = pd.DataFrame({"title": ["red blau", "green"], "price": [4.0, None]})
    # Its codec knows texts as objects only, which pandas has another type for since release 3.
    frame = frame.astype({"title": object, "price": "float32"})
    request = PandasCodec.encode_request(frame, use_bytes=False)
    request.inputs.append(StringCodec.encode_input("shop", ["north", "west"], use_bytes=False))
    request.inputs.append(NumpyCodec.encode_input("clicks", np.float32([[1, 2], [3, 4]])))
    return request.model_dump_json()


if __name__ == "__main__":
    sent = json.load(sys.stdin)
    told = ask(sys.argv[1], sys.argv[2], sent)
    told["grpc"] = ask_over_grpc(sys.argv[3], sys.argv[2], sent)
    print(json.dumps(told | {"table": table()}))
