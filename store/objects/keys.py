"""The key grammar: keys are built only here, and parsed only here and in `key_parser`."""

import hashlib
import re
from datetime import UTC, datetime

from overnight.store.errors import BadKey

# What AWS, SeaweedFS and a local folder all preserve. Elsewhere `//` collapses, `\` becomes `/`,
# and a body under `dir/` is lost in some stores.
_SEGMENT = re.compile(r"[A-Za-z0-9._=-]{1,255}")
_MODEL = re.compile(r"[a-z][a-z0-9-]{0,62}")
# As many numbers of versions share a second; 2**53 are reached in the year 2255.
_IN_A_SECOND = 1_000_000
_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{12}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_SIGNATURE = re.compile(r"([0-9a-f]{16})(?:-[0-9a-f]{16})?\.json")
_RECORD = re.compile(r"([0-9]{8})\.json")
# Not \d, which also matches the digits of other scripts.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
QUARANTINE = "quarantine"
# A segment has room for 255 characters, and `.json` ends it.
_LONGEST_STEM = 250
_OUTSIDE = re.compile(r"[^A-Za-z0-9._=-]+")
# Everything else is append-only, so that a bug or a stolen token cannot rewrite history.
_REMOVABLE = ("landing/", "probe/", "spool/")
# For display only; nothing follows from them.
_RUN_RECORD = re.compile(rf"models/{_MODEL.pattern}/runs/[^/]+/[^/]+")
# The manifest of a version and the records about it are never deleted.
_DISCARDABLE = re.compile(
    rf"models/{_MODEL.pattern}/versions/{_VERSION.pattern}/"
    r"(signatures/[A-Za-z0-9._-]+|(?!(manifest|decision|collected|kept)\.json$)[A-Za-z0-9._-]+)"
)


def check(key: str) -> str:
    """The key itself, when every segment is in the grammar.

    Raises:
        BadKey: an empty or relative segment, a character outside the grammar, over 1,024 bytes.
    """
    if len(key) > 1024:
        raise BadKey(key[:40] + "…", "it is longer than 1,024 bytes")
    for segment in key.split("/"):
        if segment in {"", ".", ".."}:
            raise BadKey(key, f"it has the segment {segment!r}")
        if not _SEGMENT.fullmatch(segment):
            raise BadKey(key, f"the segment {segment!r} is outside the grammar")
    return key


def is_segment(name: str) -> bool:
    """Whether a name in a listing can be a segment of a key."""
    return _SEGMENT.fullmatch(name) is not None and name not in {".", ".."}


def is_key(key: str) -> bool:
    """Whether a listed key is in the grammar; others can be neither read nor removed."""
    try:
        check(key)
    except BadKey:
        return False
    return True


def check_removable(key: str) -> str:
    """Check that a key may be removed: of an arrival, a probe, a segment, or a record of a run."""
    if not key.startswith(_REMOVABLE) and not _RUN_RECORD.fullmatch(key):
        raise BadKey(key, "only keys under landing/, spool/, probe/ and runs/ may be removed")
    return check(key)


def check_discardable(key: str) -> str:
    """Check that a key is a file or signature of a version, not its manifest or a record about it.

    So whatever retention deletes, the history of every version stays readable.
    """
    if not _DISCARDABLE.fullmatch(key):
        raise BadKey(key, "only files of versions may be discarded, not the records about them")
    return check(key)


def check_model(model: str) -> str:
    """Check a model's name: lower case, as it is used in URLs and deployments."""
    if not _MODEL.fullmatch(model):
        raise BadKey(model, "a model's name is lower-case letters, digits and -")
    return model


def is_model(name: str) -> bool:
    """Whether a name in a folder or a listing can be a model's."""
    return _MODEL.fullmatch(name) is not None


def check_version(version: str) -> str:
    """Check a version's name: `<UTC time>-<first 12 of the fingerprint>`, so names sort by age."""
    if not _VERSION.fullmatch(version):
        raise BadKey(version, "a version looks like 20261122T020000-0123456789ab")
    return version


def is_version(name: str) -> bool:
    """Whether a name in a listing is a version's."""
    try:
        made_at(name)
    except BadKey:
        return False
    return True


