"""Proxies and certificate authorities of the environment, for all clients alike."""

from pathlib import Path

import pytest

from overnight.infra import network
from overnight.store.errors import ConfigurationError

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("environment", "url", "named"),
    [
        ({}, "http://store.example", None),
        ({"http_proxy": "http://p:3128"}, "http://store.example", "http://p:3128 (http_proxy)"),
        ({"HTTP_PROXY": "p:3128"}, "http://store.example:9000", "http://p:3128 (HTTP_PROXY)"),
        ({"http_proxy": "http://p:3128"}, "https://store.example", None),
        ({"all_proxy": "http://p:1"}, "https://store.example", "http://p:1 (all_proxy)"),
        ({"http_proxy": "http://ann:pw@p:1"}, "http://store.example", "http://p:1 (http_proxy)"),
        ({"http_proxy": "http://p:1", "no_proxy": "example"}, "http://store.example", None),
        ({"http_proxy": "http://p:1", "NO_PROXY": "*"}, "http://store.example", None),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.5:8333", None),
        ({"http_proxy": "http://p:1"}, "http://[::1]:8333", None),
        ({"http_proxy": "http://p:1"}, "http://localhost:8333", None),
    ],
)
def test_the_proxy_of_an_address_is_named_without_its_password(environment, url, named):
    proxy = network.proxy_of(environment, url)

    assert str(proxy) == (f"the proxy at {named}" if named else "None")
    assert "pw" not in repr(proxy)


def test_every_loopback_address_that_is_asked_is_kept_from_proxies():
    environment = {"https_proxy": "http://p:3128", "no_proxy": "intern.example"}

    network.bypass_proxies(environment, ["http://127.0.0.5:8333", "http://store.example:9000"])

    hosts = environment["no_proxy"].split(",")
    assert hosts[0] == "intern.example"
    assert {"127.0.0.1", "localhost", "::1", "127.0.0.5"} <= set(hosts)
    assert "store.example" not in hosts
    assert environment["NO_PROXY"] == environment["no_proxy"]


def test_without_proxies_nothing_is_set():
    environment: dict[str, str] = {}

    network.bypass_proxies(environment, ["http://127.0.0.1:8333"])

    assert environment == {}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.pem"
    file.write_text(CERTIFICATE.format("own"))
    return file


def test_an_authority_of_ones_own_is_trusted_beside_the_public_ones(own, tmp_path):
    environment: dict[str, str] = {}

    network.trust_authorities(environment, own, tmp_path / "both.pem")

    trusted = Path(environment["SSL_CERT_FILE"]).read_text()
    assert trusted.startswith(own.read_text())
    assert trusted.count("BEGIN CERTIFICATE") > 50


def test_authorities_that_were_given_stay_trusted_also_in_children(own, tmp_path):
    given = tmp_path / "given.pem"
    given.write_text(CERTIFICATE.format("given"))
    environment = {"SSL_CERT_FILE": str(given)}

    for _process in ("parent", "child"):
        network.trust_authorities(environment, own, tmp_path / "both.pem")

    assert Path(environment["SSL_CERT_FILE"]).read_text() == own.read_text() + given.read_text()


def test_a_file_that_both_clients_read_already_is_left_as_it_is(own, tmp_path):
    environment = {"SSL_CERT_FILE": str(own)}

    network.trust_authorities(environment, own, tmp_path / "both.pem")

    assert environment == {"SSL_CERT_FILE": str(own)}
    assert not (tmp_path / "both.pem").exists()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_without_certificates_is_named_with_its_setting(text, tmp_path):
    chosen = tmp_path / "ca.pem"
    if text is not None:
        chosen.write_text(text)

    with pytest.raises(ConfigurationError, match=r"OVERNIGHT_S3_CA_FILE.*ca\.pem"):
        network.trust_authorities({}, chosen, tmp_path / "both.pem")


def test_a_file_of_the_environment_that_is_not_there_is_named(own, tmp_path):
    environment = {"SSL_CERT_FILE": str(tmp_path / "gone.pem")}

    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE: .*gone\.pem"):
        network.trust_authorities(environment, own, tmp_path / "both.pem")
