"""Who may come in: names and their tokens, from a file or the environment, kept as digests only.

A file (`store/tokens.py` tells its grammar) is read again when it changes. One that can no longer
be read or understood changes nothing and is told in the log; to shut everybody out, leave it empty.
"""

import hashlib
import hmac
import logging
import secrets
import threading
import time
from pathlib import Path

from store.errors import ConfigurationError
from store.tokens import GRAMMAR, is_token, parse

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_OTHERS_MAY_READ = 0o004


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
        self._file, self._setting, self._look_seconds = file, settings[0], look_seconds
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
        self._seen: tuple[int, ...] = ()
        self._trouble = ""
        if file is not None and patient:
            self._look_again(file)
        elif file is not None:
            self._seen = self._stamp(file)
            self._known = self._given + self._read(file)

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

    def _look_again(self, file: Path) -> None:
        with self._lock:
            self._looked_at = time.monotonic()
            try:
                stamp = self._stamp(file)
                if stamp == self._seen:
                    return
                self._known = self._given + self._read(file)
                # Not before it was understood: what chmod and chown mend leaves the stamp alone.
                self._seen = stamp
                logger.info("%s: %s was read", self._setting, file)
            except ConfigurationError as error:
                if str(error) != self._trouble:
                    logger.error("%s. Until then nothing changes", error)  # noqa: TRY400
                self._trouble = str(error)
            else:
                self._trouble = ""

    def _stamp(self, file: Path) -> tuple[int, ...]:
        try:
            found = file.stat()
        except OSError as error:
            raise self._unreadable(file, error) from None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def _read(self, file: Path) -> tuple[tuple[bytes, str], ...]:
        try:
            text = file.read_text(encoding="utf-8")
            is_open = file.stat().st_mode & _OTHERS_MAY_READ
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(file, error) from None
        where = f"{self._setting}: line {{number}} of {file}"
        found = [(self._digest(one.token), one.name) for one in parse(text, where=where)]
        if is_open:
            logger.warning("%s: everybody can read %s; chmod 600 it", self._setting, file)
        return tuple(found)

    def _unreadable(self, file: Path, error: Exception) -> ConfigurationError:
        why = getattr(error, "strerror", None) or "it is not text"
        return ConfigurationError(
            f"{self._setting}: {file} cannot be read ({why}); expected one `name token` a line"
        )


NOBODY = Tokens()
