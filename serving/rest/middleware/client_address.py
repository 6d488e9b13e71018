"""The address of the client, which behind a reverse proxy is in a header.

Anybody can send `X-Forwarded-For`. Each proxy appends the address that it was contacted from, so
the last entries are its own: from the right, the first address that is no trusted proxy's counts.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from overnight.store.errors import ConfigurationError

_SETTING = "OVERNIGHT_TRUSTED_PROXIES"


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed; by default none."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """Addresses, or networks such as `10.0.0.0/8`.

        Raises:
            ConfigurationError: one of them is neither.
        """
        self._networks: list[IPv4Network | IPv6Network] = []
        for network in networks:
            try:
                self._networks.append(ip_network(network, strict=False))
            except ValueError:
                raise ConfigurationError(
                    f"{_SETTING}: expected addresses or networks such as 10.0.0.0/8, "
                    f"found {network!r:.80}"
                ) from None

    def client(self, address: str, forwarded: str) -> str:
        """The client of a connection from `address` with this `X-Forwarded-For`."""
        for hop in reversed(forwarded.split(",")):
            if not self._is_trusted(address):
                break
            before = _without_port(hop.strip())
            if before is None:
                # Nothing before a hop that is no address is any better.
                break
            address = before
        return address

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped in network for network in self._networks)


def _without_port(hop: str) -> str | None:
    """The address of one hop (`192.0.2.7`, `192.0.2.7:80`, `[2001:db8::1]:80`), or None."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None
