"""Collecting: letting go of what no rule keeps, while others publish, promote and serve.

First the word (`collected.json`), then a look whether anybody wants the version after all, and only
then the files. Whoever promotes or publishes looks for the word after their own write: see
`store.collected`. Killed anywhere in between, the next run goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from store import keys
from store.aliases import AliasLog, AliasRecord
from store.bucket import Bucket
from store.collected import Collected, keep, read_collected
from store.decisions import read_decision
from store.errors import AlreadyExists, NotFound
from store.manifest import Manifest
from store.sweeping import Retention, Standing, heavy, kept
from store.versions import read_manifest

_MANIFEST, _COLLECTED, _KEPT = "manifest.json", "collected.json", "kept.json"
_AT_ONCE = 8
# A word younger than this may be that of somebody who collects at this moment.
_UNDER_WAY = timedelta(hours=1)


@dataclass(frozen=True)
class Leaving:
    """A version that may go: its files that go, with their sizes in bytes."""

    model: str
    version: str
    files: Mapping[str, int]
    published: bool
    reason: str

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


@dataclass(frozen=True)
class Plan:
    """What may go of one model, why everything else stays, and the logs that were judged."""

    model: str
    leaving: tuple[Leaving, ...]
    staying: Mapping[str, str]
    logs: Mapping[str, Sequence[AliasRecord]]
    # The versions of the dataset that versions which stay were made from.
    snapshots: frozenset[int]
    unfinished: tuple[str, ...] = ()
    # Said to be collected by a run that died before it looked who wants them; still whole.
    returning: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.leaving)


def survey(bucket: Bucket, model: str, retention: Retention, now: datetime) -> Plan:
    """What retention would let go of; changes nothing."""
    folders = _folders(bucket, model)
    published = [name for name, files in folders.items() if _MANIFEST in files]
    manifests = {version: read_manifest(bucket, model, version) for version in published}
    wanted = {version for version, files in folders.items() if _KEPT in files}
    whole = [v for v in published if _COLLECTED not in folders[v] or v in wanted]
    standings = [_standing(bucket, manifests[version]) for version in whole]
    logs = {
        alias: AliasLog(bucket, model, alias).history()
        for alias in bucket.names_below(f"models/{keys.check_model(model)}/aliases")
    }
    told = dict.fromkeys(sorted(wanted), "somebody wanted it as it was about to go")
    staying = told | kept(standings, logs, retention, now)
    halves = set(folders) - set(published)
    under_way = {version for version in halves if retention.may_finish(version, now)}
    leaving = [
        _leaving(model, version, folders[version], retention)
        for version in sorted(folders.keys() - staying.keys() - under_way)
    ]
    return Plan(
        model,
        leaving=tuple(one for one in leaving if one.files),
        staying=staying,
        logs=logs,
        snapshots=frozenset(
            manifests[version].data.dataset_version for version in staying if version in manifests
        ),
        unfinished=tuple(sorted(under_way)),
        returning=tuple(
            version
            for version in sorted(staying.keys() & manifests.keys() - {*whole})
            if manifests[version].files.keys() <= folders[version].keys()
        ),
    )


def collect(
    bucket: Bucket, plan: Plan, *, by: str, told: Callable[[Leaving, str], None]
) -> list[Leaving]:
    """Let go of what a plan names, unless somebody wants it after all; `told` what stays, and why.

    Every version gets its word before any file goes, so that there is time for others to look.
    """
    for version in plan.returning:
        keep(bucket, plan.model, version, plan.staying[version])
    marks = {one.version: _mark(bucket, one, by) for one in plan.leaving}
    gone = []
    for one in plan.leaving:
        mark = marks[one.version]
        if mark is _Mark.ANOTHERS:
            told(one, "somebody else collects it")
            continue
        # Who wanted it after an earlier run's word was refused, so such a run is just finished.
        wanted = mark is _Mark.OURS and _is_wanted(bucket, plan, one)
        if wanted:
            keep(bucket, one.model, one.version, "somebody wanted it at that moment")
            told(one, "somebody wanted it at this moment")
        else:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                places = (keys.version_file(one.model, one.version, name) for name in one.files)
                list(pool.map(bucket.discard, places))
            gone.append(one)
    return gone


def _folders(bucket: Bucket, model: str) -> dict[str, dict[str, int]]:
    """The files of every version by their names below it, with their sizes; whole or not."""
    prefix = keys.versions(model)
    found: dict[str, dict[str, int]] = {}
    for key, size in bucket.sizes_below(prefix).items():
        version, _, name = key[len(prefix) + 1 :].partition("/")
        if keys.is_version(version) and name:
            found.setdefault(version, {})[name] = size
    return found


def _standing(bucket: Bucket, made: Manifest) -> Standing:
    decision = read_decision(bucket, made.model, made.version)
    return Standing(
        made.version,
        verdict=decision.verdict if decision else None,
        compared_with=made.compared_with,
        continued_from=made.training.continued_from,
    )


def _leaving(model: str, version: str, folder: Mapping[str, int], retention: Retention) -> Leaving:
    published = _MANIFEST in folder
    names = heavy(folder) if published else tuple(sorted({*folder} - {_COLLECTED}))
    reason = (
        f"no rule keeps it: keep {retention.keep}, {retention.days:g} days"
        if published
        else f"half-written for more than {retention.grace_days:g} days"
    )
    return Leaving(model, version, {name: folder[name] for name in names}, published, reason)


class _Mark(Enum):
    """Whose word a version has: that of this run, of one that is under way, or of a dead one."""

    OURS, ANOTHERS, OLD = range(3)


def _mark(bucket: Bucket, one: Leaving, by: str) -> _Mark:
    """Write the word; what was written first stands."""
    word = Collected(
        model=one.model,
        version=one.version,
        was="published" if one.published else "half-written",
        files=tuple(one.files),
        size_bytes=one.size_bytes,
        by=by,
        reason=one.reason,
    )
    try:
        bucket.create(keys.collected(one.model, one.version), word.encoded())
    except AlreadyExists:
        first = read_collected(bucket, one.model, one.version)
        dead = first is not None and first.at < word.at - _UNDER_WAY
        return _Mark.OLD if dead else _Mark.ANOTHERS
    return _Mark.OURS


def _is_wanted(bucket: Bucket, plan: Plan, one: Leaving) -> bool:
    """Whether it was published, promoted or challenged with since the plan was made.

    Asked by single reads, never by a listing, which may be stale.
    """
    if not one.published:
        try:
            bucket.read(keys.manifest(one.model, one.version))
        except NotFound:
            return False
        return True
    return any(
        record.version == one.version
        for alias, judged in plan.logs.items()
        for record in _since(AliasLog(bucket, one.model, alias), judged)
    )


def _since(log: AliasLog, judged: Sequence[AliasRecord]) -> list[AliasRecord]:
    sequence, found = judged[-1].sequence if judged else 0, []
    while (record := log.at(sequence + 1)) is not None:
        found.append(record)
        sequence = record.sequence
    return found
