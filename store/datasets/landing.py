"""The landing: where files wait until a dataset has taken them in.

An arrival is some files under one name that is never used again. It becomes visible when its
`arrival.json` is written, last; killed before that, nothing was delivered. It is cleared in the
opposite order, so an arrival whose clearing was cut short is still seen, recognised by the
dataset as taken, and cleared again.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from overnight.store.errors import AlreadyExists, BadFile, NotFound
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.records import decoded
from overnight.store.values import Value

_MANIFEST = "arrival.json"
# Files begin with a digest, so none of them can be taken for a reason.
_REASON = "reason-"
# A folder of pictures is thousands of small objects: ask for several at a time.
_AT_ONCE = 8


class LandedFile(Value):
    """One delivered file: `segment` is where it lies, whatever its own name looks like."""

    segment: str = Field(pattern=re.compile(r"^[A-Za-z0-9._=-]{1,255}$"))
    size_bytes: int
    sha256: str


class Converted(Value):
    """A file that was converted as it was delivered: its rows are in `pieces`, in their order.

    Pieces are Parquet in the source's columns. `rejected` tells of the first of the lines that
    would not do, which are in the file `rejected_file`; there is none when all would.
    """

    file: str
    sha256: str
    rows: int
    pieces: tuple[str, ...]
    rejected_lines: int = 0
    rejected: tuple[str, ...] = ()
    rejected_file: str = ""


class Arrival(Value):
    """What was delivered under one name, by whom and when. `files` go by their own names."""

    format: int = 1
    model: str
    name: str
    delivered_at: datetime
    delivered_by: str
    files: dict[str, LandedFile]
    converted: Converted | None = None

    @property
    def prefix(self) -> str:
        """Where the arrival lies in the bucket."""
        return keys.arrival(self.model, _day(self.delivered_at), self.name)

    def key(self, file: str) -> str:
        """Where one of its files lies in the bucket."""
        return f"{self.prefix}/{self.files[file].segment}"


class Quarantined(Value):
    """A file that could not be taken in, and why; its bytes are kept beside the reason."""

    model: str
    arrival: str
    file: str
    reason: str
    segment: str
    delivered_at: datetime


@dataclass(frozen=True)
class Contents:
    """The files of an arrival as they were delivered, and those that no longer are what was."""

    files: Mapping[str, bytes]
    damaged: tuple[BadFile, ...] = ()


def land(
    bucket: Bucket, model: str, name: str, files: Mapping[str, bytes], *, by: str, at: datetime
) -> Arrival:
    """Deliver files under a name. Delivering the same again is no error; what was first stands.

    Raises:
        BadFile: there are no files.
        AlreadyExists: other files were delivered under this name today.
    """
    if not files:
        raise BadFile(name, expected="at least one file", found="none")
    arrival = Arrival(
        model=model,
        name=name,
        delivered_at=at.astimezone(UTC),
        delivered_by=by,
        files={file: _landed(file, body) for file, body in sorted(files.items())},
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda file: bucket.create(arrival.key(file), files[file]), arrival.files))
    return _visible(bucket, arrival)


def land_pieces(
    bucket: Bucket,
    model: str,
    name: str,
    pieces: Iterable[tuple[str, bytes]],
    converted: Callable[[], Converted],
    *,
    by: str,
    at: datetime,
) -> Arrival:
    """Deliver the pieces of a file, each as it is made; then `converted` tells what they are.

    Killed before the last, nothing was delivered. Raises as `land` does.
    """
    arrival = Arrival(
        model=model, name=name, delivered_at=at.astimezone(UTC), delivered_by=by, files={}
    )
    files: dict[str, LandedFile] = {}
    for file, body in pieces:
        files[file] = _landed(file, body)
        bucket.create(f"{arrival.prefix}/{files[file].segment}", body)
    told = {"files": files, "converted": converted()}
    return _visible(bucket, arrival.model_copy(update=told))


def _visible(bucket: Bucket, arrival: Arrival) -> Arrival:
    """Deliver an arrival whose files are there; what was first stands."""
    manifest = f"{arrival.prefix}/{_MANIFEST}"
    try:
        bucket.create(manifest, arrival.encoded())
    except AlreadyExists:
        first = _decode(bucket.read(manifest), manifest)
        if first.files != arrival.files:
            raise
        return first
    return arrival


def pending(bucket: Bucket, model: str) -> list[Arrival]:
    """Every visible arrival, oldest first.

    Raises:
        BadFile: an `arrival.json` that is none of ours.
    """
    landing = keys.landing(model)
    found = []
    for date in filter(keys.is_date, bucket.names_below(landing)):
        for name in bucket.names_below(f"{landing}/{date}"):
            manifest = f"{keys.arrival(model, date, name)}/{_MANIFEST}"
            try:
                found.append(_decode(bucket.read(manifest), manifest))
            except NotFound:
                continue
    return sorted(found, key=lambda arrival: (arrival.delivered_at, arrival.name))


def read(bucket: Bucket, arrival: Arrival) -> Contents:
    """The files of an arrival, each held against the size and digest it was delivered with."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        bodies = list(pool.map(lambda file: read_file(bucket, arrival, file), arrival.files))
    return Contents(
        {file: body for file, body in zip(arrival.files, bodies, strict=True) if body is not None},
        tuple(
            BadFile(file, expected=f"sha256 {landed.sha256} as delivered", found="other bytes")
            for (file, landed), body in zip(arrival.files.items(), bodies, strict=True)
            if body is None
        ),
    )


