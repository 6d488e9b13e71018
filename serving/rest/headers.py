"""What middleware and routes share of a request: headers, environ keys, its id and its client."""

import itertools
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from overnight.serving.inference.codecs.content_types import Environ

VERSION_HEADER = "X-Model-Version"
REQUEST_ID = "X-Request-Id"
ALWAYS = ("X-Content-Type-Options", "nosniff")

# Environ keys: the name of the prediction key, the error that Flask is to answer with, and the
# version that a request met before it failed.
CLIENT = "overnight.client"
REFUSAL = "overnight.refusal"
MET_VERSION = "overnight.version"

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def client_of(environ: Environ) -> str:
    """The identity of the client, as far as it is known: a canary's share of clients sticks to it.

    `X-Client-Key` speaks for the client behind a gateway; without it, it is the name of the
    prediction key, and without that the address.
    """
    return str(
        environ.get("HTTP_X_CLIENT_KEY") or environ.get(CLIENT) or environ.get("REMOTE_ADDR", "")
    )


class RequestIds:
    """The caller's own id when it is decent, else one of ours; unique, and cheap to make."""

    def __init__(self) -> None:
        self._prefix = uuid.uuid4().hex[:20]
        self._numbers = itertools.count(1)

    def of(self, given: str) -> str:
        if given and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}{next(self._numbers):012x}"
