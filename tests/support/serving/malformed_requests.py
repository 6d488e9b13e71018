"""Requests that nobody would write by hand, each made from a seed."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.support.serving import bundles

VERSION = bundles.version_name(1)
INFER, PREDICT = "/v2/models/digits/infer", "/v1/models/digits:predict"
PATHS = [
    INFER,
    PREDICT,
    f"/v2/models/digits/versions/{VERSION}/infer",
    "/v1/models/digits/labels/champion:predict",
]
VALUES = [None, True, -1, 0, 1, 2, 28, 255, 256, 1.5, 1e308, -(2**63), 2**64, "", "image", "UINT8",
          "\u0000", "\ud83d\ude00", [], [[]], [None], {}, {"name": "image"}]  # fmt: skip
JUNK = [b"", b"\x00", b"\xff", b"NaN", b"[", b"}", b'"', b"1e999", b"\\ud800", b"9" * 400,
        b"[" * 3_000, b'{"a":' * 600, b"\xe9", "\u202e\U0001f600".encode()]  # fmt: skip
NAMES = [b"digits", b"nobody", b"..", b"%2e%2e", b"%00", b"%ff", b"a" * 300, b"%F0%9F%98%80", b"",
         b"digits%2F", b"digits;x", b"*", b"DIGITS", b"-", VERSION.encode()]  # fmt: skip
PARTS = [b"v1", b"v2", b"api", b"models", b"versions", b"labels", b"infer", b"ready", b"metadata",
         b"health", b"static", b"challenger", b"history", b"report", b"refresh", b"repository",
         b"index", b"rollback", b"docs"]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW", "X" * 30]
TYPES = ["application/json", "image/png", "application/octet-stream", "text/plain", "multipart/x",
         "application/json; charset=utf-16", ";;;", "multipart/form-data"]  # fmt: skip
HEADERS = {
    "Inference-Header-Content-Length": ["0", "-1", "1e3", "9" * 20, "9" * 5_000, "٣", " "],
    "Content-Encoding": ["gzip", "deflate", "br", "gzip, gzip", "identity", "\x7f"],
    "Accept": ["application/octet-stream", "*/*;q=x", ",,,", "a" * 5_000],
    "X-Request-Id": ["x" * 65, "../..", "{}", "a\tb"],
    "X-Client-Key": ["k" * 4_000, "ä"],
    "Authorization": ["Bearer", "Bearer " + "t" * 600, "Basic AAAA", "Bearer ü"],
    "X-API-Key": ["k" * 513, "\xa0"],
    "Host": ["", "a b", "[::", "x" * 300, "é"],
    "Range": ["bytes=0-", "bytes=9-1"],
    "Transfer-Encoding": ["identity"],
}
LARGEST = 60_000


@dataclass(frozen=True)
class Request:
    """One request; `alone` when it may well end its connection."""

    method: str
    path: bytes
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    alone: bool = False

    def encoded(self) -> bytes:
        reported = {"Host": "test", "Content-Type": "application/json"} | self.headers
        reported.setdefault("Content-Length", str(len(self.body)))
        lines = [self.method.encode() + b" " + self.path + b" HTTP/1.1"]
        lines += [f"{name}: {value}".encode() for name, value in reported.items()]
        return b"\r\n".join([*lines, b"", self.body])


def valid(path: str) -> dict:
    """The JSON of a request that is answered."""
    image = np.zeros((1, 28, 28), int)
    if path.startswith("/v1"):
        return {"signature_name": "serving_default", "instances": image.tolist()}
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": image.tolist()}
    return {"id": "1", "inputs": [tensor], "outputs": [{"name": "seen"}], "parameters": {}}


def spoil_values(chance: random.Random, value: object) -> object:
    """Walk down somewhere, and put something else there."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: spoil_values(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], spoil_values(chance, value[place]), *value[place + 1 :]]
    return chance.choice(VALUES)


def spoil_bytes(chance: random.Random, body: bytes) -> bytes:
    """Cut, swap or repeat bytes."""
    start, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    return body[:start] + chance.choice(JUNK) + body[chance.choice([start, end]) :]


def request(chance: random.Random) -> Request:
    """One of all kinds; some of them are right by chance."""
    return chance.choices(list(_KINDS), list(_KINDS.values()))[0](chance)


def _json(chance: random.Random) -> Request:
    path = chance.choice(PATHS)
    spoiled: object = valid(path)
    for _ in range(chance.randint(1, 3)):
        spoiled = spoil_values(chance, spoiled)
    body = json.dumps(spoiled).encode()
    if chance.random() < 0.4:
        body = spoil_bytes(chance, body)
    return Request("POST", path.encode(), body)