def quarantine(
    bucket: Bucket, arrival: Arrival, file: str, body: bytes | None, reason: str
) -> Quarantined:
    """Keep a file that cannot be taken in, and why; the first reason stands.

    `body` is None when the bytes that were delivered are lost.
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
    if body is not None:
        bucket.create(f"{prefix}/{segment}", body)
    key = f"{prefix}/{_REASON}{segment}.json"
    try:
        bucket.create(key, quarantined.encoded())
    except AlreadyExists:
        return decoded(Quarantined, bucket.read(key), key)
    return quarantined


def quarantined(bucket: Bucket, model: str) -> list[Quarantined]:
    """Every file in quarantine, in order of arrival."""
    found = [
        decoded(Quarantined, bucket.read(key), key)
        for key in bucket.keys_below(keys.quarantine(model))
        if key.rpartition("/")[2].startswith(_REASON)
    ]
    return sorted(found, key=lambda file: (file.delivered_at, file.arrival, file.file))


def clear(bucket: Bucket, arrival: Arrival) -> None:
    """Remove an arrival that was taken in, `arrival.json` last so that a killed clear is repeated.

    What a killed delivery of the same name left behind on other days goes too.
    """
    landing = keys.landing(arrival.model)
    manifest = f"{arrival.prefix}/{_MANIFEST}"
    leftovers = [
        key
        for date in filter(keys.is_date, bucket.names_below(landing))
        for key in bucket.keys_below(keys.arrival(arrival.model, date, arrival.name))
        if not key.endswith(f"/{_MANIFEST}")
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(bucket.remove, leftovers))
    bucket.remove(manifest)


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def _landed(file: str, body: bytes) -> LandedFile:
    sha256 = digest(body)
    try:
        segment = keys.segment_for(file, sha256)
    except UnicodeEncodeError:
        raise BadFile(ascii(file), expected="a name in UTF-8", found="other bytes") from None
    return LandedFile(segment=segment, size_bytes=len(body), sha256=sha256)


def read_file(bucket: Bucket, arrival: Arrival, file: str) -> bytes | None:
    """The body of one file of an arrival, or None when it is no longer what was delivered."""
    try:
        body = bucket.read(arrival.key(file))
    except NotFound:
        return None
    return body if digest(body) == arrival.files[file].sha256 else None


def _decode(body: bytes, key: str) -> Arrival:
    try:
        arrival = Arrival.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadFile(key, expected=f"a valid arrival at {field}", found=first["msg"]) from None
    if key != f"{arrival.prefix}/{_MANIFEST}":
        raise BadFile(key, expected="the arrival of this key", found=arrival.prefix)
    return arrival
