"""Records of the prediction log, as serving writes them: answered requests, and labels of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
# Who answered: the current version, a canary, a version that the request named or whose earlier
# inputs it had; a shadow, whose answer no client saw; or the version that scored a batch.
Route = Literal["champion", "canary", "named", "earlier", "shadow", "batch"]
LabelOrigin = Literal["api", "page", "file", "arrival"]


@dataclass(frozen=True)
class AnsweredRequest:
    """One request of n rows, and the answer of one version to it.

    Attributes:
        request: our id of the request, which the answer's header has; a shadow's answer has that of
            the request that it shadowed.
        caller: the caller's own id (`id` of the protocol v2), or empty.
        at_us: when it was answered, in microseconds since 1970 (UTC).
        client: the key of the client, a digest of it, or empty.
        share: of the requests that are recorded.
        inputs: [n, …] by published name, texts as object arrays of `str`; empty where not recorded.
        digest: the sha256 of the inputs, in hexadecimal, where these are recorded as a digest.
        outputs: [n, …] by name, those that were asked for; `unlike_training`, BOOL [n], where a row
            is unlike what the version learned from.
    """

    request: str
    caller: str
    at_us: int
    model: str
    version: str
    route: Route
    client: str
    share: float
    latency_us: int
    n: int
    inputs: Mapping[str, Array]
    digest: str
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class SentLabel:
    """The truth of one row of an answer, as somebody sent it.

    Attributes:
        request: our id of the request, or empty where only `caller` is known.
        caller: the caller's own id, or empty.
        row: of the request, from 0.
        truth: by output: the name of a class, a number, or numbers as nested lists.
        client: as in `AnsweredRequest`.
        authenticated: whether a key of this server authenticated the client.
    """

    request: str
    caller: str
    row: int
    at_us: int
    model: str
    truth: Mapping[str, str | float | list[object]]
    client: str
    origin: LabelOrigin
    authenticated: bool = False


def client_digest(model: str, client: str) -> str:
    """What stands for the key of a client where a model's log has digests of them, in hexadecimal.

    The sha256 of the model's name, a zero byte and the key, in UTF-8: the same on every host, so
    that the rows of a client are found for deletion, and another one for each model. A secret would
    hide keys that can be guessed, but every host would have to know it.
    """
    return hashlib.sha256(f"{model}\0{client}".encode(errors="replace")).hexdigest()


def is_recorded(request: str, share: float) -> bool:
    """Whether a request belongs to the share that is recorded; the same for all that answer it."""
    if share >= 1:
        return True
    digest = hashlib.blake2b(request.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
