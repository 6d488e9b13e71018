"""Authenticates requests of people by a token that is never sent.

The proof is an HMAC of the request and its time, so the token appears in no message and no record.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overnight.store.errors import Unauthenticated
from overnight.store.trust.tokens import Token

# Long enough for a run that waits for a worker; anyone who reads its parameters can replay it
# for as long.
VALID_FOR = timedelta(hours=1)
# Tolerance for a requester whose clock is ahead.
_CLOCK_SKEW = timedelta(minutes=5)
_WHEN = "%Y%m%dT%H%M%SZ"
Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Statement:
    """A request: the act, the model, and the other parameters by name.

    Empty parameters are ignored, so that omitting one makes the same statement.
    """

    act: str
    model: str
    rest: Mapping[str, Plain]

    def encoded(self, when: str) -> bytes:
        """The bytes that are authenticated; equal statements of one moment have equal bytes."""
        rest = {name: _number(value) for name, value in self.rest.items() if value or value == 0}
        # `False == 0`, but a flag that is off says nothing.
        stated = {name: value for name, value in rest.items() if value is not False}
        return json.dumps([self.act, self.model, when, stated], sort_keys=True).encode()


def sign_statement(token: str, statement: Statement, *, at: datetime) -> str:
    """The proof, for anyone who knows the token, that its owner made the statement."""
    when = at.astimezone(UTC).strftime(_WHEN)
    return f"{when}.{_digest(token, statement, when)}"


def verify_statement(
    proof: str, statement: Statement, tokens: Iterable[Token], *, now: datetime
) -> str:
    """The name of the token's owner who made a statement.

    Raises:
        Unauthenticated: the proof is of another statement, expired, or by an unknown token.
    """
    when, _, digest = proof.partition(".")
    try:
        age = now - datetime.strptime(when, _WHEN).replace(tzinfo=UTC)
    except ValueError:
        raise Unauthenticated("the proof is malformed") from None
    if not -_CLOCK_SKEW <= age <= VALID_FOR:
        raise Unauthenticated(f"the proof is of {when}, and is valid for an hour only")
    for token in tokens:
        expected = _digest(token.token, statement, when)
        # In constant time: how far two digests agree must not show in the time to compare them.
        if hmac.compare_digest(expected.encode(), digest.encode(errors="replace")):
            return token.name
    raise Unauthenticated("no token that is known here authenticates this request")


def format_actor(by: str, *, authenticated: bool) -> str:
    """An actor for people: marks a name that was authenticated by a token."""
    return f"{by} (authenticated)" if authenticated else by


def _digest(token: str, statement: Statement, when: str) -> str:
    # Hashed with a prefix of its own, so that the key is used for nothing else than statements.
    # The prefix is wire format: the command and the worker must agree on it.
    key = hashlib.sha256(b"overnight word\0" + token.encode()).digest()
    return hmac.new(key, statement.encoded(when), hashlib.sha256).hexdigest()


def _number(value: Plain) -> Plain:
    """Every number as a float: JSON and forms write 2.0 as 2."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
