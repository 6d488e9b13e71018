"""The rules for challenging a champion: who may, one at a time, and what ends it.

A challenge is a record in the log of the alias `challenger`. It ends by one more record, by a
serving host's word that it withdrew it, or because its version became champion.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from store import keys
from store.aliases import CHALLENGER, AliasLog, AliasRecord
from store.bucket import Bucket
from store.errors import (
    AlreadyExists,
    ChallengeRunning,
    CollectedVersion,
    ConfigurationError,
    NoChallenge,
    PromotionConflict,
)
from store.records import read
from store.registry.actor import Actor
from store.registry.registry import ModelRegistry
from store.schema import Schema, TensorSpec
from store.terms import Terms
from store.values import Value

CHALLENGER = "challenger"


class Withdrawal(Value):
    """One serving host's word that a challenger left its bounds; final by construction.

    It is no alias record: whoever serves needs no right to move aliases.
    """

    replica: str
    version: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Challenge:
    """The newest challenge of a model that was not stopped."""

    record: AliasRecord
    withdrawal: Withdrawal | None = None
    became_champion: bool = False

    @property
    def is_live(self) -> bool:
        return self.withdrawal is None and not self.became_champion


def challenger_log(bucket: Bucket, model: str) -> AliasLog:
    """The log of a model's challengers."""
    return AliasLog(bucket, model, CHALLENGER)


def current(bucket: Bucket, model: str) -> Challenge | None:
    """The newest challenge and what became of it; None when there was none, or it was stopped."""
    return _challenge_of(bucket, challenger_log(bucket, model).current())


def _challenge_of(bucket: Bucket, record: AliasRecord | None) -> Challenge | None:
    if record is None or record.target is None:
        return None
    return Challenge(record, read_withdrawal(bucket, record), became_champion(bucket, record))


def start(
    bucket: Bucket,
    model: str,
    version: str,
    *,
    terms: Terms,
    by: str,
    reason: str,
    proved: bool = False,
) -> AliasRecord:
    """Let a version challenge the champion: in shadow one that was not rejected, as a canary an
    approved one.

    Starting what runs already on the same terms is no error: a killed run is simply run again.

    Raises:
        ChallengeRunning: another one runs; says which.
        ConfigurationError: it may not challenge, or there is no champion like it.
        PromotionConflict: somebody else started or stopped one meanwhile.
        UnknownVersion, CorruptVersion: it cannot serve.
        CollectedVersion: retention let go of its files.
    """
    log = challenger_log(bucket, model)
    last = log.current()
    running = _challenge_of(bucket, last)
    if running is not None and running.is_live:
        record = running.record
        if (record.version, record.terms) == (version, terms):
            return _still_kept(bucket, log, record)
        raise ChallengeRunning(
            model, version=record.version, by=record.by, since=f"{record.at:%Y-%m-%d %H:%M} UTC"
        )
    champion = _champion(bucket, model)
    _may_challenge(bucket, champion, version, terms)
    record = log.append(
        version,
        expected=running.record.version if running else None,
        actor=Actor(by, reason, authenticated=proved),
        action="started",
        terms=terms,
        beside=champion.sequence,
        after=last.sequence if last else 0,
    )
    return _still_kept(bucket, log, record)


def stop(
    bucket: Bucket,
    model: str,
    *,
    by: str,
    reason: str,
    over: str | None = None,
    proved: bool = False,
) -> AliasRecord:
    """Stop the challenger: the alias points at nothing from here on.

    `over`: the only version that is meant; None for whichever challenges.

    Raises:
        NoChallenge: none runs; says what became of the last.
        PromotionConflict: another one than `over` runs, or somebody else stopped or started one
            meanwhile.
    """
    running = current(bucket, model)
    if running is None:
        raise NoChallenge(model, "none was started, or the last was stopped")
    version = running.record.version
    if running.is_live and over not in {None, version}:
        raise PromotionConflict(f"{model}@{CHALLENGER}", expected=over, found=version)
    if running.withdrawal is not None:
        raise NoChallenge(model, f"{version} was withdrawn: {running.withdrawal.reason}")
    if running.became_champion:
        raise NoChallenge(model, f"{version} became champion")
    log = challenger_log(bucket, model)
    after = running.record.sequence
    return log.append(
        version,
        expected=version,
        actor=Actor(by, reason, authenticated=proved),
        action="stopped",
        after=after,
    )


