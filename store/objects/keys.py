"""The key grammar: the only place where object keys are formed or taken apart."""

import hashlib
import re
from datetime import UTC, datetime

from overnight.store.errors import BadKey

# What AWS, SeaweedFS and a local folder all keep as it is: `//` collapses, `\` becomes `/`,
# and a body under `dir/` is lost in some stores, so none of them is let through.
_SEGMENT = re.compile(r"[A-Za-z0-9._=-]{1,255}")
_MODEL = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VERSION = re.compile(r"\d{8}T\d{6}-[0-9a-f]{12}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_SIGNATURE = re.compile(r"([0-9a-f]{16})(?:-[0-9a-f]{16})?\.json")
_RECORD = re.compile(r"([0-9]{8})\.json")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# A segment has room for 255 characters, and `.json` ends it.
_LONGEST_STEM = 250
_OUTSIDE = re.compile(r"[^A-Za-z0-9._=-]+")
_REMOVABLE = ("landing/", "probe/")
# What a version was, and what was said about it, is never let go of.
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


def check_removable(key: str) -> str:
    """Only arrivals that were taken in and probes may ever be removed."""
    if not key.startswith(_REMOVABLE):
        raise BadKey(key, "only keys under landing/ and probe/ may be removed")
    return check(key)


def check_discardable(key: str) -> str:
    """Only what a version consists of may be discarded, and nothing that was said about it.

    So whatever retention does, a version that existed can be told of for ever.
    """
    if not _DISCARDABLE.fullmatch(key):
        raise BadKey(key, "only files of versions may be discarded, and no word about them")
    return check(key)


def check_model(model: str) -> str:
    """A model's name: lower case, as it stands in addresses and deployments."""
    if not _MODEL.fullmatch(model):
        raise BadKey(model, "a model's name is lower-case letters, digits and -")
    return model


def is_model(name: str) -> bool:
    """Whether a name found in a folder or a listing is a model's; others are none of ours."""
    return _MODEL.fullmatch(name) is not None


def check_version(version: str) -> str:
    """A version's name: `<UTC time>-<first 12 of the fingerprint>`, so names sort by age."""
    if not _VERSION.fullmatch(version):
        raise BadKey(version, "a version looks like 20261122T020000-0123456789ab")
    return version


def is_version(name: str) -> bool:
    """Whether a name found in a listing is a version's."""
    try:
        made_at(name)
    except BadKey:
        return False
    return True


def new_version(fingerprint: str, at: datetime) -> str:
    """Name a version after the moment and what could change its answer."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}-{fingerprint[:12]}"


def made_at(version: str) -> datetime:
    """The moment that a version is named after."""
    moment = check_version(version).partition("-")[0]
    try:
        return datetime.strptime(moment, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise BadKey(version, "there is no such moment") from None


def matches_fingerprint(version: str, fingerprint: str) -> bool:
    """Whether a version was made from exactly this data, code, settings and seed."""
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
    """Key of the signature of one key.

    With the manifest's digest it is the name for one whose plain name is taken: a run that died
    between signature and manifest may have signed another manifest, and nothing is overwritten.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise BadKey(key_id, "the id of a signing key is 16 hexadecimal digits")
    of = f"-{manifest_digest[:16]}" if manifest_digest else ""
    return f"{signatures(model, version)}/{key_id}{of}.json"


def signed_by(name: str) -> str | None:
    """The id of the key that a signature's name below `signatures` stands for, or None."""
    found = _SIGNATURE.fullmatch(name)
    return found[1] if found else None


def decision(model: str, version: str) -> str:
    """Key of the one decision about a version."""
    return version_file(model, version, "decision.json")


def tombstone(model: str, version: str) -> str:
    """Key of the word that retention let go of a version's files."""
    return version_file(model, version, "collected.json")


def tombstone_revoked(model: str, version: str) -> str:
    """Key of the word that a version stays although `collected` was said."""
    return version_file(model, version, "kept.json")


def refusal(model: str, fingerprint: str, champion: str | None) -> str:
    """Key that remembers that a candidate was refused by its gates, beside this champion."""
    beside = check_version(champion) if champion else "none"
    return check(f"models/{check_model(model)}/refusals/{fingerprint}/{beside}.json")


def alias(model: str, name: str) -> str:
    """Prefix of an alias' log."""
    return check(f"models/{check_model(model)}/aliases/{name}")


def alias_record(model: str, name: str, sequence: int) -> str:
    """Key of record `sequence` of an alias' log; padded so that keys sort as numbers."""
    return f"{alias(model, name)}/{sequence:08d}.json"


def alias_sequence(name: str) -> int | None:
    """The sequence a listed name stands for, or None for anything else under the prefix."""
    found = _RECORD.fullmatch(name)
    return int(found[1]) if found else None


def replicas(model: str, name: str, sequence: int) -> str:
    """Prefix of what replicas said about one record."""
    return f"{alias(model, name)}/{sequence:08d}/replicas"


def replica(model: str, name: str, sequence: int, replica: str) -> str:
    """Key of what one replica said about one record."""
    return check(f"{replicas(model, name, sequence)}/{replica}.json")


def withdrawal(model: str, name: str, sequence: int) -> str:
    """Key of the one word that a serving host withdrew what a record started."""
    return f"{alias(model, name)}/{sequence:08d}/withdrawn.json"


def tuned(model: str) -> str:
    """Prefix of the log of settings that searches found best."""
    return check(f"models/{check_model(model)}/settings")


def tuned_record(model: str, sequence: int) -> str:
    """Key of record `sequence` of that log; numbered as aliases are."""
    return f"{tuned(model)}/{sequence:08d}.json"


def scores(model: str, version: str | None = None) -> str:
    """Prefix of what versions measured on arrivals that nothing had learned, by version."""
    below = f"models/{check_model(model)}/scores"
    return below if version is None else f"{below}/{check_version(version)}"


def score(model: str, version: str, arrival: str) -> str:
    """Key of what a version measured on an arrival; `arrival` is as it is named in the dataset.

    A name that would be too long for a segment is told by its beginning and its digest.
    """
    if "/" in arrival:
        raise BadKey(arrival, "an arrival's name is one segment")
    if len(arrival) > _LONGEST_STEM:
        told_apart = hashlib.sha256(arrival.encode()).hexdigest()[:16]
        arrival = f"{arrival[: _LONGEST_STEM - 17]}-{told_apart}"
    return check(f"{scores(model, version)}/{arrival}.json")


def dataset(model: str, table: str) -> str:
    """Prefix of a Delta table of a model: `rows` to learn from, `holdout` never to."""
    return check(f"datasets/{check_model(model)}/{table}")


def arrivals(model: str) -> str:
    """Prefix of what was said of arrivals in a model's dataset, by the name of the arrival."""
    return f"datasets/{check_model(model)}/arrivals"


def pending_review(model: str, name: str) -> str:
    """Key that tells why an arrival waits for a person."""
    return _of_arrival(model, name, "held.json")


def arrival_review(model: str, name: str, sequence: int) -> str:
    """Key of word `sequence` of a person about an arrival; the highest counts."""
    return _of_arrival(model, name, f"{sequence:08d}.json")


def _of_arrival(model: str, name: str, file: str) -> str:
    if "/" in name:
        raise BadKey(name, "an arrival's name is one segment")
    return check(f"{arrivals(model)}/{name}/{file}")


def landing(model: str) -> str:
    """Prefix under which arrivals wait to be taken in."""
    return f"landing/{check_model(model)}"


def is_date(name: str) -> bool:
    """Whether a name found below `landing` is a day of arrivals; `quarantine` is not."""
    return _DATE.fullmatch(name) is not None


def arrival(model: str, date: str, name: str) -> str:
    """Prefix of what arrived under one name on one day (`2026-11-22`, UTC)."""
    for segment in (date, name):
        if "/" in segment:
            raise BadKey(segment, "it has to be one segment")
    return check(f"{landing(model)}/{date}/{name}")


def quarantine(model: str) -> str:
    """Prefix of the files that could not be taken in, by arrival."""
    return f"{landing(model)}/quarantine"


def segment_for(file: str, sha256: str) -> str:
    """A segment for a file of any name: what of it is in the grammar, told apart by a digest.

    The digest is over name and content: what a killed delivery left behind never stands in the way.
    """
    told_apart = hashlib.sha256(f"{sha256} {file}".encode()).hexdigest()[:16]
    return f"{told_apart}-{_OUTSIDE.sub('-', file)[-100:]}"
