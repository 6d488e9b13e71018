"""Files that name who has which token.

A file has one `name token` a line; `#` begins a comment, and one name may have several tokens, so
that a new one can be handed out before the old one goes.
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
