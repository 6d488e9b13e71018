"""Landing area: arrivals wait here until the dataset has ingested them.

An arrival is a set of files under a name that is used only once. It becomes visible when its
`arrival.json` is written, last; an upload that is killed earlier delivered nothing. Clearing goes
in the opposite order: an arrival whose clearing was interrupted is still listed, the dataset
knows its name, and it is cleared again.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from overnight.store.errors import (
    AlreadyExists,
    BadFile,
    BadKey,
    CorruptRecord,
    NotFound,
    TooLarge,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.records import existing, validation_summary
from overnight.store.objects.size_limits import ARRIVAL_BYTES, LANDED_FILE_BYTES
from overnight.store.values import Value

MANIFEST = "arrival.json"
# Stored file names begin with a digest, so no delivered file can pass for a reason.
_REASON = "reason-"
# A folder of pictures is thousands of small objects: one request at a time would be slow.
_AT_ONCE = 8


class LandedFile(Value):
    """One delivered file: `segment` is its name in the bucket, whatever its own name looks like."""

    # Checked because it becomes a part of a key: a forged `../` would name another model's object.
    segment: str = Field(pattern=re.compile(r"^[A-Za-z0-9._=-]{1,255}$"))
    size_bytes: int
    sha256: str


class Converted(Value):
    """A file that was converted to Parquet during delivery: `pieces` hold its rows, in order.

    Pieces have the columns of the source. `rejected` describes the first of the invalid lines,
    and the file `rejected_file` holds all of them; it is empty when every line was valid.
    `refused` says why there are no pieces, of a file that stays where it is.
    """

    file: str
    sha256: str
    rows: int
    pieces: tuple[str, ...]
    rejected_lines: int = 0
    rejected: tuple[str, ...] = ()
    rejected_file: str = ""
    size_bytes: int = 0
    refused: str = ""


class Arrival(Value):
    """What was delivered under one name, by whom and when. `files` are keyed by their own names."""

    format: int = 1
    model: str
    name: str
    delivered_at: datetime
    delivered_by: str
    files: dict[str, LandedFile]
    converted: Converted | None = None

    @property
    def prefix(self) -> str:
        """Prefix of the arrival's keys."""
        return keys.arrival(self.model, f"{self.delivered_at.astimezone(UTC):%Y-%m-%d}", self.name)

    @property
    def manifest_key(self) -> str:
        """Key of `arrival.json`: the arrival is visible from the moment this key exists."""
        return f"{self.prefix}/{MANIFEST}"

    def key(self, file: str) -> str:
        """Key of one of its files."""
        return f"{self.prefix}/{self.files[file].segment}"


class Quarantined(Value):
    """A file that could not be ingested, and why; its bytes are kept next to the reason."""

    model: str
    arrival: str
    file: str
    reason: str
    segment: str
    delivered_at: datetime


@dataclass(frozen=True)
class Stray:
    """A name in the landing that is no arrival, and why; it is never read or removed."""

    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.key} is left alone: {self.why}"


@dataclass(frozen=True)
class LandingListing:
    """Every visible arrival, oldest first, and the names that are none."""

    arrivals: tuple[Arrival, ...]
    strays: tuple[Stray, ...]


