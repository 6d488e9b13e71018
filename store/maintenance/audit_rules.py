"""Rules of an audit of the bucket, as pure functions over what was read.

An error: something is lost or wrong. A warning: nothing is lost, but somebody should check. A note
is for information. Errors and warnings make an audit fail.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from pydantic import BaseModel

from overnight.store.errors import BadKey
from overnight.store.objects import keys
from overnight.store.objects.key_parser import Item, Kind
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION

RESTORE = "restore it from an export: `overnight verify --repair --from FOLDER`"
REPLACE = (
    "nothing here is overwritten: remove it with the store's own tools, and then "
    "`overnight verify --repair --from FOLDER` restores it"
)
# More numbers than this are not lost at once: the object after them was put there.
_LARGEST_GAP = 1_000
INVESTIGATE = "find out who wrote it, and remove it with the store's own tools"


class Severity(StrEnum):
    """How serious an observation is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Observation:
    """One observation about a key, and its remedy.

    `is_missing`: the key should exist and does not, so that a repair can add it.
    """

    severity: Severity
    key: str
    what: str
    remedy: str = ""
    is_missing: bool = False

    @property
    def model(self) -> str:
        """The model it is about, if any."""
        return Item.of(self.key, 0).model or _second(self.key)


@dataclass(frozen=True)
class Audit:
    """The observations of an audit, and the number of keys by kind for each model."""

    observations: tuple[Observation, ...]
    tallies: Mapping[str, Mapping[str, int]]
    signatures_checked: bool

    @property
    def findings(self) -> tuple[Observation, ...]:
        """The observations that make the audit fail, errors first."""
        return tuple(
            observation
            for severity in (Severity.ERROR, Severity.WARNING)
            for observation in self.observations
            if observation.severity is severity
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


def strays(items: Iterable[Item]) -> Iterator[Observation]:
    """Unknown keys, which nothing reads, and probes left behind by a killed start."""
    for item in items:
        if item.kind is Kind.UNKNOWN:
            yield warning(item.key, "nothing of ours reads this key", INVESTIGATE)
        elif item.kind is Kind.PROBE:
            yield note(item.key, "left behind by a start that was killed; harmless")


def misplaced(item: Item, value: BaseModel) -> Iterator[Observation]:
    """A record whose fields contradict its key."""
    names = {**item.names, **_FIELD_IN_NAME.get(item.kind, lambda _: {})(item.names)}
    for name, expected in names.items():
        actual = getattr(value, name, None)
        if (
            actual is not None
            and f"{actual}" != f"{int(expected) if name == 'sequence' else expected}"
            and not (item.kind is Kind.SCORE and _is_score_of(item, f"{actual}"))
        ):
            yield error(
                item.key, f"its {name} is {actual}, but its key says {expected}", INVESTIGATE
            )


def _is_score_of(item: Item, arrival: str) -> bool:
    """Whether the key is that of an arrival's score; long names are shortened in keys."""
    try:
        return keys.score(item.model, item.version, arrival) == item.key
    except BadKey:
        return False


# The field that a kind's `name` stands for.
_FIELD_IN_NAME = {
    Kind.ACKNOWLEDGEMENT: lambda names: {"replica": names["name"]},
    Kind.REFUSAL: lambda names: {"fingerprint": names["name"]},
}


def gaps(items: Iterable[Item]) -> Iterator[Observation]:
    """Records missing from a log, whose numbers start at one and have no gaps."""
    logs: dict[str, dict[int, int]] = {}
    for item in items:
        prefix, _, name = item.key.rpartition("/")
        logs.setdefault(prefix, {})[item.sequence] = len(name.partition(".")[0])
    for prefix, sequences in logs.items():
        numbers = sorted(sequences)
        for before, sequence in pairwise([0, *numbers]):
            if sequence - before > _LARGEST_GAP:
                key = f"{prefix}/{sequence:0{sequences[sequence]}d}.json"
                yield warning(key, f"the log ends at {before}, so this is none of it", INVESTIGATE)
                break
            for missing in range(before + 1, sequence):
                what = f"record {missing} of {numbers[-1]} is missing from this log"
                yield error(f"{prefix}/{missing:08d}.json", what, is_missing=True)


@dataclass(frozen=True)
class VersionState:
    """What is needed of a version to check the logs that name it."""

    is_whole: bool
    verdict: str | None
    is_collected: bool


def alias_log(
    records: Sequence[AliasRecord], versions: Mapping[str, VersionState]
) -> Iterator[Observation]:
    """Check that each record follows the one before, and names a version that may serve.

    `records` are one log, oldest first.
    """
    # A gap is reported by `gaps`, so a record after one is not compared with the one before.
    before: AliasRecord | None = None
    for record in records:
        key = keys.alias_record(record.model, record.alias, record.sequence)
        follows = before is None or before.sequence + 1 == record.sequence
        target = before.target if before else None
        if follows and record.previous != target:
            yield error(
                key,
                f"it replaces {record.previous or 'no version'}, but the record before points at "
                f"{target or 'no version'}",
                INVESTIGATE,
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
            "find out who promoted it and why with `overnight show`"
            + ("" if known.verdict else f"; or, if the decision was lost, {RESTORE}"),
        )


def _resolves(record: AliasRecord, known: VersionState | None) -> Iterator[Observation]:
    if known is not None and known.is_whole and known.is_collected:
        yield error(
            keys.alias_record(record.model, record.alias, record.sequence),
            f"{record.alias} points at {record.target}, whose files were deleted by retention",
            f'`overnight rollback {record.model} --to VERSION --reason "…"`'
            if record.alias == CHAMPION
            else f'`overnight challenge {record.model} --stop --reason "…"`',
        )


def acknowledgements(
    replicas: Iterable[tuple[Item, str]], records: Mapping[tuple[str, str, int], AliasRecord]
) -> Iterator[Observation]:
    """Check that each acknowledgement is about an existing record and its version.

    `replicas` are pairs of an acknowledgement's key and the version in it.
    """
    for item, version in replicas:
        record = records.get((item.model, item.names["alias"], item.sequence))
        if record is None:
            yield error(item.key, f"a host acknowledged record {item.sequence}, which is missing")
        elif record.version != version:
            yield error(
                item.key,
                f"a host acknowledged {version}, but the record names {record.version}",
                INVESTIGATE,
            )


def table_log(prefix: str, names: Iterable[str]) -> Iterator[Observation]:
    """Commits missing from a Delta table's log, which is never truncated."""
    versions = {int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdigit()}
    for version in range(max(versions, default=0)):
        if version not in versions:
            key = f"{prefix}/_delta_log/{version:020d}.json"
            yield error(key, f"commit {version} is missing from the table's log", is_missing=True)


def table_files(
    prefix: str, needed: Mapping[str, int], sizes: Mapping[str, int]
) -> Iterator[Observation]:
    """Files of a table's newest version that are missing or have another size in bytes."""
    for name, size in needed.items():
        key = f"{prefix}/{name}"
        if name not in sizes:
            yield error(key, "a file that the table's newest version needs", is_missing=True)
        elif sizes[name] != size:
            yield error(key, f"it has {sizes[name]} bytes, the table's log says {size}")


def unnamed_files(
    prefix: str, named: Collection[str], sizes_by_key: Mapping[str, int]
) -> Iterator[Observation]:
    """Files that no commit of a table names: being written, or left behind by a killed run."""
    below = {key.removeprefix(f"{prefix}/"): size for key, size in sizes_by_key.items()}
    sizes = [
        size
        for name, size in below.items()
        if name not in named and not name.startswith("_delta_log/")
    ]
    if sizes:
        yield note(
            prefix,
            f"{len(sizes)} files ({sum(sizes)} bytes) that no commit names: a run is writing them, "
            "or was killed while it did",
            "`overnight gc --delete` deletes them after their days of grace",
        )


def _second(key: str) -> str:
    parts = key.split("/")
    return parts[1] if len(parts) > 2 else ""
