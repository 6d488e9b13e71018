"""Lanes: one image as a request of each API, and the digit in its response."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tritonclient.grpc import service_pb2

from benchmarks.serving.peers.network import Images

JSON = "application/json"
BINARY_HEADER = "Inference-Header-Content-Length"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class LaneRequest:
    """The body of one request, and the headers it needs."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Lane:
    """One API of a server: its path, and the request body for an image [28, 28]."""

    name: str
    path: str
    make_request: Callable[[Images], LaneRequest]
    # At the server's other port; the path is that of the method, the body its message.
    is_grpc: bool = False

    def request(self, image: Images, *, port: int) -> bytes:
        """The whole HTTP/1.1 request."""
        made = self.make_request(image)
        headers = {"Host": f"127.0.0.1:{port}", "Accept": "*/*", **made.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        lines.append(f"Content-Length: {len(made.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + made.body


def digit_of(body: bytes, json_length: int | None) -> int:
    """The digit that an answer is surest of.

    Args:
        json_length: where JSON ends and raw FP32 begins, when the answer says so.

    Raises:
        ValueError: there are no ten probabilities in it.
    """
    if json_length is not None:
        numbers: NDArray[Any] | None = np.frombuffer(body[json_length:], "<f4")
    else:
        numbers = _probabilities(json.loads(body))
    if numbers is None or numbers.size != 10:
        raise ValueError(f"expected ten probabilities, found {body[:200]!r}")
    return int(numbers.argmax())


def digit_of_message(message: bytes) -> int:
    """The digit that a `ModelInferResponse` is surest of; of raw contents or typed ones.

    Raises:
        ValueError: there are no ten probabilities in it.
    """
    answer = service_pb2.ModelInferResponse.FromString(message)
    if answer.raw_output_contents:
        numbers = np.frombuffer(answer.raw_output_contents[0], "<f4")
    else:
        contents = answer.outputs[0].contents if answer.outputs else None
        numbers = np.array(contents.fp32_contents if contents else [], np.float32)
    if numbers.size != 10:
        raise ValueError(f"expected ten probabilities, found {message[:200]!r}")
    return int(numbers.argmax())


def _probabilities(document: object) -> NDArray[Any] | None:
    """The first list of ten numbers, wherever a server wraps it."""
    if isinstance(document, list):
        if len(document) == 10 and all(isinstance(item, float | int) for item in document):
            return np.array(document)
        inner: list[object] = document
    else:
        inner = list(document.values()) if isinstance(document, dict) else []
    return next((item for item in map(_probabilities, inner) if item is not None), None)


def plain(image: Images) -> LaneRequest:
    """784 numbers under a name, as somebody who writes their own view asks."""
    return _json({"image": image.ravel().tolist()})


def nested(name: str) -> Callable[[Images], LaneRequest]:
    """A batch of one, as nested lists."""
    return lambda image: _json({name: [image.tolist()]})


def mlflow_named(image: Images) -> LaneRequest:
    """A batch of one as MLflow wants tensors that have names."""
    return _json({"inputs": {"image": [image.tolist()]}})


def v2(image: Images) -> LaneRequest:
    """The Open Inference Protocol's JSON, flat."""
    return _json({"inputs": [_tensor() | {"data": image.ravel().tolist()}]})


def v2_binary(image: Images) -> LaneRequest:
    """Its binary tensor extension, for the question and the answer."""
    tensor = _tensor() | {"parameters": {"binary_data_size": image.size}}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    text = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    headers = {"Content-Type": "application/octet-stream", BINARY_HEADER: str(len(text))}
    return LaneRequest(text + image.tobytes(), headers)


def v2_message(image: Images) -> LaneRequest:
    """The Open Inference Protocol over gRPC, with raw contents."""
    sent = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[image.tobytes()])
    sent.inputs.add(name="image", datatype="UINT8", shape=[1, 28, 28])
    sent.outputs.add(name="probabilities")
    return LaneRequest(sent.SerializeToString(), {})


def png(image: Images) -> LaneRequest:
    """The image as a picture."""
    body = io.BytesIO()
    Image.fromarray(image).save(body, "PNG")
    return LaneRequest(body.getvalue(), {"Content-Type": "image/png"})


def _tensor() -> dict[str, object]:
    return {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8"}


def _json(content: object) -> LaneRequest:
    # Without spaces, as clients that care send it.
    return LaneRequest(json.dumps(content, separators=(",", ":")).encode(), {"Content-Type": JSON})
