"""Tokens: the grammar of the files that name who has which, and words proved by one.

A file has one `name token` a line; `#` begins a comment, and one name may have several tokens, so
that a new one can be handed out before the old one goes. A word is proved by a keyed digest of
what it says: the token itself is sent to nobody and kept in no record.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from store.errors import ConfigurationError, NotProved
from store.local_files import numbered_fields

SHORTEST = 16
# A run may have to wait for a worker; whoever reads its parameters may repeat it so long.
HOLDS = timedelta(hours=1)
_AHEAD = timedelta(minutes=5)
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# What `Authorization: Bearer` can carry (RFC 6750, section 2.1).
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST},512}}")
GRAMMAR = (
    f"a token of {SHORTEST} to 512 letters, digits and . _ ~ + / = - "
    "(`openssl rand -hex 32` makes one)"
)
_WHEN = "%Y%m%dT%H%M%SZ"
Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Token:
    """Whose token it is; the token itself never shows in a repr."""

    name: str
    token: str = field(repr=False)


def is_token(text: str) -> bool:
    """Whether a text could be a token."""
    return _TOKEN.fullmatch(text) is not None


def parse(text: str, *, where: str) -> tuple[Token, ...]:
    """The tokens of a file's text.

    Raises:
        ConfigurationError: which line of `where` cannot be used and why; it repeats no token.
    """
    found: dict[str, str] = {}
    for number, words in numbered_fields(text):
        at = where.format(number=number)
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not is_token(words[1]):
            raise ConfigurationError(f"{at}: expected `name token`, with {GRAMMAR}")
        name, token = words
        if found.setdefault(token, name) != name:
            raise ConfigurationError(f"{at}: this token is {found[token]}'s already")
    return tuple(Token(name, token) for token, name in found.items())


@dataclass(frozen=True)
class Said:
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


def prove(token: str, said: Said, *, at: datetime) -> str:
    """What shows to whoever knows the token that somebody who has it said so."""
    when = at.astimezone(UTC).strftime(_WHEN)
    return f"{when}.{_digest(token, said, when)}"


def prover(proof: str, said: Said, known: Iterable[Token], *, now: datetime) -> str:
    """The name of whoever proved a word.

    Raises:
        NotProved: with other words, by none of the known tokens, or too long ago.
    """
    when, _, digest = proof.partition(".")
    try:
        age = now - datetime.strptime(when, _WHEN).replace(tzinfo=UTC)
    except ValueError:
        raise NotProved("the proof is none") from None
    if not -_AHEAD <= age <= HOLDS:
        raise NotProved(f"the proof is of {when}, and holds for an hour")
    for one in known:
        expected = _digest(one.token, said, when)
        if hmac.compare_digest(expected.encode(), digest.encode(errors="replace")):
            return one.name
    raise NotProved("no token that is known here proves these words")


def said_by(by: str, *, proved: bool) -> str:
    """Whose word something is, for people: a name that a token showed is told from a typed one."""
    return f"{by} (proved by token)" if proved else by


def _digest(token: str, said: Said, when: str) -> str:
    key = hashlib.sha256(b"overnight word\0" + token.encode()).digest()
    return hmac.new(key, said.encoded(when), hashlib.sha256).hexdigest()


def _number(value: Plain) -> Plain:
    """JSON and forms write 2.0 as 2."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
