"""Which versions retention keeps and why: pure functions over what was read.

A version is deleted when no rule keeps it. Every rule gives its reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from overnight.store.objects import keys
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION

# Reports and records are small and stay with the manifest.
_ALWAYS_KEPT = (".json", ".html")


@dataclass(frozen=True)
class Retention:
    """Keeps the newest `keep` versions and champions, and versions younger than `days`.

    Half-written versions are kept for `grace_days`.
    """

    keep: int = 10
    days: float = 30
    grace_days: float = 2

    def spares(self, at: datetime, now: datetime) -> bool:
        """Whether something of this time is too young to be deleted."""
        return at > now - timedelta(days=self.days)

    def may_finish(self, version: str, now: datetime) -> bool:
        """Whether a run may still be writing a half-written version, by the time in its name."""
        return keys.made_at(version) > now - timedelta(days=self.grace_days)


@dataclass(frozen=True)
class VersionUse:
    """What retention needs to know of a published version."""

    version: str
    verdict: str | None
    compared_with: str | None = None
    continued_from: str | None = None


def heavy(files: Iterable[str]) -> tuple[str, ...]:
    """The files that are deleted with a version."""
    return tuple(sorted(name for name in files if not name.endswith(_ALWAYS_KEPT)))


def kept(
    versions: Sequence[VersionUse],
    logs: Mapping[str, Sequence[AliasRecord]],
    retention: Retention,
    now: datetime,
) -> dict[str, str]:
    """The reason for each version that is kept; all others may be deleted.

    `logs` are all alias logs of the model by alias, each oldest first.
    """
    why: dict[str, str] = {}
    for version, reason in (
        *_named(logs),
        *_champions(logs.get(CHAMPION, ()), retention, now),
        *_undecided(versions, logs.get(CHAMPION, ())),
        *_young(versions, retention, now),
    ):
        # The first reason stands: the rules come in order of importance.
        why.setdefault(version, reason)
    for use in [use for use in versions if use.version in why]:
        # Reproducing a version needs the weights it started from, but not their own origin.
        if use.continued_from:
            why.setdefault(use.continued_from, f"{use.version} continued from it")
    return {version: why[version] for version in sorted(why)}


def _named(logs: Mapping[str, Sequence[AliasRecord]]) -> Iterable[tuple[str, str]]:
    for alias, records in logs.items():
        target = records[-1].target if records else None
        if target is not None:
            yield target, f"it is {alias}"


def _champions(
    records: Sequence[AliasRecord], retention: Retention, now: datetime
) -> Iterable[tuple[str, str]]:
    """The versions that a rollback may return to, and those that served until recently."""
    newest: dict[str, None] = dict.fromkeys(record.version for record in reversed(records))
    for version in list(newest)[: retention.keep]:
        yield version, f"it is among the last {retention.keep} champions"
    for record, following in pairwise(records):
        if retention.spares(following.at, now):
            yield record.version, f"it was champion until {following.at:%Y-%m-%d}"


def _undecided(
    versions: Sequence[VersionUse], champions: Sequence[AliasRecord]
) -> Iterable[tuple[str, str]]:
    served = {record.version for record in champions}
    champion = champions[-1].version if champions else None
    for use in versions:
        if use.verdict is None:
            yield use.version, "it waits for a decision"
        elif (
            use.verdict == "approved"
            and use.version not in served
            and use.compared_with == champion
        ):
            yield use.version, "it is approved and may still be promoted"


def _young(
    versions: Sequence[VersionUse], retention: Retention, now: datetime
) -> Iterable[tuple[str, str]]:
    newest = sorted((use.version for use in versions), reverse=True)
    for version in newest[: retention.keep]:
        yield version, f"it is among the newest {retention.keep}"
    for version in newest:
        if retention.spares(keys.made_at(version), now):
            yield version, f"it is younger than {retention.days:g} days"
