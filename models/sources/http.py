"""`Http`: the file at an address, each of its states one arrival."""

import hashlib
import ipaddress
import os
import socket
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import pyarrow as pa

from overnight.models.definition import Delivery, Places, Reading, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import setting, without_credentials
from overnight.models.sources.declared_rows import DeclaredRows
from overnight.models.sources.holdout_share import HoldoutShare
from overnight.models.sources.local_folder import sha256_of
from overnight.models.sources.row_formats import FileRows, Format
from overnight.models.sources.streaming import Rejected, ignore_rejected
from overnight.models.sources.uploaded_files import read_uploaded
from overnight.store.errors import ConfigurationError
from overnight.store.values import Value

# A body up to this size lands as it is, so that all of it is in quarantine if it is refused.
_WHOLE_BYTES = 4_000_000
_MOST_BYTES = 2_000_000_000
_MOST_REDIRECTS = 5
# No download under way leaves its file untouched for so long.
_ABANDONED_SECONDS = 86_400
_CONNECT_SECONDS, _READ_SECONDS, _WHOLE_SECONDS = 10.0, 60.0, 1_800.0
_BLOCK_BYTES = 1 << 18
_REDIRECTS = {301, 302, 303, 307, 308}
# The server is away, or wants to be asked later.
_LATER = {408, 425, 429}
_PAGES = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class _Body:
    """A body on the disk, with the name of its file and the digest of its bytes."""

    path: Path
    name: str
    sha256: str

    @property
    def arrival(self) -> str:
        return f"http-{self.sha256[:16]}"


