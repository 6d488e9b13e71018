"""Bearer tokens and API keys: names by token, from a file or a setting, kept as digests only.

A file (grammar: `store/trust/tokens.py`) is read again when it changes. If it becomes unreadable
or invalid, an error is logged and the tokens read before stay valid; an empty file revokes all.
"""

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from overnight.store.errors import ConfigurationError
from overnight.store.local_files import ReloadingFile
from overnight.store.trust.tokens import GRAMMAR, is_token, parse

logger = logging.getLogger(__name__)

RELOAD_SECONDS = 1.0
_OTHERS_MAY_READ = 0o004


def bearer(authorization: str) -> str:
    """The token of an `Authorization` header, empty for another scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def key_of(environ: Mapping[str, Any]) -> str:
    """The API key of a request, or the bearer token sent in its place; empty without either."""
    return environ.get("HTTP_X_API_KEY") or bearer(environ.get("HTTP_AUTHORIZATION", ""))


class Tokens:
    """The tokens of one setting, from a file, a single token, or both."""

    def __init__(
        self,
        file: Path | None = None,
        *,
        token: str = "",
        name: str = "operator",
        settings: tuple[str, str] = ("the file of tokens", "the token"),
        lenient: bool = False,
        reload_seconds: float = RELOAD_SECONDS,
    ) -> None:
        """Read the file; errors call file and token by the names in `settings`.

        If `lenient`, an invalid file is logged and treated as empty until it changes.

        Raises:
            ConfigurationError: the file or the token is invalid; names the line and the reason,
                and never contains a token.
        """
        self._setting, self._reload_seconds = settings[0], reload_seconds
        # The digests are keyed by a secret of this process, so a leaked one cannot be looked up.
        self._key = secrets.token_bytes(32)
        self._given: tuple[tuple[bytes, str], ...] = ()
        if token:
            if not is_token(token):
                raise ConfigurationError(f"{settings[1]}: expected {GRAMMAR}, found something else")
            self._given = ((self._digest(token), name),)
        self._known: tuple[tuple[bytes, str], ...] = self._given
        self._lock = threading.Lock()
        self._checked_at = time.monotonic()
        self._last_error = ""
        self._file = None if file is None else ReloadingFile(file, partial(self._parse, file))
        if self._file is not None and lenient:
            self._reload(self._file)
        elif self._file is not None:
            self._known = self._read(self._file)

    @property
    def configured(self) -> bool:
        """Whether a file or a token is set; otherwise nothing is protected by it."""
        return self._file is not None or bool(self._given)

    def name_of(self, presented: str) -> str | None:
        """The name of a token, or None; in time that does not depend on how much of it is right."""
        if self._file is not None and time.monotonic() - self._checked_at >= self._reload_seconds:
            self._reload(self._file)
        digest = self._digest(presented)
        match = None
        # All are compared, without an early exit, so that the time depends on none of them.
        for known, name in self._known:
            if hmac.compare_digest(known, digest):
                match = name
        return match

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(errors="replace"), key=self._key).digest()

    def _reload(self, file: ReloadingFile[tuple[tuple[bytes, str], ...]]) -> None:
        with self._lock:
            self._checked_at = time.monotonic()
            try:
                known = self._read(file)
                if known is self._known:
                    return
                self._known = known
                logger.info("%s: %s was read", self._setting, file.path)
            except ConfigurationError as error:
                if str(error) != self._last_error:
                    logger.error("%s; the tokens read before stay valid", error)  # noqa: TRY400
                self._last_error = str(error)
            else:
                self._last_error = ""

    def _read(
        self, file: ReloadingFile[tuple[tuple[bytes, str], ...]]
    ) -> tuple[tuple[bytes, str], ...]:
        try:
            return file.read()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ConfigurationError(
                f"{self._setting}: {file.path} cannot be read ({why}); "
                "expected one `name token` a line"
            ) from None

    def _parse(self, file: Path, body: bytes) -> tuple[tuple[bytes, str], ...]:
        where = f"{self._setting}: line {{number}} of {file}"
        tokens = parse(body.decode(), where=where)
        if file.stat().st_mode & _OTHERS_MAY_READ:
            logger.warning("%s: everybody can read %s; chmod 600 it", self._setting, file)
        return self._given + tuple((self._digest(token.token), token.name) for token in tokens)


NO_TOKENS = Tokens()
