"""Errors of Delta Lake in the words of the store.

The library has one error class for everything, so what happened is read from its text.
"""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    SchemaMismatchError,
    TableNotFoundError,
)

from overnight.store.errors import (
    ConfigurationError,
    CorruptTable,
    NotFound,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    UntrustedStore,
)
from overnight.store.objects.proxies import Proxy

_DENIED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "ExpiredToken",
    "InvalidToken",
    "NoSuchBucket",
    "403 Forbidden",
    "401 Unauthorized",
    # The library's own messages for 401 and 403.
    "lacked the necessary privileges",
    "lacked valid authentication credentials",
)
# Messages of the libraries about data that arrived damaged; `_AWAY` matches those of an outage.
_DAMAGE = re.compile(
    r"json|parquet|checkpoint|protocol|thrift|corrupt|deserialize|decompress|checksum|magic"
    r"|end of stream|not found|no such file",
    re.IGNORECASE,
)
_AWAY = re.compile(r"HTTP error|error sending request|timed out|non-2xx|connection", re.IGNORECASE)
# What a proxy or a web server writes of its own, and S3 never: a page, after the status.
_PAGE = re.compile(r"(\d{3} [\w ]+)[\s↳]*<(?:!doctype|html)", re.IGNORECASE)
_FRAME = re.compile(r"stack backtrace|\d+: ", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class NoTableError(NotFound):
    """There is no table here (yet)."""


class LostRaceError(StoreUnavailable):
    """Another writer committed this version first."""


@contextmanager
def translated_errors(uri: str, *, where: str, proxy: Proxy | None) -> Iterator[None]:
    """Translate Delta Lake's errors about the table `uri` into those of the store at `where`."""
    try:
        yield
    except TableNotFoundError:
        raise NoTableError(uri) from None
    except CommitFailedError as error:
        raise LostRaceError(where, summary(error)) from None
    except SchemaMismatchError as error:
        raise ConfigurationError(
            f"{uri}: the rows do not fit the table ({summary(error)}); deliver the columns as "
            "they were, or under other names that the model declares"
        ) from None
    except DeltaError as error:
        if "already exists" in str(error):
            raise LostRaceError(where, summary(error)) from None
        if "LogSegment end version" in str(error):
            raise NotFound(f"{uri} at the version asked for") from None
        raise of_reading(error, uri, where=where, proxy=proxy) from None
    except OSError as error:
        raise of_reading(error, uri, where=where, proxy=proxy) from None


def of_reading(error: Exception, uri: str, *, where: str, proxy: Proxy | None) -> StoreError:
    """Tell an untrusted store, denied access, damaged data and an outage apart.

    `uri` is the table's, `where` the address of the store.
    """
    proxied = proxy is not None
    if "invalid peer certificate" in str(error):
        return UntrustedStore(where, summary(error))
    if page := _PAGE.search(_ANSI.sub("", str(error))):
        answered = f"{proxy or 'a web server'} answered {page.group(1)}"
        return StoreUnavailable(where, answered, proxied=proxied)
    for sign in _DENIED:
        if sign in str(error):
            return StoreDenied(where, sign)
    if _DAMAGE.search(str(error)) and not _AWAY.search(str(error)):
        return CorruptTable(uri, summary(error))
    through = f" through {proxy}" if proxied else ""
    return StoreUnavailable(where, summary(error) + through, proxied=proxied)


def summary(error: Exception) -> str:
    """The innermost cause in an error's report: its last line before any stack trace."""
    report = (line.strip(" ↳") for line in _ANSI.sub("", str(error)).splitlines())
    lines = list(itertools.takewhile(lambda line: not _FRAME.match(line), report))
    return next((line for line in reversed(lines) if line), type(error).__name__)[:160]
