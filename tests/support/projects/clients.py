"""Clients of the town's models: rows of a table, over the protocols that others speak."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import tritonclient.http as triton

from tests.support.projects import rows
from tests.support.serving.server_process import Serving


@dataclass(frozen=True)
class Client:
    """What a program that uses a model knows of it: its inputs, and the outputs that it wants."""

    model: str
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    # Tensors that one row of JSON holds as lists of any length.
    lists: tuple[str, ...] = field(default=())

    def later(self, name: str, datatype: str) -> "Client":
        """The same program after it has learned of one input more."""
        return Client(self.model, {**self.inputs, name: datatype}, self.outputs, self.lists)


@dataclass(frozen=True)
class Answer:
    """An answer as a client got it: outputs by name, and the version that the answer names."""

    status: int
    version: str
    outputs: Mapping[str, np.ndarray]
    body: Any

    @property
    def unknown(self) -> list[tuple[str, str]]:
        """Tensor and value of everything that the version has never seen."""
        entries = self.body.get("out_of_vocabulary")
        if entries is None:
            entries = json.loads(self.body.get("parameters", {}).get("out_of_vocabulary", "[]"))
        return [(entry["tensor"], entry["value"]) for entry in entries]


CLIENTS = {
    client.model: client
    for client in (
        Client(
            "churn",
            {"tariff": "BYTES", "age": "FP32", "use": "FP32", "complaints": "FP32"},
            ("probabilities",),
        ),
        Client("tickets", {"text": "BYTES", "channel": "BYTES"}, ("probabilities",)),
        Client("heating", {"area": "FP32", "outside": "FP32", "kind": "BYTES"}, ("need",)),
        Client(
            "machines", {"site": "BYTES", "readings": "FP32"}, ("probabilities",), ("readings",)
        ),
        Client("garments", {"photo": "UINT8"}, ("kind", "size")),
        Client("flats", {"area": "FP32", "rooms": "FP32", "district": "BYTES"}, ("rent",)),
    )
}


def published(client: Client, table: pa.Table) -> dict[str, list[Any]]:
    """The values of a table as a client has them: lists by input, None where one is missing."""
    columns = {name: table[name].to_pylist() for name in client.inputs}
    if "photo" in columns:
        columns["photo"] = [rows.pixels(photo).tolist() for photo in columns["photo"]]
    return columns


def ask_v1(serving: Serving, client: Client, table: pa.Table) -> Answer:
    """TensorFlow Serving's REST interface, row by row."""
    columns = published(client, table)
    names = list(columns)
    instances = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    status, headers, body = serving.request(
        "POST", f"/v1/models/{client.model}:predict", {"instances": instances}
    )
    assert isinstance(body, dict)
    given = body.get("predictions", [])
    return Answer(status, headers.get("x-model-version", ""), _by_name(client, given), body)


def ask_v2(serving: Serving, client: Client, table: pa.Table) -> Answer:
    """The Open Inference Protocol in JSON."""
    columns = published(client, table)
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": list(np.shape(columns[name])),
            "data": _flat(columns[name]),
        }
        for name, datatype in client.inputs.items()
    ]
    request = {"inputs": inputs, "outputs": [{"name": name} for name in client.outputs]}
    status, headers, body = serving.request("POST", f"/v2/models/{client.model}/infer", request)
    assert isinstance(body, dict)
    outputs = {
        tensor["name"]: np.array(tensor["data"]).reshape(tensor["shape"])
        for tensor in body.get("outputs", [])
    }
    assert body.get("model_version") == headers.get("x-model-version")
    return Answer(status, headers.get("x-model-version", ""), outputs, body)


def ask_binary(serving: Serving, client: Client, table: pa.Table) -> Answer:
    """NVIDIA Triton's own client, with binary tensors both ways."""
    columns = published(client, table)
    with triton.InferenceServerClient(f"127.0.0.1:{serving.port}") as connection:
        inputs = [
            _tensor(name, datatype, columns[name]) for name, datatype in client.inputs.items()
        ]
        wanted = [triton.InferRequestedOutput(name, binary_data=True) for name in client.outputs]
        result = connection.infer(client.model, inputs, outputs=wanted)
    body = result.get_response()
    outputs = {name: result.as_numpy(name) for name in client.outputs}
    return Answer(200, body["model_version"], outputs, body)


def ask_png(serving: Serving, model: str, png: bytes) -> Answer:
    """A picture as it is, over HTTP."""
    path = f"/v2/models/{model}/infer"
    status, headers, body = serving.request("POST", path, png, **{"Content-Type": "image/png"})
    assert isinstance(body, dict)
    outputs = {
        tensor["name"]: np.array(tensor["data"]).reshape(tensor["shape"])
        for tensor in body.get("outputs", [])
    }
    return Answer(status, headers.get("x-model-version", ""), outputs, body)


def _by_name(client: Client, predictions: Sequence[Any]) -> dict[str, np.ndarray]:
    return {client.outputs[0]: np.array(predictions)}


def _flat(values: list[Any]) -> list[Any]:
    """Numbers in row-major order, as most clients send them; None stays where it is."""
    if values and isinstance(values[0], list):
        return [each for row in values for each in _flat(row)]
    return values


def _tensor(name: str, datatype: str, values: list[Any]) -> triton.InferInput:
    if datatype == "BYTES":
        array = np.array([text.encode() for text in values], object)
    else:
        kind = {"FP32": "float32", "INT32": "int32", "UINT8": "uint8"}[datatype]
        array = np.array([np.nan if value is None else value for value in values], kind)
    tensor = triton.InferInput(name, array.shape, datatype)
    return tensor.set_data_from_numpy(array, binary_data=True)
