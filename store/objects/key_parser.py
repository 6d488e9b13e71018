"""Parses the keys of the bucket: the inverse of `overnight.store.objects.keys`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from overnight.store.objects import keys


class Kind(StrEnum):
    """The kind of object under a key; the values are shown in reports."""

    MANIFEST = "manifest"
    DECISION = "decision"
    TOMBSTONE = "tombstone"
    TOMBSTONE_REVOKED = "tombstone revoked"
    SIGNATURE = "signature"
    RECORD_SIGNATURE = "signature of a record"
    FILE = "file of a version"
    ALIAS_RECORD = "alias record"
    ACKNOWLEDGEMENT = "acknowledgement"
    WITHDRAWAL = "withdrawal"
    REFUSAL = "refusal"
    TUNED_SETTINGS = "tuned settings"
    SCORE = "score"
    MONITOR_RECORD = "monitor record"
    CARRIED_OUT = "consequence carried out"
    RUN_RECORD = "record of a run"
    TABLE = "file of a table"
    RECORDED = "file of the prediction log"
    SEGMENT = "segment of the prediction log"
    PENDING_REVIEW = "arrival awaiting review"
    ARRIVAL_REVIEW = "arrival review"
    ARRIVAL = "arrival"
    LANDED = "landed file"
    REASON = "quarantine reason"
    QUARANTINED = "quarantined file"
    PROBE = "probe"
    UNKNOWN = "unknown key"


_MODEL = r"(?P<model>[a-z][a-z0-9-]{0,62})"
_VERSION = r"(?P<version>\d{8}T\d{6}-[0-9a-f]{12})"
_SEQUENCE = r"(?P<sequence>\d{8,})"
_NAME = r"[A-Za-z0-9._=-]+"
_BUNDLE = rf"models/{_MODEL}/versions/{_VERSION}"
_ALIAS = rf"models/{_MODEL}/aliases/(?P<alias>{_NAME})/{_SEQUENCE}"
_ARRIVALS = rf"datasets/{_MODEL}/arrivals/(?P<arrival>{_NAME})"
_LANDING = rf"landing/{_MODEL}/(?P<date>\d{{4}}-\d\d-\d\d)/(?P<arrival>{_NAME})"
_QUARANTINE = rf"landing/{_MODEL}/quarantine/(?P<arrival>{_NAME})"
# The first match counts: a general pattern comes after the special ones.
_FORMS = [
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.MANIFEST, rf"{_BUNDLE}/manifest\.json"),
        (Kind.DECISION, rf"{_BUNDLE}/decision\.json"),
        (Kind.TOMBSTONE, rf"{_BUNDLE}/collected\.json"),
        (Kind.TOMBSTONE_REVOKED, rf"{_BUNDLE}/kept\.json"),
        (Kind.SIGNATURE, rf"{_BUNDLE}/signatures/(?P<name>[0-9a-f]{{16}}(-[0-9a-f]{{16}})?)\.json"),
        (Kind.RECORD_SIGNATURE, rf"{_BUNDLE}/signatures/decision-(?P<name>[0-9a-f]{{16}})\.json"),
        (Kind.FILE, rf"{_BUNDLE}/(?P<name>{_NAME})"),
        (Kind.ALIAS_RECORD, rf"{_ALIAS}\.json"),
        (Kind.ACKNOWLEDGEMENT, rf"{_ALIAS}/replicas/(?P<name>{_NAME})\.json"),
        (
            Kind.RECORD_SIGNATURE,
            rf"{_ALIAS}/signatures/(withdrawn-)?(?P<name>[0-9a-f]{{16}})\.json",
        ),
        (Kind.WITHDRAWAL, rf"{_ALIAS}/withdrawn\.json"),
        (
            Kind.REFUSAL,
            rf"models/{_MODEL}/refusals/(?P<name>{_NAME})/(?P<compared_with>{_NAME})\.json",
        ),
        (Kind.TUNED_SETTINGS, rf"models/{_MODEL}/settings/{_SEQUENCE}\.json"),
        (Kind.SCORE, rf"models/{_MODEL}/scores/{_VERSION}/(?P<arrival>{_NAME})\.json"),
        (Kind.MONITOR_RECORD, rf"models/{_MODEL}/monitoring/{_SEQUENCE}\.json"),
        (Kind.CARRIED_OUT, rf"models/{_MODEL}/monitoring/{_SEQUENCE}/carried-out\.json"),
        (
            Kind.RUN_RECORD,
            rf"models/{_MODEL}/runs/\d{{4}}-\d\d/\d{{8}}T\d{{6}}-[0-9a-f-]{{36}}-(started|ended)\.json",
        ),
        (Kind.TABLE, rf"datasets/{_MODEL}/(?P<table>rows|holdout)/(?P<name>.+)"),
        (Kind.RECORDED, rf"(?P<table>predictions|labels)/{_MODEL}/(?P<name>.+)"),
        (Kind.SEGMENT, rf"spool/{_MODEL}/(?P<host>{_NAME})/[0-9a-f]{{32}}-[0-9]{{8}}\.log"),
        (Kind.PENDING_REVIEW, rf"{_ARRIVALS}/held\.json"),
        (Kind.ARRIVAL_REVIEW, rf"{_ARRIVALS}/{_SEQUENCE}\.json"),
        (Kind.ARRIVAL, rf"{_LANDING}/arrival\.json"),
        (Kind.LANDED, rf"{_LANDING}/{_NAME}"),
        (Kind.REASON, rf"{_QUARANTINE}/reason-{_NAME}\.json"),
        (Kind.QUARANTINED, rf"{_QUARANTINE}/{_NAME}"),
        (Kind.PROBE, rf"probe/{_NAME}"),
    )
]


@dataclass(frozen=True)
class Item:
    """One key with its size in bytes, its kind, and the names it consists of."""

    key: str
    size_bytes: int
    kind: Kind
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, size_bytes: int) -> Self:
        """Parse a key; its kind is `UNKNOWN` when no pattern matches."""
        for kind, form in _FORMS:
            if match := form.fullmatch(key):
                names = {name: value for name, value in match.groupdict().items() if value}
                # The pattern accepts dates that do not exist, such as a 31st of February.
                if "version" in names and not keys.is_version(names["version"]):
                    break
                return cls(key, size_bytes, kind, names)
        return cls(key, size_bytes, Kind.UNKNOWN)

    @property
    def model(self) -> str:
        """The model it belongs to; empty for probes and unknown keys."""
        return self.names.get("model", "")

    @property
    def version(self) -> str:
        return self.names.get("version", "")

    @property
    def sequence(self) -> int:
        return int(self.names["sequence"])


def items(sizes: Mapping[str, int]) -> list[Item]:
    """Parse every key of a listing, in its order."""
    return [Item.of(key, size) for key, size in sizes.items()]


def models(items: Iterable[Item]) -> list[str]:
    """The models that any of the items belongs to, sorted."""
    return sorted({item.model for item in items if item.model})