def _binary(chance: random.Random) -> Request:
    shape: object = [1, 28, 28]
    tensor = {"name": "image", "shape": shape, "datatype": "UINT8"}
    reported: object = {"inputs": [{**tensor, "parameters": {"binary_data_size": 784}}]}
    for _ in range(chance.randint(0, 2)):
        reported = spoil_values(chance, reported)
    text = json.dumps(reported).encode()
    length = str(max(0, len(text) + chance.choice([0, 0, 0, -1, 1, 784])))
    raw = bytes(chance.choice([784, 784, 783, 0, 785, 1_568]))
    body = text + raw
    if chance.random() < 0.3:
        body = spoil_bytes(chance, body)
    if chance.random() < 0.2:
        length = chance.choice(HEADERS["Inference-Header-Content-Length"])
    headers = {"Inference-Header-Content-Length": length, "Content-Type": chance.choice(TYPES)}
    return Request("POST", INFER.encode(), body, headers)


def _picture(chance: random.Random) -> Request:
    width, height = chance.choice([(28, 28), (28, 28), (27, 28), (0, 0), (2**31 - 1, 2**31 - 1)])
    depth, colour = chance.choice([(8, 0), (8, 0), (8, 2), (8, 6), (16, 0), (1, 3), (7, 9)])
    lines = zlib.compress(bytes(chance.choice([29 * 28, 29 * 28, 0, 50_000])))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    parts += chance.sample([(b"IDAT", lines), (b"zTXt", b"a\0\0" + lines), (b"tRNS", b"\0\0")], 2)
    body = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(inner)) + kind + inner + struct.pack(">I", zlib.crc32(kind + inner))
        for kind, inner in [*parts, (b"IEND", b"")]
    )
    if chance.random() < 0.5:
        body = spoil_bytes(chance, body)
    return Request("POST", INFER.encode(), body, {"Content-Type": "image/png"})


def _path(chance: random.Random) -> Request:
    parts = [chance.choice(chance.choice([NAMES, PARTS])) for _ in range(chance.randint(0, 6))]
    path = b"/" + b"/".join(parts)
    path += chance.choice([b"", b"", b":predict", b"?a=%ff&&==", b"/", b"//"])
    method = chance.choice(["GET", "POST", *METHODS])
    body = json.dumps(valid(INFER)).encode() if method != "TRACE" and chance.random() < 0.3 else b""
    return Request(method, path, body)


def _headers(chance: random.Random) -> Request:
    """Headers that a server may refuse before we see them, and then hang up."""
    names = chance.sample(list(HEADERS), chance.randint(1, 3))
    headers = {name: chance.choice(HEADERS[name]) for name in names}
    body = json.dumps(valid(INFER)).encode()
    if "gzip" in headers.get("Content-Encoding", "") and chance.random() < 0.7:
        body = zlib.compress(body, wbits=31) + chance.choice([b"", b"", b"x", b"\0" * 90])
        body = body[: len(body) - chance.choice([0, 0, 1, 9])]
    return Request("POST", INFER.encode(), body, headers, alone=True)


def _lengths(chance: random.Random) -> Request:
    """Bodies that are shorter or longer than they say, or larger than is allowed."""
    body = json.dumps(valid(INFER)).encode()
    output = chance.choice([0, 1, len(body) - 1, len(body) + 50, 10**9, 2**64, -1])
    if chance.random() < 0.1:
        body, output = b" " * (LARGEST + 1), LARGEST + 1
    return Request("POST", INFER.encode(), body, {"Content-Length": str(output)}, alone=True)


def _noise(chance: random.Random) -> Request:
    """What is hardly HTTP."""
    line = base64.b64decode(chance.choice(["FgMBAgABAAH8AwM=", "UFJJICogSFRUUC8yLjA=", "AAAA"]))
    path = chance.choice([b"", b"*", line, b"http://elsewhere/v2", b"/" * 9_000, b"/\x7f\x01"])
    method = chance.choice([*METHODS, "", "\x16\x03\x01", "CONNECT"])
    return Request(method, path, chance.randbytes(40), alone=True)


_KINDS: dict[Callable[[random.Random], Request], float] = {
    _json: 45,
    _binary: 15,
    _picture: 12,
    _path: 20,
    _headers: 4,
    _lengths: 2,
    _noise: 2,
}
