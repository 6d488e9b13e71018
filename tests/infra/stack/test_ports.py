"""Ports: taken ones are reported with their holder and a remedy."""

import os
import socket
from pathlib import Path

import pytest

from overnight.infra.stack.ports import Listening, check_free, free_port, is_free
from overnight.store.errors import ConfigurationError


def test_a_taken_port_is_named_with_its_setting_and_its_holder():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        with pytest.raises(ConfigurationError) as raised:
            check_free(Listening(port, "OVERNIGHT_SERVING_PORT"))

    assert f"port {port} is taken by process {os.getpid()}" in str(raised.value)
    assert "set OVERNIGHT_SERVING_PORT" in str(raised.value)


def test_a_free_port_passes():
    port = free_port()

    check_free(Listening(port, "OVERNIGHT_SERVING_PORT"))

    assert is_free(port)


def test_a_free_port_is_none_that_an_outgoing_connection_takes():
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(kernel.read_text().split()[0]) if kernel.exists() else 32_768
    only = free_port(twin=10_000)
    others = set(range(1, 65_536)) - {only}

    port = free_port(twin=10_000, exclude=others)

    assert port == only
    assert port + 10_000 < first


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="a kernel without IPv6")
def test_a_server_may_listen_at_all_ipv6_addresses():
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::", 0))
        server.listen()
        port = server.getsockname()[1]

        with pytest.raises(ConfigurationError, match=f"port {port} is taken"):
            check_free(Listening(port, "OVERNIGHT_SERVING_PORT", "::"))

    check_free(Listening(port, "OVERNIGHT_SERVING_PORT", "::"))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_no_machine_or_another_is_not_called_taken(host):
    with pytest.raises(ConfigurationError, match=f"no server can listen at {host}") as raised:
        check_free(Listening(free_port(), "OVERNIGHT_SERVING_PORT", host))

    assert "OVERNIGHT_SERVING_HOST" in str(raised.value)
