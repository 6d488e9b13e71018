"""The clients of store, Prefect and serving over proxies and TLS: one way for all of them."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from overnight.cli.actions import predict
from overnight.infra import connections
from overnight.infra.errors import OrchestratorUnavailable, ServingUnavailable
from overnight.infra.settings import Settings, load
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import StoreUnavailable, UntrustedStore
from overnight.store.objects.s3 import S3Bucket
from tests.support.certificates import tls_before, write_authority
from tests.support.s3_server import ACCESS, SECRET


def by_boto3(settings: Settings) -> None:
    S3Bucket(connections.address(settings), tries=1).ensure()


def by_delta(settings: Settings) -> None:
    Dataset.on_s3(connections.address(settings), "digits", "rows").version()


CLIENTS = pytest.mark.parametrize("ask", [by_boto3, by_delta])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Sets variables; all that `load` changes for the clients is as before afterwards."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(name.upper(), "")
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ACCESS_KEY", ACCESS)
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", SECRET)
    return monkeypatch.setenv


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that reaches nothing, and what it was asked for."""
    asked: list[str] = []

    class Unreachable(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(503, explain="The host could not be reached")

        do_HEAD = do_PUT = do_POST = do_CONNECT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Unreachable) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@CLIENTS
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_reach_the_store_is_named(ask, scheme, proxy, environment):
    url, asked = proxy
    environment(f"{scheme}_proxy", url)
    environment("OVERNIGHT_S3_ENDPOINT", f"{scheme}://store.example:9000")

    with pytest.raises(StoreUnavailable, match=rf"the proxy at {url} \({scheme}_proxy\)") as raised:
        ask(load())

    assert (f"({scheme}_proxy) answered 503" in str(raised.value)) == (scheme == "http")
    assert "no_proxy" in str(raised.value)
    assert asked


def test_a_proxy_that_does_not_reach_prefect_is_named(proxy, environment):
    url, _asked = proxy
    environment("http_proxy", url)
    environment("OVERNIGHT_PREFECT_API_URL", "http://prefect.example/api")

    with pytest.raises(OrchestratorUnavailable, match=rf"the proxy at {url} \(http_proxy\) answ"):
        connections.prefect(load()).request("GET", "/health")


def test_a_proxy_that_does_not_reach_serving_is_named(proxy, environment):
    url, _asked = proxy
    environment("http_proxy", url)
    environment("OVERNIGHT_SERVING_URL", "http://serving.example")

    with pytest.raises(
        ServingUnavailable, match=rf"the proxy at {url} \(http_proxy\) answered 503"
    ):
        predict.run("digits", [], as_json=True)


@CLIENTS
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost", "[::1]"])
def test_this_machine_is_never_asked_through_a_proxy(ask, host, proxy, environment):
    url, asked = proxy
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        environment(name, url)
    environment("OVERNIGHT_S3_ENDPOINT", f"http://{host}:1")

    with pytest.raises(StoreUnavailable) as raised:
        ask(load())

    assert not asked
    assert "proxy" not in str(raised.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def encrypted(s3_endpoint: str, authority: tuple[Path, Path], environment) -> Iterator[None]:
    """The store, behind a certificate of an authority of one's own."""
    _own, served = authority
    with tls_before(int(s3_endpoint.rpartition(":")[2]), served) as port:
        environment("OVERNIGHT_S3_ENDPOINT", f"https://127.0.0.1:{port}")
        yield


@pytest.mark.servers
@CLIENTS
def test_a_certificate_that_is_not_trusted_is_told_with_its_setting(ask, encrypted):
    with pytest.raises(UntrustedStore, match=r"not trusted \(.*OVERNIGHT_S3_CA_FILE"):
        ask(load())


@pytest.mark.servers
@CLIENTS
@pytest.mark.parametrize("name", ["OVERNIGHT_S3_CA_FILE", "AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_one_setting_is_enough_for_an_authority_of_ones_own(
    ask, name, encrypted, authority, environment
):
    environment(name, str(authority[0]))

    ask(load())
