"""Names of headers and environ keys."""

from collections.abc import Callable, Iterable
from typing import Any

from overnight.serving.inference.codecs.content_types import Environ

VERSION_HEADER = "X-Model-Version"
REQUEST_ID = "X-Request-Id"
NO_SNIFF = ("X-Content-Type-Options", "nosniff")

# Environ keys: the name of the client's API key; by what the client is limited, once its request is
# admitted; the error that Flask must report; and the version that was chosen for the request.
CLIENT = "overnight.client"
ADMITTED = "overnight.admitted"
REFUSAL = "overnight.refusal"
CHOSEN_VERSION = "overnight.version"

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
