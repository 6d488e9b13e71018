"""JavaScript's `fetch` and Java's `HttpClient`, as they come with Node.js and Java.

Rules: a text without a type is JSON; chunked bodies are read (RFC 9112); an offer of HTTP/2 may be
ignored (RFC 9110); raw tensors are little-endian on every platform.
"""

import shutil
from pathlib import Path

import numpy as np
import playwright
import pytest

from tests.support.serving import bundles
from tests.support.serving.client_environments import told_by

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

ENVIRONMENTS = Path(__file__).parent / "environments"
# Comes with the browsers' driver, so that it is wherever the tests are.
NODE = Path(playwright.__file__).parent / "driver" / "node"
JAVA = shutil.which("java")
EXPECTED = bundles.probabilities(1, bundles.IMAGES)


def _told(serving, *command: object) -> dict:
    url = f"http://127.0.0.1:{serving.port}"
    return told_by(*command, url, bundles.MODEL, sent=bundles.IMAGES.tolist())


@pytest.fixture(scope="module")
def by_node(serving) -> dict:
    return _told(serving, NODE, ENVIRONMENTS / "ask.mjs")


def test_fetch_sends_json_without_a_type_and_reads_compressed_answers(by_node):
    told = by_node["json"]

    assert (told["status"], told["encoding"]) == (200, "gzip")
    assert told["answer"]["id"] == "from-node"
    assert np.allclose(told["answer"]["outputs"][0]["data"], EXPECTED.ravel(), atol=1e-6)


def test_fetch_reads_rows(by_node):
    assert np.allclose(by_node["v1"]["predictions"], EXPECTED, atol=1e-6)


def test_fetch_sends_and_reads_raw_tensors(by_node):
    assert np.allclose(by_node["raw"], EXPECTED.ravel(), atol=1e-6)


def test_fetch_may_send_a_stream_of_unknown_length(by_node):
    assert by_node["chunked"] == 200


def test_fetch_reads_errors_and_liveness(by_node):
    assert by_node["refusal"]["status"] == 400
    assert by_node["refusal"]["error"].startswith("the body: expected JSON")
    assert by_node["alive"] == {"status": "alive"}


@pytest.mark.skipif(JAVA is None, reason="no Java on this machine")
def test_javas_client_reads_rows_raw_tensors_and_health(serving):
    told = _told(serving, JAVA, ENVIRONMENTS / "Ask.java")

    assert (told["status"], told["refused"]) == (200, 400)
    assert np.allclose(told["v1"]["predictions"], EXPECTED, atol=1e-6)
    blank = bundles.probabilities(1, np.zeros((1, 28, 28), np.uint8))
    assert np.allclose(told["raw"], blank[0], atol=1e-6)
    assert told["health"]["ready"] is True
