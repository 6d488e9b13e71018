"""Names of headers and environ keys."""

from collections.abc import Callable, Iterable
from typing import Any

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs.content_types import Environ, Hold

VERSION_HEADER = "X-Model-Version"
REQUEST_ID = "X-Request-Id"
PREDICTION_LOG = "X-Prediction-Log"
UNLIKE_HEADER = "X-Input-Unlike-Training"
NO_SNIFF = ("X-Content-Type-Options", "nosniff")

# Environ keys: the name of the client's API key; by what the client is limited, once its request is
# admitted; the error that Flask must report; the model of a request whose path names none, and the
# version that was chosen for it.
CLIENT = "overnight.client"
ADMITTED = "overnight.admitted"
# A client's key is hashed, logged and counted, so its length has a limit.
CLIENT_KEY_CHARACTERS = 200
SLOT = "overnight.slot"
# Of a request that came by another protocol than HTTP: how it is counted.
PROTOCOL = "overnight.protocol"
# What reserves memory for the body.
HOLD = "overnight.hold"
REFUSAL = "overnight.refusal"
TARGET_MODEL = "overnight.model"
CHOSEN_VERSION = "overnight.version"

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def only_explores(environ: Environ) -> bool:
    """Whether a request asks, by `X-Prediction-Log: skip`, that its answer is not recorded.

    Raises:
        BadInput: the header says something else.
    """
    sent: str = environ.get("HTTP_X_PREDICTION_LOG", "")
    if not sent:
        return False
    if sent.strip().lower() != "skip":
        expected = "`skip`, or no such header where the answer may be recorded"
        raise BadInput(PREDICTION_LOG, expected=expected, found=f"{sent[:40]!r}")
    return True


def hold_of(environ: Environ) -> Hold:
    """What reserves memory for the body of a request; nothing does without the server."""
    hold: Hold = environ.get(HOLD, lambda _: None)
    return hold