class Http:
    """The file at the address of the setting `sources`, or `at`, asked with its last ETag.

    An arrival is named by the digest of the bytes: the same bytes are one arrival, whatever the
    server says of them. Rows that come again are dropped by their digests.
    """

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        columns: pa.Schema,
        same_by: Sequence[str],
        holdout: str | HoldoutShare | None,
        at: str = "",
        format: Format | None = None,
        rename: Mapping[str, str] | None = None,
        most_bytes: int = _MOST_BYTES,
        seconds: float = _WHOLE_SECONDS,
    ) -> None:
        """Declare an address.

        Without a `format`, the ending of the address says it. `holdout` is the address of the rows
        that judge every version, relative or whole; a share of the first arrival; or None where it
        moves with the snapshot. A body may have `most_bytes` and take `seconds`.

        Raises:
            ConfigurationError: `same_by` or `rename` name a column that is not declared.
        """
        self._access, self._model, self._holdout = places.access, model, holdout
        self._cache = places.cache / "http"
        self._url = places.access.url or at
        self._rows = FileRows(DeclaredRows(columns, tuple(same_by), rename or {}), format)
        self._most_bytes, self._seconds = most_bytes, seconds

    def deliver(self, delivered: Collection[str]) -> Delivery | StreamedDelivery | None:
        """The body as it is now, unless it was delivered.

        Raises:
            SourceUnavailable: the server does not answer, or breaks off.
            UnusableSource: it answers something else than a file.
        """
        body = self._fetch(self._address)
        if body.arrival in delivered:
            return None
        if body.path.stat().st_size <= _WHOLE_BYTES:
            return Delivery(body.arrival, {body.name: body.path.read_bytes()})
        return StreamedDelivery(
            body.arrival,
            what=body.name,
            batches=lambda rejected: self._batches(body, rejected),
            is_file=True,
            size_bytes=body.path.stat().st_size,
            sha256=lambda: body.sha256,
        )

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The rows of all files in order of their names, and the files and lines rejected."""
        return read_uploaded(self._rows, files)

    def holdout(self) -> pa.Table:
        """The rows at the holdout's address, or the share of the first arrival.

        Raises:
            SourceUnavailable, UnusableSource: as `deliver`.
            BadFile: it cannot be read, or a line of it cannot.
        """
        schema = self._rows.declared.schema
        if self._holdout is None:
            return schema.empty_table()
        if isinstance(self._holdout, HoldoutShare):
            body = self._fetch(self._address)
            return self._holdout.of(self._batches(body, ignore_rejected), schema)
        body = self._fetch(urljoin(self._address, self._holdout))
        rows, bad_lines = self._rows.read(body.name, body.path.read_bytes())
        # Frozen as it is for ever, so that nothing may be left out of it.
        for bad in bad_lines:
            raise bad
        return rows

    def _batches(self, body: _Body, rejected: Rejected) -> Iterator[pa.RecordBatch]:
        with body.path.open("rb") as file:
            yield from self._rows.batches(body.name, file, rejected)

    @property
    def _address(self) -> str:
        if urlsplit(self._url).scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"{self._model}'s rows: expected an address such as https://host/rows.csv, found "
                f"{without_credentials(self._url)!r}; set {setting(self._model, 'url')}"
            )
        return self._url

    def _fetch(self, url: str) -> _Body:
        """The body at an address, from the cache where the server says that it is unchanged."""
        slot = self._cache / hashlib.sha256(url.encode()).hexdigest()[:16]
        slot.mkdir(parents=True, exist_ok=True)
        with self._errors(url):
            return self._request(url, slot)

    def _request(self, url: str, slot: Path) -> _Body:
        known = _cached(slot)
        headers = {"Accept-Encoding": "identity, gzip", **self._authorization()}
        conditional = known.conditions if known else {}
        address = url
        seconds = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
        with httpx.Client(timeout=seconds) as client:
            for _ in range(_MOST_REDIRECTS + 1):
                sent = headers | conditional
                with client.stream("GET", address, headers=sent) as response:
                    if response.status_code not in _REDIRECTS:
                        return self._body(url, slot, response, known)
                    following = urljoin(address, response.headers.get("location", ""))
                if _origin(following) != _origin(address):
                    # Another server must not get what is for this one.
                    headers.pop("Authorization", None)
                    client.cookies.clear()
                self._check_redirect(address, following)
                address = following
        raise self._unusable(url, f"more than {_MOST_REDIRECTS} redirects", "name the last address")

    def _body(
        self, url: str, slot: Path, response: httpx.Response, known: "_Known | None"
    ) -> _Body:
        name = _file_name(url)
        if response.status_code == httpx.codes.NOT_MODIFIED and known:
            return _Body(slot / known.sha256, name, known.sha256)
        self._check_status(url, response.status_code)
        path, sha256 = self._download(url, slot, response)
        headers = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
        conditions = {
            condition: response.headers[header]
            for condition, header in headers.items()
            if header in response.headers
        }
        _remember(slot, path, sha256, conditions)
        return _Body(slot / sha256, name, sha256)

    def _download(self, url: str, slot: Path, response: httpx.Response) -> tuple[Path, str]:
        deadline = time.monotonic() + self._seconds
        size_bytes, sha256 = 0, hashlib.sha256()
        handle, name = tempfile.mkstemp(dir=slot, prefix="part-")
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for block in response.iter_bytes(_BLOCK_BYTES):
                    if not size_bytes:
                        self._check_page(url, response, block)
                    size_bytes += len(block)
                    if size_bytes > self._most_bytes:
                        found = f"more than {self._most_bytes:,} bytes"
                        raise self._unusable(url, found, "raise `most_bytes` of the source")
                    if time.monotonic() > deadline:
                        tried = [f"it took more than {self._seconds:,.0f} s"]
                        raise SourceUnavailable(self._what(url), tried, "raise `seconds`")
                    file.write(block)
                    sha256.update(block)
        except BaseException:
            path.unlink()
            raise
        return path, sha256.hexdigest()

    def _check_status(self, url: str, status: int) -> None:
        if status == httpx.codes.OK:
            return
        if status >= 500 or status in _LATER:
            remedy = "try again later, or look into the server's log"
            raise SourceUnavailable(self._what(url), [f"it answered {status}"], remedy)
        if status in {401, 403}:
            names = f"{setting(self._model, 'user')} and …__PASSWORD, or …__TOKEN"
            raise self._unusable(url, f"{status}, which refuses the credentials", f"check {names}")
        remedy = f"check {setting(self._model, 'url')}"
        raise self._unusable(url, f"the status {status}", remedy)

    def _check_page(self, url: str, response: httpx.Response, block: bytes) -> None:
        """A page, such as one that asks for a password, must not pass for a file of bad lines."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/html" or block.lstrip()[:14].lower().startswith(_PAGES):
            remedy = f"open the address in a browser; check {setting(self._model, 'url')}"
            raise self._unusable(url, "a page of HTML", remedy)

    def _check_redirect(self, address: str, following: str) -> None:
        schemes = urlsplit(address).scheme, urlsplit(following).scheme
        if schemes[1] not in {"http", "https"} or schemes == ("https", "http"):
            found = f"a redirect to {without_credentials(following)}"
            raise self._unusable(address, found, "name an address with https to the end")
        if _is_of_this_machine(following) and not _is_of_this_machine(address):
            # Such as the credentials that clouds hand out at 169.254.169.254.
            found = f"a redirect to {without_credentials(following)}, which only this machine sees"
            raise self._unusable(address, found, f"check {setting(self._model, 'url')}")

    def _authorization(self) -> dict[str, str]:
        if self._access.token:
            return {"Authorization": f"Bearer {self._access.token}"}
        if self._access.user:
            basic = httpx.BasicAuth(self._access.user, self._access.password)
            request = next(basic.auth_flow(httpx.Request("GET", self._address)))
            return {"Authorization": request.headers["Authorization"]}
        return {}

    @contextmanager
    def _errors(self, url: str) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            remedy = f"check {setting(self._model, 'url')}"
            raise self._unusable(url, self._access.hide(f"{error}"), remedy) from None
        except (httpx.HTTPError, OSError) as error:
            found = self._access.hide(f"{error}" or type(error).__name__)[:300]
            remedy = f"check that the server runs, and {setting(self._model, 'url')}"
            raise SourceUnavailable(self._what(url), [found], remedy) from None

    def _unusable(self, url: str, found: str, remedy: str) -> UnusableSource:
        return UnusableSource(
            self._what(url), expected="a file of rows", found=found, remedy=remedy
        )

    def _what(self, url: str) -> str:
        return f"{self._model}'s rows at {without_credentials(url)}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _is_of_this_machine(url: str) -> bool:
    """Whether a host is this machine, or one that only it sees: loopback and link-local.

    A name of which that is so today may be another's tomorrow: this stops what is written by
    mistake or on purpose, and no network that lets everything through.
    """
    host = urlsplit(url).hostname or ""
    try:
        known = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in known]
    mapped = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    return any(each.is_loopback or each.is_link_local or each.is_unspecified for each in mapped)


def _file_name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name or "body"


class _Known(Value):
    """What is remembered of the last body."""

    sha256: str
    conditions: dict[str, str]


def _cached(slot: Path) -> _Known | None:
    """What is remembered of the last body, if its bytes are as they were."""
    try:
        known = _Known.model_validate_json((slot / "state.json").read_bytes())
        with (slot / known.sha256).open("rb") as file:
            is_same = sha256_of(file) == known.sha256
    except (OSError, ValueError):
        return None
    return known if is_same else None


def _remember(slot: Path, path: Path, sha256: str, conditions: Mapping[str, str]) -> None:
    """Keep a body and what asks for the next one; the bodies before it are removed."""
    path.replace(slot / sha256)
    new = slot / f"{path.name}.json"
    new.write_text(_Known(sha256=sha256, conditions=dict(conditions)).model_dump_json())
    new.replace(slot / "state.json")
    abandoned = time.time() - _ABANDONED_SECONDS
    for other in slot.iterdir():
        # Another process may be downloading, or removing the same file.
        with suppress(FileNotFoundError):
            is_under_way = other.name.startswith("part-") and other.stat().st_mtime > abandoned
            if other.name not in {sha256, "state.json"} and not is_under_way:
                other.unlink()
