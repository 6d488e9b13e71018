"""Statements of people that a token authenticates, without the token going anywhere.

The proof is a keyed digest of what is stated and when: the token itself is sent to nobody and kept
in no record.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overnight.store.errors import Unauthenticated
from overnight.store.trust.tokens import Token

# A run may have to wait for a worker; whoever reads its parameters may repeat it so long.
HOLDS = timedelta(hours=1)
_AHEAD = timedelta(minutes=5)
_WHEN = "%Y%m%dT%H%M%SZ"
Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Statement:
    """What a person says: which act, about which model, and the rest of it by name.

    What is empty says nothing, so that leaving it out says the same.
    """

    act: str
    model: str
    rest: Mapping[str, Plain]

    def encoded(self, when: str) -> bytes:
        """The same word of the same moment is always the same bytes."""
        rest = {name: _number(value) for name, value in self.rest.items() if value or value == 0}
        told = {name: value for name, value in rest.items() if value is not False}
        return json.dumps([self.act, self.model, when, told], sort_keys=True).encode()


def sign_statement(token: str, said: Statement, *, at: datetime) -> str:
    """What shows to whoever knows the token that somebody who has it said so."""
    when = at.astimezone(UTC).strftime(_WHEN)
    return f"{when}.{_digest(token, said, when)}"


def verify_statement(proof: str, said: Statement, known: Iterable[Token], *, now: datetime) -> str:
    """The name of whoever proved a word.

    Raises:
        NotProved: with other words, by none of the known tokens, or too long ago.
    """
    when, _, digest = proof.partition(".")
    try:
        age = now - datetime.strptime(when, _WHEN).replace(tzinfo=UTC)
    except ValueError:
        raise Unauthenticated("the proof is none") from None
    if not -_AHEAD <= age <= HOLDS:
        raise Unauthenticated(f"the proof is of {when}, and holds for an hour")
    for one in known:
        expected = _digest(one.token, said, when)
        if hmac.compare_digest(expected.encode(), digest.encode(errors="replace")):
            return one.name
    raise Unauthenticated("no token that is known here proves these words")


def format_actor(by: str, *, authenticated: bool) -> str:
    """Whose word something is, for people: a name that a token showed is told from a typed one."""
    return f"{by} (authenticated)" if authenticated else by


def _digest(token: str, said: Statement, when: str) -> str:
    key = hashlib.sha256(b"overnight word\0" + token.encode()).digest()
    return hmac.new(key, said.encoded(when), hashlib.sha256).hexdigest()


def _number(value: Plain) -> Plain:
    """JSON and forms write 2.0 as 2."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
