"""What an audit of the bucket says: rules over what was read, nothing is asked here.

An error: something is lost, or says what is not so. A warning: nothing is lost, and somebody
should look. A note: how things are. Only the first two make an audit fail.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from overnight.store.errors import BadKey
from overnight.store.objects import keys
from overnight.store.objects.key_parser import Item, Kind
from overnight.store.registry.aliases import CHAMPION, AliasRecord

RESTORE = "restore it from an export: `overnight verify --repair --from FOLDER`"
REPLACE = (
    "nothing here is overwritten: remove it with the store's own tools, and then "
    "`overnight verify --repair --from FOLDER` restores it"
)
LOOK = "find out who wrote it, and remove it with the store's own tools"


class Severity(StrEnum):
    """How much it matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Observation:
    """One thing that was seen: where, what, and what to do about it.

    `is_missing` says that the key is not there and has to be: adding it is the remedy.
    """

    severity: Severity
    key: str
    what: str
    remedy: str = ""
    is_missing: bool = False

    @property
    def model(self) -> str:
        """The model it is about; empty for what belongs to none."""
        return Item.of(self.key, 0).model or _second(self.key)


@dataclass(frozen=True)
class Audit:
    """Everything that was seen, and what it was seen in: keys by kind, for each model."""

    observations: tuple[Observation, ...]
    tallies: Mapping[str, Mapping[str, int]]
    signatures_checked: bool

    @property
    def findings(self) -> tuple[Observation, ...]:
        """What makes the audit fail, the worst first."""
        return tuple(
            one
            for severity in (Severity.ERROR, Severity.WARNING)
            for one in self.observations
            if one.severity is severity
        )

    @property
    def is_clean(self) -> bool:
        return not self.findings


def error(key: str, what: str, remedy: str = RESTORE, *, is_missing: bool = False) -> Observation:
    return Observation(Severity.ERROR, key, what, remedy, is_missing)


def warning(key: str, what: str, remedy: str) -> Observation:
    return Observation(Severity.WARNING, key, what, remedy)


def note(key: str, what: str, remedy: str = "") -> Observation:
    return Observation(Severity.NOTE, key, what, remedy)


def strays(found: Iterable[Item]) -> Iterator[Observation]:
    """Keys that nothing of ours would ever read, and probes that outlived their start."""
    for item in found:
        if item.kind is Kind.UNKNOWN:
            yield warning(item.key, "nothing of ours reads this key", LOOK)
        elif item.kind is Kind.PROBE:
            yield note(item.key, "left behind by a start that was killed; it does no harm")


def misplaced(item: Item, value: BaseModel) -> Iterator[Observation]:
    """A record that speaks of something else than its key does."""
    told = {**item.names, **_SAID_BY_NAME.get(item.kind, lambda _: {})(item.names)}
    for name, expected in told.items():
        found = getattr(value, name, None)
        if (
            found is not None
            and f"{found}" != f"{int(expected) if name == 'sequence' else expected}"
            and not (item.kind is Kind.SCORE and _is_score_of(item, f"{found}"))
        ):
            yield error(
                item.key, f"it speaks of {name} {found}, and lies where {expected} should", LOOK
            )


def _is_score_of(item: Item, arrival: str) -> bool:
    """Long names of arrivals are shortened in keys."""
    try:
        return keys.score(item.model, item.version, arrival) == item.key
    except BadKey:
        return False


_SAID_BY_NAME = {
    Kind.ACKNOWLEDGEMENT: lambda names: {"replica": names["name"]},
    Kind.REFUSAL: lambda names: {"fingerprint": names["name"]},
}


def gaps(found: Iterable[Item]) -> Iterator[Observation]:
    """Records missing from a log: whatever is numbered counts from one without a gap."""
    logs: dict[str, dict[int, int]] = {}
    for item in found:
        prefix, _, name = item.key.rpartition("/")
        logs.setdefault(prefix, {})[item.sequence] = len(name.partition(".")[0])
    for prefix, sequences in logs.items():
        for sequence in range(1, max(sequences)):
            if sequence not in sequences:
                key = f"{prefix}/{sequence:08d}.json"
                what = f"record {sequence} of {max(sequences)} is missing from this log"
                yield error(key, what, is_missing=True)