def new_version(fingerprint: str, at: datetime) -> str:
    """Name a version after its time and fingerprint."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}-{fingerprint[:12]}"


def made_at(version: str) -> datetime:
    """The time in a version's name."""
    moment = check_version(version).partition("-")[0]
    try:
        return datetime.strptime(moment, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise BadKey(version, "there is no such moment") from None


def number_of(version: str) -> int:
    """The number of a version, for protocols whose versions are whole numbers of 64 bits.

    It follows from the name alone, so it is the same on every host and for ever: the seconds of its
    time since 1970, and six digits from its fingerprint. Later versions have greater numbers, and
    all are exact in JavaScript, too. Two versions of one second have the same number once in a
    million times; who looks one up must not choose between them.
    """
    seconds = int(made_at(version).timestamp())
    return seconds * _IN_A_SECOND + int(version.rpartition("-")[2], 16) % _IN_A_SECOND


def matches_fingerprint(version: str, fingerprint: str) -> bool:
    """Whether a version's name has the beginning of this fingerprint."""
    return version.endswith("-" + fingerprint[:12])


def versions(model: str) -> str:
    """Prefix of all versions of a model."""
    return f"models/{check_model(model)}/versions"


def version_file(model: str, version: str, file: str) -> str:
    """Key of one file of a version's bundle."""
    return check(f"{versions(model)}/{check_version(version)}/{file}")


def manifest(model: str, version: str) -> str:
    """Key of the manifest: the version exists from the moment this key does."""
    return version_file(model, version, "manifest.json")


def signatures(model: str, version: str) -> str:
    """Prefix of the signatures over a version's manifest."""
    return version_file(model, version, "signatures")


def signature(model: str, version: str, key_id: str, manifest_digest: str = "") -> str:
    """Key of the signature by one signing key.

    With the manifest's digest it is the second name, for when the first is in use: a run that died
    between signature and manifest may have signed another manifest, and nothing is overwritten.
    """
    of = f"-{manifest_digest[:16]}" if manifest_digest else ""
    return f"{signatures(model, version)}/{_check_key_id(key_id)}{of}.json"


def _check_key_id(key_id: str) -> str:
    if not _KEY_ID.fullmatch(key_id):
        raise BadKey(key_id, "the id of a signing key is 16 hexadecimal digits")
    return key_id


def signed_by(name: str) -> str | None:
    """The id of the key that a signature's name below `signatures` stands for, or None."""
    match = _SIGNATURE.fullmatch(name)
    return match[1] if match else None


def decision_signature(model: str, version: str, key_id: str) -> str:
    """Key of a signature over the decision about a version, of one that was stored without."""
    return f"{signatures(model, version)}/decision-{_check_key_id(key_id)}.json"


def decision(model: str, version: str) -> str:
    """Key of the one decision about a version."""
    return version_file(model, version, "decision.json")


def tombstone(model: str, version: str) -> str:
    """Key of the tombstone: retention deletes the version's files."""
    return version_file(model, version, "collected.json")


def tombstone_revoked(model: str, version: str) -> str:
    """Key of the record that revokes a tombstone."""
    return version_file(model, version, "kept.json")


def refusals(model: str) -> str:
    """Prefix of the refusals of a model's candidates."""
    return check(f"models/{check_model(model)}/refusals")


def refusal(model: str, fingerprint: str, champion: str | None) -> str:
    """Key of the refusal of a candidate by its gates, compared with this champion."""
    compared_with = check_version(champion) if champion else "none"
    return check(f"models/{check_model(model)}/refusals/{fingerprint}/{compared_with}.json")


def alias(model: str, name: str) -> str:
    """Prefix of an alias' log."""
    return check(f"models/{check_model(model)}/aliases/{name}")


def alias_record(model: str, name: str, sequence: int) -> str:
    """Key of record `sequence` of an alias' log; padded so that keys sort as numbers."""
    return f"{alias(model, name)}/{sequence:08d}.json"


def alias_record_signature(model: str, name: str, sequence: int, key_id: str) -> str:
    """Key of a signature over a record of an alias' log, of one that was stored without."""
    return f"{alias(model, name)}/{sequence:08d}/signatures/{_check_key_id(key_id)}.json"


def alias_sequence(name: str) -> int | None:
    """The sequence in a listed name, or None for any other name."""
    match = _RECORD.fullmatch(name)
    return int(match[1]) if match else None


def replicas(model: str, name: str, sequence: int) -> str:
    """Prefix of the acknowledgements of one record."""
    return f"{alias(model, name)}/{sequence:08d}/replicas"


def replica(model: str, name: str, sequence: int, replica: str) -> str:
    """Key of one replica's acknowledgement of one record."""
    return check(f"{replicas(model, name, sequence)}/{replica}.json")


def withdrawal(model: str, name: str, sequence: int) -> str:
    """Key of the withdrawal of the challenge that a record started."""
    return f"{alias(model, name)}/{sequence:08d}/withdrawn.json"


def withdrawal_signature(model: str, name: str, sequence: int, key_id: str) -> str:
    """Key of a signature over a withdrawal, of one that was stored without."""
    by = _check_key_id(key_id)
    return f"{alias(model, name)}/{sequence:08d}/signatures/withdrawn-{by}.json"


def tuned(model: str) -> str:
    """Prefix of the log of tuned settings."""
    return check(f"models/{check_model(model)}/settings")


def tuned_record(model: str, sequence: int) -> str:
    """Key of record `sequence` of the log of tuned settings."""
    return f"{tuned(model)}/{sequence:08d}.json"


def scores(model: str, version: str | None = None) -> str:
    """Prefix of the live scores of a model, or of one version of it."""
    below = f"models/{check_model(model)}/scores"
    return below if version is None else f"{below}/{check_version(version)}"


def score(model: str, version: str, arrival: str) -> str:
    """Key of what a version measured on an arrival; `arrival` is as it is named in the dataset.

    A name that is too long for a segment is shortened and gets a digest.
    """
    if "/" in arrival:
        raise BadKey(arrival, "an arrival's name is one segment")
    if len(arrival) > _LONGEST_STEM:
        suffix = hashlib.sha256(arrival.encode()).hexdigest()[:16]
        arrival = f"{arrival[: _LONGEST_STEM - 17]}-{suffix}"
    return check(f"{scores(model, version)}/{arrival}.json")


def monitoring(model: str) -> str:
    """Prefix of the log of monitor records."""
    return check(f"models/{check_model(model)}/monitoring")


def monitor_record(model: str, sequence: int) -> str:
    """Key of record `sequence` of the log of monitor records."""
    return check(f"{monitoring(model)}/{sequence:08d}.json")


def monitor_carried_out(model: str, sequence: int) -> str:
    """Key of the note that the consequence of a monitor record was carried out."""
    return check(f"{monitoring(model)}/{sequence:08d}/carried-out.json")


def runs(model: str) -> str:
    """Prefix of the records of runs, by month."""
    return check(f"models/{check_model(model)}/runs")


def run_record(model: str, at: datetime, run: str, event: str) -> str:
    """Key of the record that a run `started` or `ended`; names sort by time within a month."""
    at = at.astimezone(UTC)
    return check(f"{runs(model)}/{at:%Y-%m}/{at:%Y%m%dT%H%M%S}-{run}-{event}.json")


def predictions(model: str) -> str:
    """Prefix of the Delta table of a model's answered requests."""
    return check(f"predictions/{check_model(model)}")


def labels(model: str) -> str:
    """Prefix of the Delta table of the labels of a model's answers."""
    return check(f"labels/{check_model(model)}")


def spool(model: str, host: str = "") -> str:
    """Prefix of the segments of the prediction log that serving shipped, of one host or of all."""
    return check(f"spool/{check_model(model)}" + (f"/{host}" if host else ""))


def spool_segment(model: str, host: str, segment: str) -> str:
    """Key of one segment of the prediction log; its name is never used again."""
    return check(f"{spool(model, host)}/{segment}")


def dataset(model: str, table: str) -> str:
    """Prefix of a Delta table of a model: `rows` to learn from, `holdout` never to."""
    return check(f"datasets/{check_model(model)}/{table}")


def arrivals(model: str) -> str:
    """Prefix of the reviews of a model's arrivals, by the name of the arrival."""
    return f"datasets/{check_model(model)}/arrivals"


def pending_review(model: str, name: str) -> str:
    """Key of the findings for which an arrival awaits review."""
    return _of_arrival(model, name, "held.json")


def arrival_review(model: str, name: str, sequence: int) -> str:
    """Key of decision `sequence` about an arrival; the highest counts."""
    return _of_arrival(model, name, f"{sequence:08d}.json")


def _of_arrival(model: str, name: str, file: str) -> str:
    if "/" in name:
        raise BadKey(name, "an arrival's name is one segment")
    return check(f"{arrivals(model)}/{name}/{file}")


def landing(model: str) -> str:
    """Prefix under which arrivals wait to be ingested."""
    return f"landing/{check_model(model)}"


def is_date(name: str) -> bool:
    """Whether a name below `landing` is a day of arrivals; `QUARANTINE` is not."""
    return _DATE.fullmatch(name) is not None


def arrival(model: str, date: str, name: str) -> str:
    """Prefix of the arrival of one name on one day (`2026-11-22`, UTC)."""
    for segment in (date, name):
        if "/" in segment:
            raise BadKey(segment, "it must be one segment")
    return check(f"{landing(model)}/{date}/{name}")


def quarantine(model: str) -> str:
    """Prefix of the files that could not be ingested, by arrival."""
    return f"{landing(model)}/{QUARANTINE}"


def segment_for(file: str, sha256: str) -> str:
    """A segment for a file of any name: a digest, and the characters of the name in the grammar.

    The digest covers name and content, so leftovers of a killed delivery of another body under the
    same name do not collide.
    """
    prefix = hashlib.sha256(f"{sha256} {file}".encode()).hexdigest()[:16]
    return f"{prefix}-{_OUTSIDE.sub('-', file)[-100:]}"
