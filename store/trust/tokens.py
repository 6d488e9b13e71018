"""Files of tokens: one `name token` a line, with `#` for comments.

A name may have several tokens, so that a new one can be issued before the old one is removed.
"""

import re
from dataclasses import dataclass, field

from overnight.store.errors import ConfigurationError
from overnight.store.local_files import numbered_fields

SHORTEST = 16
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# What `Authorization: Bearer` can carry (RFC 6750, section 2.1).
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST},512}}")
GRAMMAR = (
    f"a token of {SHORTEST} to 512 letters, digits and . _ ~ + / = - "
    "(`openssl rand -hex 32` makes one)"
)


@dataclass(frozen=True)
class Token:
    """A token and the name of its owner; the token is left out of the repr."""

    name: str
    token: str = field(repr=False)


def is_token(text: str) -> bool:
    """Whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def parse(text: str, *, where: str) -> tuple[Token, ...]:
    """Parse the tokens in the text of a file.

    Raises:
        ConfigurationError: names the invalid line of `where`, without repeating any token.
    """
    owners: dict[str, str] = {}
    for number, fields in numbered_fields(text):
        at = where.format(number=number)
        if len(fields) != 2 or not _NAME.fullmatch(fields[0]) or not is_token(fields[1]):
            raise ConfigurationError(f"{at}: expected `name token`, with {GRAMMAR}")
        name, token = fields
        if owners.setdefault(token, name) != name:
            raise ConfigurationError(f"{at}: this token belongs to {owners[token]} already")
    return tuple(Token(name, token) for token, name in owners.items())
