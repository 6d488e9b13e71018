"""How a source is reached: addresses and credentials, which an operator sets and no code has."""

from dataclasses import dataclass, field, fields
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

# Shorter values stand in texts by chance.
_SHORTEST_SECRET = 3


@dataclass(frozen=True)
class SourceAccess:
    """The settings `OVERNIGHT_SOURCES__<MODEL>__…` of one model; empty where nothing is set.

    `url` may itself contain credentials. Without `s3_access_key`, S3 is asked with the credentials
    that AWS' own tools find.
    """

    url: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = field(default="", repr=False)
    s3_session_token: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """A text for people, without any secret that a library may have put into it."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "…")
        return text

    def _secrets(self) -> set[str]:
        plain = {getattr(self, each.name) for each in fields(self) if not each.repr} - {self.url}
        parts = urlsplit(self.url)
        # As they stand in the address, too: there is more than one way to quote them.
        raw = {_password(self.url), *(pair.partition("=")[2] for pair in parts.query.split("&"))}
        plain |= {unquote(_password(self.url)), *(value for _, value in parse_qsl(parts.query))}
        known = raw | {
            form for secret in plain for form in (secret, quote(secret, ""), quote_plus(secret))
        }
        return {secret for secret in known if len(secret) >= _SHORTEST_SECRET}


def setting(model: str, name: str) -> str:
    """The environment's name of one of these settings."""
    return f"OVERNIGHT_SOURCES__{model.upper().replace('-', '_')}__{name.upper()}"


def without_credentials(url: str) -> str:
    """An address that may be shown: without user, password, query and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _password(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[0].partition(":")[2]
