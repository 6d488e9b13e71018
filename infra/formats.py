"""Types of settings with their validation; error messages never repeat a secret value."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import NoDecode

# What S3 clients accept as a host: labels of letters, digits and inner hyphens.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
# As browsers send it: lower case, and no port that goes without saying.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")

# Servers whose names of metrics serving knows.
PEERS = ("triton", "kserve", "tensorflow-serving")
# A path by which clients ask: segments of what RFC 3986 allows unescaped.
_ROUTE = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?|/")


def _valid_host(value: str | None) -> str | None:
    """Refuse host names that S3 clients refuse, such as `my_store`."""
    host = urlsplit(value).hostname if value is not None else None
    # Colons are those of an IPv6 address, which clients check by themselves.
    if host and ":" not in host and not _HOST.fullmatch(host):
        raise ValueError("expected a host of letters, digits, hyphens and dots")
    return value


def _no_credentials(value: str | None) -> str | None:
    """Refuse credentials in an address: errors and pages show it, and clients ignore them."""
    if value is None:
        return None
    if "@" in urlsplit(value).netloc:
        raise ValueError(
            "expected an address without user or password, which have settings of their own "
            "(OVERNIGHT_S3_ACCESS_KEY and OVERNIGHT_S3_SECRET_KEY, OVERNIGHT_PREFECT_AUTH)"
        )
    try:
        TypeAdapter(HttpUrl).validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None
    return value


def _no_query(value: str | None) -> str | None:
    """Refuse what comes after the path of an address: clients drop it or ask for another."""
    if value is not None and ("?" in value or "#" in value):
        raise ValueError("expected an address without a query (?) or a fragment (#)")
    return value


def _no_path(value: str | None) -> str | None:
    """Refuse a path: S3 signs it, so a store below one refuses every request as badly signed."""
    if value is not None and urlsplit(value).path.strip("/"):
        raise ValueError(
            "expected an address without a path: a store can only be reached at the root of its "
            "host, and OVERNIGHT_S3_BUCKET names the bucket"
        )
    return value.rstrip("/") if value is not None else None


def _has_both(value: SecretStr) -> SecretStr:
    user, _, password = value.get_secret_value().partition(":")
    if value.get_secret_value() and not (user and password):
        raise ValueError("expected user:password")
    return value


def _over_http(value: SecretStr) -> SecretStr:
    address = urlsplit(value.get_secret_value())
    if any(address) and not (address.scheme in {"http", "https"} and address.hostname):
        raise ValueError("expected the address of a server, http:// or https://")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_ORIGIN.fullmatch(origin) for origin in value):
        raise ValueError("expected origins such as https://app.example, with no path and no *")
    return value


def _peers(value: tuple[str, ...]) -> tuple[str, ...]:
    if not set(value) <= set(PEERS) or len(set(value)) != len(value):
        raise ValueError(f"expected some of {', '.join(PEERS)}, each once")
    return value


def _route(value: str) -> str:
    if value and not (_ROUTE.fullmatch(value) and "/./" not in value and "/../" not in value):
        raise ValueError("expected a path such as /predict, without a query")
    return value.rstrip("/") or value


def _absolute(value: Path | None) -> Path | None:
    """Serving is not always started in the folder that a relative path was meant for."""
    if value is not None and not value.is_absolute():
        raise ValueError("expected an absolute path")
    return value


Route = Annotated[str, AfterValidator(_route)]
Port = Annotated[int, Field(ge=1, le=65535)]
Names = Annotated[tuple[str, ...], NoDecode]
Peers = Annotated[tuple[str, ...], NoDecode, AfterValidator(_peers)]
Origins = Annotated[tuple[str, ...], NoDecode, AfterValidator(_origins)]
Address = Annotated[str | None, AfterValidator(_no_credentials), AfterValidator(_no_query)]
S3Endpoint = Annotated[Address, AfterValidator(_valid_host), AfterValidator(_no_path)]
UserAndPassword = Annotated[SecretStr, AfterValidator(_has_both)]
SecretAddress = Annotated[SecretStr, AfterValidator(_over_http)]
AbsolutePath = Annotated[Path | None, AfterValidator(_absolute)]


def masked(text: str) -> str:
    """A text without what may be a user and a password in an address."""
    return re.sub(r"\S*@", "…@", text)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens at this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reachable_host(host: str) -> str:
    """The host of a URL by which this machine reaches a server that listens at `host`."""
    address = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
    return f"[{address}]" if ":" in address else address
