"""Compressed bodies: accepted encodings, limits and errors."""

import gzip
import json
import zlib

import pytest

from overnight.serving.inference.limits import Limits
from tests.support.serving.clients import INFER, LIMITS, PREDICT, application_of, v2
from tests.support.serving.server_in_memory import post

BODY = json.dumps(v2()).encode()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        # Several members are one body (RFC 1952).
        ("gzip", gzip.compress(BODY[:100]) + gzip.compress(b"") + gzip.compress(BODY[100:])),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
        ("", BODY),
    ],
)
def test_a_compressed_body_is_accepted(client, encoding, body):
    plain = client.post(INFER, data=BODY, content_type="application/json")

    compressed = client.post(
        INFER, data=body, content_type="application/json", headers={"Content-Encoding": encoding}
    )

    assert (compressed.status_code, compressed.json) == (200, plain.json)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "message"),
    [
        ("br", BODY, 415, "Content-Encoding: expected gzip, deflate or identity, found br"),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 415, "found gzip, gzip"),
        ("gzip", BODY, 400, "the body: expected gzip, found"),
        ("gzip", b"", 400, "found an end before its end"),
        ("gzip", gzip.compress(BODY)[:-1], 400, "found an end before its end"),
        ("deflate", zlib.compress(BODY)[:90], 400, "found an end before its end"),
        ("gzip", gzip.compress(BODY) + b"more", 400, "found bytes after its end"),
        ("gzip", gzip.compress(BODY) + bytes(8), 400, "found bytes after its end"),
        ("gzip", gzip.compress(BODY) + gzip.compress(b"")[:-1], 400, "found an end before its end"),
        ("gzip", gzip.compress(b"") * 1_001, 400, "found more than 1,000 members"),
        ("deflate", zlib.compress(BODY) + zlib.compress(b""), 400, "found bytes after its end"),
        ("gzip", gzip.compress(bytes(9_000_000)), 413, f"at most {LIMITS.body_bytes} bytes"),
        # One budget for all members.
        ("gzip", gzip.compress(bytes(60_000)) * 2, 413, f"at most {LIMITS.body_bytes} bytes"),
    ],
)
@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_an_invalid_compressed_body_is_refused(client, path, encoding, body, status, message):
    answer = client.post(
        path, data=body, content_type="application/json", headers={"Content-Encoding": encoding}
    )

    assert answer.status_code == status
    assert message in answer.json["error"]


def test_a_compression_bomb_is_not_decompressed_beyond_the_limit(client):
    bomb = zlib.compress(b" " * (LIMITS.body_bytes + 1), 9)
    fits = zlib.compress(BODY + b" " * (LIMITS.body_bytes - len(BODY)), 9)
    assert len(bomb) < 1_000

    actual = [
        client.post(
            INFER,
            data=body,
            content_type="application/json",
            headers={"Content-Encoding": "deflate"},
        ).status_code
        for body in (bomb, fits)
    ]

    assert actual == [413, 200]


def test_decompressed_bytes_count_as_those_of_a_large_body():
    client = application_of(limits=Limits(large_bytes=50_000))
    headers = [("Content-Encoding", "gzip")]
    large = gzip.compress(BODY + b" " * 60_000)

    first, again = (post(client.application, INFER, large, *headers) for _ in range(2))
    small = post(client.application, INFER, gzip.compress(BODY), *headers)

    assert (first.status, again.status, small.status) == (503, 503, 200)
    assert "memory" in first.json["error"]