@dataclass(frozen=True)
class VersionState:
    """What logs have to know of a version: whether it is there, and what became of it."""

    is_whole: bool
    verdict: str | None
    is_collected: bool


def alias_log(
    records: Sequence[AliasRecord], versions: Mapping[str, VersionState]
) -> Iterator[Observation]:
    """Each record over the one before it, and of a version that could serve; oldest first."""
    before: AliasRecord | None = None
    for record in records:
        key = keys.alias_record(record.model, record.alias, record.sequence)
        follows = before is None or before.sequence + 1 == record.sequence
        target = before.target if before else None
        if follows and record.previous != target:
            yield error(
                key,
                f"it was written over {record.previous or 'no version'}, and the record before "
                f"points at {target or 'no version'}",
                LOOK,
            )
        yield from _may_serve(key, record, versions.get(record.version))
        before = record
    if before is not None and before.target is not None:
        yield from _resolves(before, versions.get(before.target))


def _may_serve(key: str, record: AliasRecord, known: VersionState | None) -> Iterator[Observation]:
    if known is None or not known.is_whole:
        yield error(key, f"it names {record.version}, which has no manifest")
    elif record.alias == CHAMPION and known.verdict != "approved":
        yield error(
            key,
            f"it made {record.version} champion, which is {known.verdict or 'not decided'}",
            "find out who promoted it: `overnight show` tells by whom and why"
            + ("" if known.verdict else f"; or, if the decision was lost, {RESTORE}"),
        )


def _resolves(record: AliasRecord, known: VersionState | None) -> Iterator[Observation]:
    if known is not None and known.is_whole and known.is_collected:
        yield error(
            keys.alias_record(record.model, record.alias, record.sequence),
            f"{record.alias} points at {record.target}, whose files were collected",
            f'`overnight rollback {record.model} --to VERSION --reason "…"`'
            if record.alias == CHAMPION
            else f'`overnight challenge {record.model} --stop --reason "…"`',
        )


def acknowledgements(
    replicas: Iterable[tuple[Item, str]], records: Mapping[tuple[str, str, int], AliasRecord]
) -> Iterator[Observation]:
    """What hosts said, each of the version of a record that is there; pairs of key and version."""
    for item, version in replicas:
        record = records.get((item.model, item.names["alias"], item.sequence))
        if record is None:
            yield error(item.key, f"a host spoke of record {item.sequence}, which is missing")
        elif record.version != version:
            yield error(
                item.key, f"a host spoke of {version}, and the record names {record.version}", LOOK
            )


def table_log(prefix: str, found: Iterable[str]) -> Iterator[Observation]:
    """Commits missing from a Delta table's log, which is never cut off."""
    versions = {int(name[:20]) for name in found if name.endswith(".json") and name[:20].isdigit()}
    for version in range(max(versions, default=0)):
        if version not in versions:
            key = f"{prefix}/_delta_log/{version:020d}.json"
            yield error(key, f"commit {version} is missing from the table's log", is_missing=True)


def table_files(
    prefix: str, needed: Mapping[str, int], found: Mapping[str, int]
) -> Iterator[Observation]:
    """Files of a table's newest version that are not there, or not of their size in bytes."""
    for name, size in needed.items():
        key = f"{prefix}/{name}"
        if name not in found:
            yield error(key, "a file that the table's newest version needs", is_missing=True)
        elif found[name] != size:
            yield error(key, f"it has {found[name]} bytes, the table's log says {size}")


def unnamed_files(
    prefix: str, named: Collection[str], found: Mapping[str, int]
) -> Iterator[Observation]:
    """What no commit of a table names: being written, or left behind by a run that died."""
    below = {key.removeprefix(f"{prefix}/"): size for key, size in found.items()}
    sizes = [
        size
        for name, size in below.items()
        if name not in named and not name.startswith("_delta_log/")
    ]
    if sizes:
        what = f"{len(sizes)} files ({sum(sizes)} bytes) that no commit names: a run writes them, "
        yield note(
            prefix,
            f"{what}or died as it did",
            "`overnight gc --delete` lets go of them after their days of grace",
        )


def _second(key: str) -> str:
    parts = key.split("/")
    return parts[1] if len(parts) > 2 else ""