def withdraw(bucket: Bucket, record: AliasRecord, withdrawal: Withdrawal) -> Withdrawal:
    """Say once that a challenge is over here and everywhere; what was said first stands."""
    key = keys.withdrawal(record.model, record.alias, record.sequence)
    try:
        bucket.create(key, withdrawal.model_dump_json(indent=2).encode())
    except AlreadyExists:
        return read_withdrawal(bucket, record) or withdrawal
    return withdrawal


def read_withdrawal(bucket: Bucket, record: AliasRecord) -> Withdrawal | None:
    """What a host said of a challenge, or None while it runs: one small GET."""
    return read(Withdrawal, bucket, keys.withdrawal(record.model, record.alias, record.sequence))


def became_champion(bucket: Bucket, record: AliasRecord, *, since: int = 0) -> bool:
    """Whether the version of a challenge was champion after it began, be it for a moment.

    `since`: the last record of the champion's log that is known to name another version.
    """
    champions, sequence = AliasLog(bucket, record.model), max(record.beside, since)
    while (later := champions.at(sequence + 1)) is not None:
        if later.version == record.version:
            return True
        sequence = later.sequence
    return False


def difference(champion: Schema, challenger: Schema) -> str:
    """Why clients of one version could not read another's answers; empty when they could.

    Inputs have the same names, types and shapes, the answer and every further output of the
    champion are there, and the classes are the same. Ranges may differ.
    """
    expected, found = _forms(champion.inputs), _forms(challenger.inputs)
    if expected != found:
        return f"it takes {found}, expected {expected}"
    expected, found = _forms(champion.outputs), _forms(challenger.outputs)
    if champion.outputs[0].name != challenger.outputs[0].name or expected.items() - found.items():
        return f"it answers {found}, expected {expected}"
    if champion.labels != challenger.labels:
        return f"its classes are {challenger.labels}, expected {champion.labels}"
    return ""


def _forms(specs: tuple[TensorSpec, ...]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {spec.name: (spec.datatype, spec.shape) for spec in specs}


def _still_kept(bucket: Bucket, log: AliasLog, record: AliasRecord) -> AliasRecord:
    """The record, unless its version was collected at that very moment: then that word wins."""
    try:
        ModelRegistry(bucket, log.model).check_kept(record.version)
    except CollectedVersion as error:
        version, why = record.version, str(error)
        log.append(version, expected=version, actor=Actor(record.by, why), action="stopped")
        raise
    return record


def _champion(bucket: Bucket, model: str) -> AliasRecord:
    champion = AliasLog(bucket, model).current()
    if champion is None:
        raise ConfigurationError(f"{model} has no champion yet, so there is nothing to challenge")
    return champion


def _may_challenge(bucket: Bucket, champion: AliasRecord, version: str, terms: Terms) -> None:
    model = champion.model
    if version == champion.version:
        raise ConfigurationError(f"{version} is the champion of {model}; name another version")
    tensors = ModelRegistry(bucket, model).manifest(version).tensors
    ModelRegistry(bucket, model).check_kept(version)
    decision = ModelRegistry(bucket, model).decision(version)
    verdict = decision.verdict if decision else None
    if verdict == "rejected":
        raise ConfigurationError(f"{model} {version} was rejected and never answers anything")
    if terms.mode == "canary" and verdict != "approved":
        raise ConfigurationError(
            f"{model} {version} is not approved, so it may not answer clients; let it challenge in "
            f"shadow, or approve it: `overnight challenge {model} {version} --canary --approve`"
        )
    if why := difference(ModelRegistry(bucket, model).manifest(champion.version).tensors, tensors):
        raise ConfigurationError(
            f"{model} {version} cannot challenge {champion.version}: {why}; promote it instead"
        )
