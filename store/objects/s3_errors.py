"""Errors of botocore in the words of the store: what to try again, to fix, or to give up."""

import re
from typing import TYPE_CHECKING

from overnight.store.errors import (
    AlreadyExists,
    ConfigurationError,
    NotFound,
    OvernightError,
    StoreDenied,
    StoreUnavailable,
    UntrustedStore,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

    from overnight.store.objects.proxies import Proxy

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_LOST = {"412", "PreconditionFailed", "BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
# Time-outs, throttling and a concurrent write of the same key are 4xx too, but temporary.
_TRANSIENT = {"408", "409", "425", "429"}
# So is a body that was damaged on its way.
_DAMAGED_IN_TRANSIT = {"BadDigest", "IncompleteBody", "InvalidDigest", "RequestTimeout"}
_DENIED = {
    "401",
    "403",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "NoSuchBucket",
    # Expired temporary credentials are reported with status 400.
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}
# Refusals that come from proxies as well, which know nothing of S3.
_OF_PROXIES = {"401", "403", "407"}
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED\]\s*(?:certificate verify failed: )?([^(]*)")


def of_response(
    error: "ClientError", endpoint: str, *, name: str, proxy: "Proxy | None"
) -> OvernightError:
    """The error of a response about `name`: a key, or the bucket."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    # A response without a code of S3 was written by a proxy, or had no body.
    foreign = proxy is not None and (not code or code == status)
    if foreign and (status in _OF_PROXIES or status.startswith("5")):
        return StoreUnavailable(endpoint, f"{proxy} answered {status}", proxied=True)
    if code in _DENIED or (status in _DENIED and code not in _ABSENT):
        return StoreDenied(endpoint, code or status, what=f"{error.operation_name} {name}".strip())
    # HEAD responses have no body, so only a status and no code.
    if code in _ABSENT or status == "404":
        return NotFound(name)
    if code in _LOST or status in _LOST:
        return AlreadyExists(name)
    if status.startswith("4") and status not in _TRANSIENT and code not in _DAMAGED_IN_TRANSIT:
        message = error.response.get("Error", {}).get("Message", "")
        return ConfigurationError(
            f"the object store at {endpoint} rejects this request "
            f"({status} {code}: {message}); check the OVERNIGHT_S3_* settings"
        )
    return StoreUnavailable(endpoint, f"{status} {code}".strip(), answered=True)


def of_connection(
    error: "BotoCoreError", endpoint: str, *, proxy: "Proxy | None"
) -> StoreUnavailable | UntrustedStore:
    """The error of a request that got no response."""
    if untrusted := _UNTRUSTED.search(str(error)):
        return UntrustedStore(endpoint, untrusted.group(1).strip())
    through = f" through {proxy}" if proxy is not None else ""
    return StoreUnavailable(endpoint, type(error).__name__ + through, proxied=proxy is not None)
