"""Who may come in: names and their tokens, from a file or the environment, kept as digests only.

A file (its grammar is in `store/trust/tokens.py`) is read again when it changes. One that can no
longer be read or understood changes nothing and is told in the log; to shut everybody out, leave it
empty.
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

LOOK_SECONDS = 1.0
_OTHERS_MAY_READ = 0o004


def bearer(authorization: str) -> str:
    """The token of an `Authorization` header, or nothing when it has another scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def key_of(environ: Mapping[str, Any]) -> str:
    """The prediction key, or an administrator's token in its place; nothing when none is sent."""
    return environ.get("HTTP_X_API_KEY") or bearer(environ.get("HTTP_AUTHORIZATION", ""))


class Tokens:
    """The tokens of one setting; without a file and a token of its own it knows nobody."""

    def __init__(
        self,
        file: Path | None = None,
        *,
        token: str = "",
        name: str = "operator",
        settings: tuple[str, str] = ("the file of tokens", "the token"),
        patient: bool = False,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Read the file once; `settings` are what file and token are called in words.

        Who is `patient` starts with a file that cannot be used as if nobody were in it, and reads
        it again as soon as it changes.

        Raises:
            ConfigurationError: the file or the token cannot be used; says which line and why,
                and never repeats a token.
        """
        self._setting, self._look_seconds = settings[0], look_seconds
        # Digests are keyed anew in each process: none of them is worth stealing.
        self._key = secrets.token_bytes(32)
        self._given: tuple[tuple[bytes, str], ...] = ()
        if token:
            if not is_token(token):
                raise ConfigurationError(f"{settings[1]}: expected {GRAMMAR}, found something else")
            self._given = ((self._digest(token), name),)
        self._known: tuple[tuple[bytes, str], ...] = self._given
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._trouble = ""
        self._file = None if file is None else ReloadingFile(file, partial(self._parse, file))
        if self._file is not None and patient:
            self._look_again(self._file)
        elif self._file is not None:
            self._known = self._reloaded(self._file)

    @property
    def configured(self) -> bool:
        """Whether anybody could be let in, or is meant to be kept out."""
        return self._file is not None or bool(self._given)

    def name_of(self, presented: str) -> str | None:
        """The name a token belongs to, or None; as long for a near miss as for any other."""
        if self._file is not None and time.monotonic() - self._looked_at >= self._look_seconds:
            self._look_again(self._file)
        digest = self._digest(presented)
        found = None
        for known, name in self._known:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(errors="replace"), key=self._key).digest()

    def _look_again(self, file: ReloadingFile[tuple[tuple[bytes, str], ...]]) -> None:
        with self._lock:
            self._looked_at = time.monotonic()
            try:
                known = self._reloaded(file)
                if known is self._known:
                    return
                self._known = known
                logger.info("%s: %s was read", self._setting, file.path)
            except ConfigurationError as error:
                if str(error) != self._trouble:
                    logger.error("%s. Until then nothing changes", error)  # noqa: TRY400
                self._trouble = str(error)
            else:
                self._trouble = ""

    def _reloaded(
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
        found = [(self._digest(one.token), one.name) for one in parse(body.decode(), where=where)]
        if file.stat().st_mode & _OTHERS_MAY_READ:
            logger.warning("%s: everybody can read %s; chmod 600 it", self._setting, file)
        return self._given + tuple(found)


NOBODY = Tokens()
