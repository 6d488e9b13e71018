"""Clients of the demonstration: they send digits over HTTP, and later what each of them was."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = "digits"
_SECONDS = 60
_LABELS_AT_ONCE = 100


@dataclass(frozen=True)
class Digits:
    """Some handwritten digits: `images`, uint8 [n, 28, 28], and `labels`, int8 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, count: int) -> "Digits":
        return Digits(self.images[start : start + count], self.labels[start : start + count])


@dataclass(frozen=True)
class Answers:
    """Of n requests of one digit each: the id, the class that was answered [n], and the version."""

    requests: Sequence[str]
    classes: NDArray[np.int8]
    versions: Sequence[str]

    def wrong(self, labels: NDArray[np.int8]) -> int:
        return int((self.classes != labels).sum())


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, path: str, body: object) -> tuple[str, Any]:
    """The request id of an answer, and its body.

    Raises:
        RuntimeError: serving answers with another status than 200.
    """
    headers = {"Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body).encode(), headers)
    response = connection.getresponse()
    text = response.read()
    if response.status != 200:
        raise RuntimeError(f"POST {path}: {response.status} {text[:500].decode()}")
    return response.getheader("X-Request-Id", ""), json.loads(text)


def served_version(port: int) -> str:
    """The version that answers requests; empty while there is none."""
    with connected(port) as connection:
        connection.request("GET", f"/v2/models/{MODEL}")
        response = connection.getresponse()
        response.read()
        return response.getheader("X-Model-Version", "")


def send(port: int, digits: Digits, *, version: str = "") -> Answers:
    """Send each digit in a request of its own, to the champion or to the version named."""
    path = f"/v2/models/{MODEL}" + (f"/versions/{version}" if version else "") + "/infer"
    requests, classes, versions = [], [], []
    with connected(port) as connection:
        for image in digits.images:
            request, body = post(connection, path, _body(image))
            requests.append(request)
            classes.append(int(np.argmax(body["outputs"][0]["data"])))
            versions.append(str(body["model_version"]))
    return Answers(requests, np.array(classes, np.int8), versions)


def _body(image: NDArray[np.uint8]) -> Mapping[str, object]:
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8"}
    return {
        "inputs": [{**tensor, "data": image.ravel().tolist()}],
        "outputs": [{"name": "probabilities"}],
    }


def send_labels(port: int, requests: Sequence[str], labels: NDArray[np.int8]) -> int:
    """Send the truth of answered requests, a hundred at once; how many were accepted."""
    sent = [
        {"request": request, "truth": str(label)}
        for request, label in zip(requests, labels, strict=True)
    ]
    accepted = 0
    with connected(port) as connection:
        for start in range(0, len(sent), _LABELS_AT_ONCE):
            body = {"labels": sent[start : start + _LABELS_AT_ONCE]}
            accepted += int(post(connection, f"/api/models/{MODEL}/feedback", body)[1]["accepted"])
    return accepted