@dataclass(frozen=True)
class Landing:
    """The landing area of one model."""

    bucket: Bucket
    model: str

    def land(self, name: str, files: Mapping[str, bytes], *, by: str, at: datetime) -> Arrival:
        """Deliver files under a name.

        Delivering the same files again returns the arrival that was delivered first.

        Raises:
            BadFile: there are no files.
            AlreadyExists: other files were delivered under this name today.
        """
        if not files:
            raise BadFile(name, expected="at least one file", found="none")
        arrival = self._arrival(
            name, by, at, {file: _landed(file, body) for file, body in sorted(files.items())}
        )
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(
                pool.map(
                    lambda file: self.bucket.create(arrival.key(file), files[file]), arrival.files
                )
            )
        return self._publish(arrival)

    def land_pieces(
        self,
        name: str,
        pieces: Iterable[tuple[str, bytes]],
        converted: Callable[[], Converted],
        *,
        by: str,
        at: datetime,
    ) -> Arrival:
        """Deliver the pieces of one converted file, each as soon as it is made.

        `converted` is called after the last piece and describes the conversion. If interrupted
        before that, nothing was delivered. Raises as `land` does.
        """
        arrival = self._arrival(name, by, at, {})
        files: dict[str, LandedFile] = {}
        for file, body in pieces:
            files[file] = _landed(file, body)
            self.bucket.create(f"{arrival.prefix}/{files[file].segment}", body)
        return self._publish(arrival.model_copy(update={"files": files, "converted": converted()}))

    def _arrival(self, name: str, by: str, at: datetime, files: dict[str, LandedFile]) -> Arrival:
        return Arrival(
            model=self.model,
            name=name,
            delivered_at=at.astimezone(UTC),
            delivered_by=by,
            files=files,
        )

    def _publish(self, arrival: Arrival) -> Arrival:
        """Make an arrival visible, now that its files are there."""
        try:
            self.bucket.create(arrival.manifest_key, arrival.encoded())
        except AlreadyExists:
            first = self._read_manifest(arrival.manifest_key)
            if first.files != arrival.files:
                raise
            return first
        return arrival

    def pending(self) -> list[Arrival]:
        """Every visible arrival, oldest first."""
        return list(self.listing().arrivals)

    def listing(self) -> LandingListing:
        """Every visible arrival, and the names that are none: one must not stop the others."""
        landing = keys.landing(self.model)
        arrivals: list[Arrival] = []
        strays: list[Stray] = []
        for date in self.bucket.names_below(landing):
            if not keys.is_date(date):
                if date != keys.QUARANTINE:
                    strays.append(Stray(f"{landing}/{date}", "expected a day such as 2026-11-22"))
                continue
            for name in self.bucket.names_below(f"{landing}/{date}"):
                try:
                    arrivals.append(self._visible(date, name))
                except NotFound:
                    # Still being delivered, or cleared since the listing.
                    continue
                except (BadKey, BadFile) as error:
                    strays.append(Stray(f"{landing}/{date}/{name}", str(error)))
        arrivals.sort(key=lambda arrival: (arrival.delivered_at, arrival.name))
        return LandingListing(tuple(arrivals), tuple(strays))

    def _visible(self, date: str, name: str) -> Arrival:
        return self._read_manifest(f"{keys.arrival(self.model, date, name)}/{MANIFEST}")

    def _read_manifest(self, key: str) -> Arrival:
        try:
            return _decode(self.bucket.read(key, ARRIVAL_BYTES), key)
        except TooLarge as error:
            raise BadFile(key, expected=error.expected, found=error.found) from None

    def read_file(self, arrival: Arrival, file: str) -> bytes | None:
        """The body of one file of an arrival, or None when it is missing or was changed."""
        limit = min(arrival.files[file].size_bytes, LANDED_FILE_BYTES)
        try:
            body = self.bucket.read(arrival.key(file), limit)
        except (NotFound, TooLarge):
            return None
        return body if digest(body) == arrival.files[file].sha256 else None

    def quarantine(
        self, arrival: Arrival, file: str, body: bytes | None, reason: str
    ) -> Quarantined:
        """Set aside a file that cannot be ingested, with its reason; the first reason stands.

        `body` is None when the delivered bytes are lost.
        """
        segment = arrival.files[file].segment
        quarantined = Quarantined(
            model=arrival.model,
            arrival=arrival.name,
            file=file,
            reason=reason,
            segment=segment,
            delivered_at=arrival.delivered_at,
        )
        prefix = f"{keys.quarantine(arrival.model)}/{arrival.name}"
        # The bytes before the reason: a reason that is listed must have its file.
        if body is not None:
            self.bucket.create(f"{prefix}/{segment}", body)
        key = f"{prefix}/{_REASON}{segment}.json"
        try:
            self.bucket.create(key, quarantined.encoded())
        except AlreadyExists:
            return existing(Quarantined, self.bucket, key)
        return quarantined

    def quarantined(self) -> list[Quarantined]:
        """Every file in quarantine, in order of arrival; what is no reason of ours is left out."""
        files = []
        for key in filter(keys.is_key, self.bucket.keys_below(keys.quarantine(self.model))):
            if key.rpartition("/")[2].startswith(_REASON):
                with suppress(CorruptRecord):
                    files.append(existing(Quarantined, self.bucket, key))
        return sorted(files, key=lambda file: (file.delivered_at, file.arrival, file.file))

    def clear(self, arrival: Arrival) -> None:
        """Remove an ingested arrival, `arrival.json` last so that an interrupted clear is repeated.

        Leftovers of interrupted deliveries of the same name on other days are removed too.
        """
        landing = keys.landing(arrival.model)
        leftovers = [
            key
            for date in filter(keys.is_date, self.bucket.names_below(landing))
            for key in self.bucket.keys_below(keys.arrival(arrival.model, date, arrival.name))
            if not key.endswith(f"/{MANIFEST}") and keys.is_key(key)
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.bucket.remove, leftovers))
        self.bucket.remove(arrival.manifest_key)


def _landed(file: str, body: bytes) -> LandedFile:
    sha256 = digest(body)
    try:
        segment = keys.segment_for(file, sha256)
    except UnicodeEncodeError:
        raise BadFile(ascii(file), expected="a name in UTF-8", found="other bytes") from None
    return LandedFile(segment=segment, size_bytes=len(body), sha256=sha256)


def _decode(body: bytes, key: str) -> Arrival:
    try:
        arrival = Arrival.model_validate_json(body)
    except ValidationError as error:
        where, problem = validation_summary(error)
        raise BadFile(key, expected=f"a valid arrival at {where}", found=problem) from None
    # A copied or forged arrival must not make others clear or read the keys of another one.
    if key != arrival.manifest_key:
        raise BadFile(key, expected="the arrival of this key", found=arrival.prefix)
    return arrival
