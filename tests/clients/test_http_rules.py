"""HTTP as other servers keep it: paths, `Host`, `Accept`, compression, caching.

Rules: RFC 9112 (one `Host`), RFC 9110 (`Vary`, `Accept-Encoding`, conditional requests), RFC 3986
(a path is what it is), and KServe's liveness at `/`.
"""

import gzip
import json
import re
import socket

import numpy as np
import pytest

from overnight.serving.inference.limits import Limits
from overnight.serving.rest.middleware.compression import LEAST_BYTES, takes_gzip
from overnight.serving.rest.static_files import static_path
from tests.support.serving.clients import (
    EXPECTED,
    IMAGES,
    INFER,
    PREDICT,
    application_of,
    v2,
)
from tests.support.serving.server_in_memory import Protocol, post, scope, send
from tests.support.serving.server_process import Serving

GZIP = {"Accept-Encoding": "gzip, deflate, br"}
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
PAGES = ["/", "/docs", "/api/openapi.json", f"{static_path()}/app.js", f"{static_path()}/page.css"]


@pytest.mark.parametrize(
    "path",
    ["/" + INFER, "//v2/models//digits/infer", "///" + INFER, "/v2//models/digits/infer",
     "/v2/./models/digits/infer", "/v2/x/../models/digits/infer", INFER + "//", "/" + PREDICT],
)  # fmt: skip
def test_a_path_of_empty_or_relative_segments_is_unknown_past_no_limit(path):
    # Given a server without a single place for inference, so that whatever got there would wait.
    client = application_of(limits=Limits(answering=0, body_bytes=100_000))

    response = post(client.application, path, json.dumps(v2()).encode())

    assert response.status == 404
    assert "digits" not in response.headers.get("x-model-version", "")


def test_a_path_may_end_with_a_slash(client):
    assert client.post(f"{INFER}/", json=v2()).status_code == 200


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        (["here"], "1.1", 200),
        (["here:8080"], "1.1", 200),
        (["[::1]:8080"], "1.1", 200),
        ([""], "1.1", 200),
        ([], "1.0", 200),
        ([], "1.1", 400),
        (["here", "here"], "1.1", 400),
        (["here", "there"], "1.1", 400),
        (["here, there"], "1.1", 200),
        (["he re"], "1.1", 400),
        (["here/there"], "1.1", 400),
        (["user@here"], "1.0", 400),
        (['"><script>'], "1.1", 400),
    ],
)
@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/health/live"])
def test_a_request_names_one_host(client, hosts, version, status, path):
    headers = [("Host", host) for host in hosts]
    # `authority` set: the helper adds no header of its own.
    request = scope(path, *headers, method="GET", http_version=version, authority=None)

    response = send(client.application, request, Protocol([]))

    expected = 400 if hosts == ["here, there"] else status
    assert response.status == expected
    if expected == 400:
        assert response.json["error"].startswith(("Host: expected", "host: expected"))


def test_http_2_names_its_host_as_an_authority(client):
    request = scope("/v2", method="GET", http_version="2", authority="here:8080")

    assert send(client.application, request, Protocol([])).status == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", None])
def test_the_root_says_that_the_server_is_alive(client, accept):
    response = client.get("/", headers={} if accept is None else {"Accept": accept})

    assert response.json == {"status": "alive"}
    assert "Accept" in response.headers["Vary"]


def test_the_root_is_a_page_for_browsers(client):
    response = client.get("/", headers=HTML)

    assert response.mimetype == "text/html"
    assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_compressed_for_those_who_take_it(client, path):
    with client.get(path, headers=HTML) as plain, client.get(path, headers=HTML | GZIP) as packed:
        assert gzip.decompress(packed.data) == plain.data
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.content_length == len(packed.data) < len(plain.data) / 2
        for response in (plain, packed):
            assert "Accept-Encoding" in ",".join(response.headers.getlist("Vary"))
        assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("encoding", [{}, GZIP])
def test_what_has_not_changed_is_not_sent_again(client, path, encoding):
    with client.get(path, headers=HTML | encoding) as first:
        tag = first.headers["ETag"]

    with client.get(path, headers=HTML | encoding | {"If-None-Match": tag}) as again:
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"].removeprefix("W/") == tag.removeprefix("W/")
    with client.get(path, headers=HTML | encoding | {"If-None-Match": '"other"'}) as other:
        assert other.status_code == 200


