"""Proxies between this machine and the store."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the environment variable that names it; its credentials are never shown."""

    url: str = field(repr=False)
    variable: str

    def __str__(self) -> str:
        address = urlsplit(self.url)
        return (
            f"the proxy at {address.scheme}://{address.netloc.rpartition('@')[2]} ({self.variable})"
        )
