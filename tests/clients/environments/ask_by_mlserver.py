"""Asks serving with MLServer's codecs and types, and prints what it was told.

Runs in MLServer's environment. Its types are generated from the protocol's OpenAPI document, so an
answer that is none of the protocol's objects ends the script.
"""

import importlib.resources
import json
import sys
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
from mlserver import types
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec


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
    told = ask(sys.argv[1], sys.argv[2], json.load(sys.stdin))
    print(json.dumps(told | {"table": table()}))