def test_static_files_are_kept_for_ever_under_the_digest_of_their_contents(client):
    page = client.get("/", headers=HTML).text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)

    assert len(addresses) > 2
    for address in addresses:
        assert address.startswith(f"{static_path()}/")
        with client.get(address) as response:
            assert response.status_code == 200
            assert "max-age=31536000" in response.headers["Cache-Control"]
    # Scripts import one another relative to their own address.
    with client.get(f"{static_path()}/app.js") as script:
        imported = re.findall(r'from "([^"]+)"', script.text)
    assert imported
    assert all(each.startswith("./") for each in imported)


@pytest.mark.parametrize("path", ["/docs", "/api/openapi.json"])
def test_what_depends_on_the_client_is_kept_by_no_shared_cache(client, path):
    control = client.get(path).headers["Cache-Control"]

    assert "private" in control
    assert "no-cache" in control


def test_long_answers_are_compressed_and_short_ones_are_not(client):
    long = client.post(INFER, json=v2(), headers=GZIP)
    short = client.post(
        INFER, json=v2(IMAGES[:1]) | {"outputs": [{"name": "probabilities"}]}, headers=GZIP
    )

    assert long.headers["Content-Encoding"] == "gzip"
    outputs = json.loads(gzip.decompress(long.data))["outputs"]
    assert np.allclose(outputs[0]["data"], EXPECTED.ravel(), atol=1e-6)
    assert "Content-Encoding" not in short.headers
    assert len(short.data) < LEAST_BYTES


def test_long_answers_stay_as_they_are_for_others(client):
    for headers in ({}, {"Accept-Encoding": "identity"}, {"Accept-Encoding": "br"}):
        response = client.post(INFER, json=v2(), headers=headers)
        assert "Content-Encoding" not in response.headers
        assert response.json["outputs"]


def test_raw_tensors_are_not_compressed(client):
    body = v2() | {"parameters": {"binary_data_output": True}}

    response = client.post(INFER, json=body, headers=GZIP)

    assert "Content-Encoding" not in response.headers
    assert response.content_length > LEAST_BYTES


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True), ("GZIP", True), ("deflate, gzip;q=0.5", True), ("x-gzip", True),
        ("*", True), ("gzip; q=1.0, *;q=0", True), ("br, *;q=0.1", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip;q=0, *", False),
        ("*;q=0", False), ("br;q=1", False), ("gzip;q=x", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_accept_encoding_is_read_with_its_weights(accepted, taken):
    assert takes_gzip(accepted) is taken


@pytest.mark.parametrize("path", [INFER, PREDICT, "/api/models"])
def test_the_key_of_a_client_has_a_limit(client, path):
    def status(length: int) -> int:
        headers = {"X-Client-Key": "k" * length}
        body = v2() if path == INFER else {"instances": IMAGES.tolist()}
        if path.startswith("/api"):
            return client.get(path, headers=headers).status_code
        return client.post(path, json=body, headers=headers).status_code

    assert (status(200), status(201), status(2_000)) == (200, 400, 400)


def _status(serving: Serving, head: str, body: bytes = b"") -> int:
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as connection:
        length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(f"{head}\r\n{length}".encode() + body)
        return int(connection.recv(100).split()[1])


@pytest.mark.servers
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"POST {INFER} HTTP/1.1\r\nHost: here", 200),
        (f"POST /{INFER} HTTP/1.1\r\nHost: here", 404),
        (f"POST http://here{INFER} HTTP/1.1\r\nHost: here", 200),
        (f"POST http://here/{INFER} HTTP/1.1\r\nHost: here", 404),
        (f"POST /%2F{INFER[1:]} HTTP/1.1\r\nHost: here", 404),
        (f"POST {INFER} HTTP/1.1", 400),
        (f"POST {INFER} HTTP/1.1\r\nHost: here\r\nHost: here", 400),
        (f"POST {INFER} HTTP/1.1\r\nHost: here\r\nHost: there", 400),
        (f"POST {INFER} HTTP/1.0", 200),
    ],
)
def test_the_server_keeps_these_rules_on_its_socket(serving, head, status):
    body = json.dumps(v2(IMAGES[:1])).encode()

    assert _status(serving, f"{head}\r\nContent-Type: application/json", body) == status
