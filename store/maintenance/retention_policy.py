"""Which versions retention keeps, and why: rules over what was read, nothing is asked here.

A version goes when no rule keeps it. Every rule that keeps one is a sentence of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from overnight.store.objects import keys
from overnight.store.registry.aliases import CHAMPION, AliasRecord

# What explains a version is small and stays with its manifest.
_EXPLAINING = (".json", ".html")


@dataclass(frozen=True)
class Retention:
    """How much is kept: the newest `keep` versions and champions, and whatever is younger than
    `days`; half-written versions for `grace_days`.
    """

    keep: int = 10
    days: float = 30
    grace_days: float = 2

    def spares(self, at: datetime, now: datetime) -> bool:
        """Whether something of this moment is too young to go."""
        return at > now - timedelta(days=self.days)

    def may_finish(self, version: str, now: datetime) -> bool:
        """Whether a half-written version may still be under way, by the moment in its name."""
        return keys.made_at(version) > now - timedelta(days=self.grace_days)


@dataclass(frozen=True)
class VersionUse:
    """What retention has to know of a published version."""

    version: str
    verdict: str | None
    compared_with: str | None = None
    continued_from: str | None = None


def heavy(files: Iterable[str]) -> tuple[str, ...]:
    """The files that go with a version; what explains it stays."""
    return tuple(sorted(name for name in files if not name.endswith(_EXPLAINING)))


def kept(
    standings: Sequence[VersionUse],
    logs: Mapping[str, Sequence[AliasRecord]],
    retention: Retention,
    now: datetime,
) -> dict[str, str]:
    """Why each version that stays does; whatever is not named may go.

    `logs` are all alias logs of the model by their names, each oldest first.
    """
    why: dict[str, str] = {}
    for version, reason in (
        *_named(logs),
        *_champions(logs.get(CHAMPION, ()), retention, now),
        *_undecided(standings, logs.get(CHAMPION, ())),
        *_young(standings, retention, now),
    ):
        why.setdefault(version, reason)
    for one in [one for one in standings if one.version in why]:
        # Training it again begins with these weights; what they came from in turn is not needed.
        if one.continued_from:
            why.setdefault(one.continued_from, f"{one.version} continued from it")
    return {version: why[version] for version in sorted(why)}


def _named(logs: Mapping[str, Sequence[AliasRecord]]) -> Iterable[tuple[str, str]]:
    for alias, records in logs.items():
        target = records[-1].target if records else None
        if target is not None:
            yield target, f"it is {alias}"


def _champions(
    records: Sequence[AliasRecord], retention: Retention, now: datetime
) -> Iterable[tuple[str, str]]:
    """Those that a rollback leads to, and those that served until lately."""
    newest: dict[str, None] = dict.fromkeys(record.version for record in reversed(records))
    for version in list(newest)[: retention.keep]:
        yield version, f"it is among the last {retention.keep} champions"
    for record, following in pairwise(records):
        if retention.spares(following.at, now):
            yield record.version, f"it was champion until {following.at:%Y-%m-%d}"


def _undecided(
    standings: Sequence[VersionUse], champions: Sequence[AliasRecord]
) -> Iterable[tuple[str, str]]:
    served = {record.version for record in champions}
    champion = champions[-1].version if champions else None
    for one in standings:
        if one.verdict is None:
            yield one.version, "it waits for a decision"
        elif (
            one.verdict == "approved"
            and one.version not in served
            and one.compared_with == champion
        ):
            yield one.version, "it is approved and may still be promoted"


def _young(
    standings: Sequence[VersionUse], retention: Retention, now: datetime
) -> Iterable[tuple[str, str]]:
    newest = sorted((one.version for one in standings), reverse=True)
    for version in newest[: retention.keep]:
        yield version, f"it is among the newest {retention.keep}"
    for version in newest:
        if retention.spares(keys.made_at(version), now):
            yield version, f"it is younger than {retention.days:g} days"
