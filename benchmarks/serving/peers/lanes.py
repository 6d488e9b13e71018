"""One image as each API wants it, and the digit that an answer means."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.serving.peers.network import Images

JSON = "application/json"
BINARY_HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Asked:
    """The body of one request, and the headers it needs."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Lane:
    """One way of asking a server: where, and with what body for an image [28, 28]."""

    name: str
    path: str
    asked: Callable[[Images], Asked]

    def request(self, image: Images, *, port: int) -> bytes:
        """The whole HTTP/1.1 request."""
        asked = self.asked(image)
        headers = {"Host": f"127.0.0.1:{port}", "Accept": "*/*", **asked.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        lines.append(f"Content-Length: {len(asked.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + asked.body


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


def _probabilities(found: object) -> NDArray[Any] | None:
    """The first list of ten numbers, wherever a server wraps it."""
    if isinstance(found, list):
        if len(found) == 10 and all(isinstance(one, float | int) for one in found):
            return np.array(found)
        inner: list[object] = found
    else:
        inner = list(found.values()) if isinstance(found, dict) else []
    return next((one for one in map(_probabilities, inner) if one is not None), None)


def plain(image: Images) -> Asked:
    """784 numbers under a name, as somebody who writes their own view asks."""
    return _json({"image": image.ravel().tolist()})


def nested(name: str) -> Callable[[Images], Asked]:
    """A batch of one, as nested lists."""
    return lambda image: _json({name: [image.tolist()]})


def mlflow_named(image: Images) -> Asked:
    """A batch of one as MLflow wants tensors that have names."""
    return _json({"inputs": {"image": [image.tolist()]}})


def v2(image: Images) -> Asked:
    """The Open Inference Protocol's JSON, flat."""
    return _json({"inputs": [_tensor() | {"data": image.ravel().tolist()}]})


def v2_binary(image: Images) -> Asked:
    """Its binary tensor extension, for the question and the answer."""
    tensor = _tensor() | {"parameters": {"binary_data_size": image.size}}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    text = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    headers = {"Content-Type": "application/octet-stream", BINARY_HEADER: str(len(text))}
    return Asked(text + image.tobytes(), headers)


def png(image: Images) -> Asked:
    """The image as a picture."""
    body = io.BytesIO()
    Image.fromarray(image).save(body, "PNG")
    return Asked(body.getvalue(), {"Content-Type": "image/png"})


def _tensor() -> dict[str, object]:
    return {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8"}


def _json(content: object) -> Asked:
    # Without spaces, as clients that care send it.
    return Asked(json.dumps(content, separators=(",", ":")).encode(), {"Content-Type": JSON})
