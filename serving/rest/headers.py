"""Names of headers and environ keys, and the id and client of a request."""

import itertools
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from overnight.serving.inference.codecs.content_types import Environ

VERSION_HEADER = "X-Model-Version"
REQUEST_ID = "X-Request-Id"
NO_SNIFF = ("X-Content-Type-Options", "nosniff")

# Environ keys: the name of the client's API key, the error that Flask must report, and the version
# that was chosen for the request.
CLIENT = "overnight.client"
REFUSAL = "overnight.refusal"
CHOSEN_VERSION = "overnight.version"

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def client_of(environ: Environ) -> str:
    """The identity of the client, by which a canary assigns it to one version.

    `X-Client-Key`, which gateways set for the clients behind them; else the name of the API key;
    else the address.
    """
    return str(
        environ.get("HTTP_X_CLIENT_KEY") or environ.get(CLIENT) or environ.get("REMOTE_ADDR", "")
    )


class RequestIds:
    """Request ids: the client's own if valid, else a new one, which is unique and cheap."""

    def __init__(self) -> None:
        self._prefix = uuid.uuid4().hex[:20]
        # `next` of a counter is atomic, so that threads share it without a lock.
        self._numbers = itertools.count(1)

    def choose(self, sent: str) -> str:
        if sent and _REQUEST_ID.fullmatch(sent):
            return sent
        return f"{self._prefix}{next(self._numbers):012x}"
