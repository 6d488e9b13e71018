"""Types of the settings of notifications with their validation; no error repeats a secret."""

import ipaddress
import re
from collections.abc import Mapping
from email.headerregistry import Address
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import NoDecode

from overnight.infra.formats import is_loopback

SHORTEST_SECRET = 16
# Of the summary, instead of a time of day.
NEVER = "never"
# Without `summary`, which is sent by a flow of its own, and `test`.
EVENT_KINDS = (
    "refused",
    "failed",
    "crashed",
    "awaiting",
    "rolled-back",
    "unconfirmed",
    "source-failed",
    "superseded",
    "late",
    "alarm",
)
KINDS = (*EVENT_KINDS, "summary")
DEFAULT_KINDS = tuple(kind for kind in KINDS if kind != "superseded")
_BLOCK = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*/[a-z0-9]+(?:-[a-z0-9]+)*")
_OWN_NAMES = (".local", ".internal", ".lan", ".svc", ".home.arpa", ".localhost")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def is_private_host(host: str) -> bool:
    """Whether a host is this machine or in a network that is not the public one.

    A name without a dot is one of a local network or a cluster.
    """
    if is_loopback(host):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host.rstrip(".") or host.rstrip(".").lower().endswith(_OWN_NAMES)


def _webhook(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        return value
    try:
        address = urlsplit(text)
        _ = address.port
    except ValueError:
        raise ValueError("expected an address such as https://chat.example.org/hook") from None
    if address.scheme not in {"http", "https"} or not address.hostname or not text.isascii():
        raise ValueError("expected an address such as https://chat.example.org/hook")
    if any(character.isspace() for character in text):
        raise ValueError("expected an address without spaces")
    if "@" in address.netloc:
        raise ValueError("expected an address without user and password; requests are signed")
    if address.fragment:
        raise ValueError("expected an address without a fragment (#)")
    if address.scheme == "http" and not is_private_host(address.hostname):
        raise ValueError("expected https:// for a host outside of your own network")
    return value


def _is_address(text: str) -> bool:
    try:
        address = Address(addr_spec=text)
    # The parser of the standard library fails in several ways on what is no address.
    except Exception:  # noqa: BLE001
        return False
    return bool(address.username and address.domain) and text.isprintable() and " " not in text


def check_address(text: str) -> str:
    """Refuse what is no single mail address, such as a name with one, or two lines."""
    if text and not _is_address(text):
        raise ValueError("expected a mail address such as ann@example.org")
    return text


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        check_address(value)
    return values


def _host(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9.:-]+", value):
        raise ValueError("expected the name or address of a host, without a scheme or port")
    return value


def _blocks(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_BLOCK.fullmatch(value) for value in values):
        raise ValueError("expected blocks as TYPE/NAME, such as slack-webhook/team")
    return values


def _kinds(values: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [value for value in values if value not in KINDS]
    if unknown:
        raise ValueError(f"expected some of {', '.join(KINDS)}; {unknown[0]!r} is none")
    return values


def _time_of_day(value: str) -> str:
    if value != NEVER and not _TIME.fullmatch(value):
        raise ValueError(f"expected a time of day such as 07:00, or {NEVER}")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected the IANA name of a time zone, such as Europe/Berlin") from None
    return value


def check_webhook_secret(value: SecretStr, others: Mapping[str, Any]) -> SecretStr:
    """A webhook is signed, so it needs a secret; `others` are the settings before this one."""
    text, url = value.get_secret_value(), others.get("notify_webhook_url")
    if url is not None and url.get_secret_value() and not text:
        raise ValueError(
            "expected a secret with OVERNIGHT_NOTIFY_WEBHOOK_URL, by which receivers verify "
            "requests; `openssl rand -hex 32` makes one"
        )
    if text and len(text) < SHORTEST_SECRET:
        raise ValueError(f"expected at least {SHORTEST_SECRET} characters")
    return value


def check_needed_for_mail(value: str, others: Mapping[str, Any]) -> str:
    """Mail needs a sender and a server."""
    if others.get("notify_mail_to") and not value:
        raise ValueError("expected a value with OVERNIGHT_NOTIFY_MAIL_TO")
    return value


def check_mail_password(value: SecretStr, others: Mapping[str, Any]) -> SecretStr:
    """User and password come together, and cross the public network encrypted only."""
    user, host = others.get("notify_smtp_user", ""), others.get("notify_smtp_host", "")
    if bool(user) != bool(value.get_secret_value()):
        raise ValueError("expected both OVERNIGHT_NOTIFY_SMTP_USER and its password, or neither")
    is_clear = others.get("notify_smtp_security") == "none"
    if is_clear and host and not is_private_host(host):
        raise ValueError(
            "expected OVERNIGHT_NOTIFY_SMTP_SECURITY to be starttls or tls for a host outside of "
            "your own network"
        )
    if is_clear and user and not is_loopback(host):
        raise ValueError(
            "expected OVERNIGHT_NOTIFY_SMTP_SECURITY to be starttls or tls where a password is sent"
        )
    return value


WebhookAddress = Annotated[SecretStr, AfterValidator(_webhook)]
MailAddress = Annotated[str, AfterValidator(check_address)]
MailAddresses = Annotated[tuple[str, ...], NoDecode, AfterValidator(_addresses)]
MailHost = Annotated[str, Field(max_length=253), AfterValidator(_host)]
Blocks = Annotated[tuple[str, ...], NoDecode, AfterValidator(_blocks)]
Kinds = Annotated[tuple[str, ...], NoDecode, AfterValidator(_kinds)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
TimeZone = Annotated[str, AfterValidator(_zone)]
