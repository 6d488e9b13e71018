"""A page of another origin, in a browser on the machine of the store, reaches nothing inside it."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.s3_server import ACCESS, SECRET, seaweed

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
# A page reads an answer only where its origin is allowed; what is `no-cors` it sends all the same.
_ATTACK = """
async ([ports, paths]) => {
  const told = async (url, method, mode) => {
    const body = method === "GET" ? undefined : "foreign";
    try {
      const answer = await fetch(url, {method, body, mode});
      return [url, method, answer.status, answer.type === "opaque" ? "" : await answer.text()];
    } catch (error) {
      return [url, method, 0, ""];
    }
  };
  const urls = ports.flatMap((port) => paths.map((path) => `http://127.0.0.1:${port}${path}`));
  return await Promise.all(urls.flatMap((url) => [
    ...["GET", "POST", "PUT", "DELETE"].map((method) => told(url, method, "cors")),
    told(url, "POST", "no-cors"),
  ]));
}
"""
_PATHS = (
    "/",
    "/healthz",
    "/status",
    "/dir/status",
    "/dir/assign",
    "/submit",
    "/col/delete?collection=attacked",
    "/1,01637037d6",
    "/buckets/attacked/probe/kept",
    "/attacked/probe/kept",
)


@pytest.fixture
def foreign(page: Page) -> Iterator[Page]:
    """A page of a web server that is not ours."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<title>another site</title>")

        def log_message(self, *_words: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page.goto(f"http://localhost:{site.server_port}/")
        yield page
        site.shutdown()


def test_a_foreign_page_reads_and_changes_nothing_in_the_store(foreign: Page, tmp_path: Path):
    with seaweed(tmp_path) as endpoint:
        # given an object of ours
        bucket = S3Bucket(S3Address(endpoint, "attacked", ACCESS, SECRET))
        bucket.ensure()
        bucket.create("probe/kept", b"ours")

        # when a page asks and sends at every port, in every way that a page can
        ports = _listening(endpoint)
        answers = foreign.evaluate(_ATTACK, [ports, _PATHS])

        # then it has read nothing, and what was there is there
        assert len(ports) == 10
        assert [told for told in answers if 0 < told[2] < 400 and told[3]] == []
        assert bucket.keys_below("probe") == ["probe/kept"]
        assert bucket.read("probe/kept", limit=100) == b"ours"


def _listening(endpoint: str) -> list[int]:
    """Every port of the server at an endpoint, found as a page would find them: all of them."""
    found: dict[int, set[int]] = {}
    for connection in psutil.net_connections(kind="tcp4"):
        if connection.status == psutil.CONN_LISTEN and connection.pid:
            found.setdefault(connection.pid, set()).add(connection.laddr[1])
    public = int(endpoint.rpartition(":")[2])
    return next(sorted(ports) for ports in found.values() if public in ports)
