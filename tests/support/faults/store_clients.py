"""Operations of several clients on one store, each compared with the store model."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from overnight.store.datasets.arrival_reviews import ArrivalReview, ArrivalReviews
from overnight.store.datasets.landing import Arrival, Landing
from overnight.store.errors import (
    AlreadyDecided,
    ChallengeRunning,
    CollectedVersion,
    OvernightError,
    PromotionConflict,
)
from overnight.store.maintenance import garbage_collection
from overnight.store.maintenance.retention_plan import survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Withdrawal
from overnight.store.registry.decision import Decision, Verdict
from overnight.store.registry.manifest import RunLineage
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.crashing_stores import Killed
from tests.support.examples import FILES, manifest
from tests.support.faults.gated_operations import Operation
from tests.support.faults.store_model import Begun, Outcome, Record, StoreModel
from tests.support.signing_keys import SIGNER, alias_log, challenges, registry

MODEL = "digits"
AT = datetime(2026, 11, 22, 2, tzinfo=UTC)
VERSIONS = tuple(f"20201122T02000{n}-{n:012x}" for n in range(5))
MISSING = "20201122T030000-ffffffffffff"
EAGER = Retention(keep=1, days=0, grace_days=0)
SHADOW, CANARY = Terms(mode="shadow"), Terms(mode="canary")


@dataclass(frozen=True)
class ClientOperation:
    """One operation as a client asks for it of the store, and as the promises tell it."""

    what: str
    asks: Callable[[Bucket], object]
    finds: Callable[[StoreModel], Begun]


def publish(version: str, run: str) -> ClientOperation:
    made = manifest(version=version).model_copy(update={"run": RunLineage(id=run, name=run)})
    return ClientOperation(
        f"publish {version} by {run}",
        lambda bucket: ModelRegistry(bucket, made.model).publish(made, FILES, SIGNER),
        lambda promises: promises.publish(version, run),
    )


def judge(version: str, verdict: Verdict, by: str) -> ClientOperation:
    return ClientOperation(
        f"{verdict} {version} by {by}",
        lambda bucket: registry(bucket, MODEL).decisions.decide(version, verdict, Actor(by)),
        lambda promises: promises.decide(version, verdict, by),
    )


def promote(version: str, over: str | None, by: str) -> ClientOperation:
    return ClientOperation(
        f"promote {version} over {over} by {by}",
        lambda bucket: Promotions(registry(bucket, MODEL)).promote(
            version, expected=over, actor=Actor(by)
        ),
        lambda promises: promises.promote(version, over, by),
    )


def roll_back(over: str | None, by: str) -> ClientOperation:
    return ClientOperation(
        f"roll back from {over} by {by}",
        lambda bucket: Promotions(registry(bucket, MODEL)).roll_back(
            expected=over, to=None, actor=Actor(by)
        ),
        lambda promises: promises.roll_back(over, by),
    )


def start(version: str, terms: Terms, by: str) -> ClientOperation:
    return ClientOperation(
        f"challenge with {version} ({terms.mode}) by {by}",
        lambda bucket: challenges(bucket, MODEL).start(version, terms=terms, actor=Actor(by)),
        lambda promises: promises.start(version, terms, by),
    )


def stop(over: str | None, by: str) -> ClientOperation:
    return ClientOperation(
        f"stop {over or 'whichever challenges'} by {by}",
        lambda bucket: challenges(bucket, MODEL).stop(Actor(by), expected=over),
        lambda promises: promises.stop(over, by),
    )


def withdraw(record: AliasRecord, replica: str) -> ClientOperation:
    word = Withdrawal(replica=replica, version=record.version, reason="slow")
    return ClientOperation(
        f"withdraw challenge {record.sequence} by {replica}",
        lambda bucket: challenges(bucket, record.model).withdraw(record, word),
        lambda promises: promises.withdraw(record.sequence, replica),
    )


def acknowledge(sequence: int, version: str, replica: str, *, serving: bool) -> ClientOperation:
    word = Acknowledgement(replica=replica, version=version, serving=serving)
    return ClientOperation(
        f"{replica} says of {sequence}: {serving}",
        lambda bucket: alias_log(bucket, MODEL).acknowledge(sequence, word),
        lambda promises: promises.acknowledge(sequence, replica, serving=serving),
    )


def review_arrival(arrival: str, verdict: str, by: str) -> ClientOperation:
    return ClientOperation(
        f"{verdict} {arrival} by {by}",
        lambda bucket: ArrivalReviews(bucket, MODEL).decide(
            arrival, verdict, Actor(by, "so it is")
        ),
        lambda promises: promises.say(arrival, verdict, by),
    )


def land(name: str, body: bytes, by: str) -> ClientOperation:
    return ClientOperation(
        f"land {name} by {by}",
        lambda bucket: Landing(bucket, MODEL).land(name, {"file": body}, by=by, at=AT),
        lambda promises: promises.land(name, body),
    )


def collect(bucket: Bucket) -> set[str]:
    """Let go of whatever no rule keeps, however young; the versions that went."""
    plan = survey(bucket, MODEL, EAGER, datetime.now(UTC))
    gone = garbage_collection.collect(bucket, plan, by="gc", on_skip=lambda *_: None)
    return {one.version for one in gone}


@dataclass
class StartedOperation:
    """An operation under way, and what was promised to whoever began it."""

    act: ClientOperation
    operation: Operation
    promised: Begun

    @classmethod
    def of(cls, act: ClientOperation, bucket: Bucket, promises: StoreModel) -> "StartedOperation":
        """Come to the commit of an operation, or to its end when it commits nothing."""
        promised = act.finds(promises)
        begun = cls(act, Operation(bucket, act.asks), promised)
        if begun.operation.waits != callable(promised):
            found = "a write" if begun.operation.waits else outcome(begun.operation.outcome)
            begun.operation.die()
            raise AssertionError(f"{act.what}: promised {promised}, found {found}")
        return begun

    def ends(self) -> None:
        """Commit, and hold the answer against the promise."""
        promised = _at_last(self.promised)
        found = outcome(self.operation.go_on())
        assert found == promised, f"{self.act.what}: promised {promised}, found {found}"

    def dies(self) -> None:
        """Be killed just before the commit: nothing happened."""
        self.operation.die()

    def dies_after(self) -> None:
        """Commit and be killed then: it happened, and nobody was told; who lost a race was."""
        found = self.operation.die_after()
        promised = self.promised() if callable(self.promised) else self.promised
        if isinstance(found, Killed):
            assert callable(promised) or promised.error in {None, CollectedVersion}, self.act.what
        else:
            promised = _at_last(promised)
            assert outcome(found) == promised, f"{self.act.what}: {promised}, found {found}"


def _at_last(promised: Begun) -> Outcome:
    while callable(promised):
        promised = promised()
    return promised


def outcome(found: object) -> Outcome:
    """What an operation came to, as far as it is promised."""
    if isinstance(found, OvernightError):
        return Outcome(error=type(found), winner=_winner(found))
    match found:
        case AliasRecord():
            reported = (found.sequence, found.version, found.action, found.by)
        case Decision():
            reported = (found.verdict, found.by)
        case ArrivalReview():
            reported = (found.verdict, found.by, found.sequence)
        case Withdrawal():
            reported = (found.replica,)
        case None | Arrival():
            reported = ()
        case _:
            raise AssertionError(f"nobody promised {found!r}")
    return Outcome(reported)


def _winner(error: OvernightError) -> str | None:
    """Whom or what an error names as having been first."""
    match error:
        case PromotionConflict():
            return error.found
        case ChallengeRunning():
            return error.version
        case AlreadyDecided():
            return error.by
    return None


def check(bucket: Bucket, promises: StoreModel) -> None:
    """Hold everything that can be read against everything that was promised."""
    assert ModelRegistry(bucket, MODEL).versions() == sorted(promises.published)
    for version, run in promises.published.items():
        found = ModelRegistry(bucket, MODEL).manifest(version)
        assert found.run.id == run
        for name in found.files if version not in promises.collected else ():
            ModelRegistry(bucket, found.model).read_file(found, name)
        decision = ModelRegistry(bucket, MODEL).decisions.find(version)
        reported = (decision.verdict, decision.by) if decision else None
        assert reported == promises.decided.get(version)
    for log, promised in (
        (alias_log(bucket, MODEL), promises.champions),
        (alias_log(bucket, MODEL, CHALLENGER), promises.challengers),
    ):
        history = log.history()
        assert [record.sequence for record in history] == list(range(1, len(promised) + 1))
        assert [_record(record) for record in history] == promised
    for sequence in range(1, len(promises.champions) + 1):
        output = alias_log(bucket, MODEL).acknowledgements(sequence)
        expected = {who: it for (of, who), it in promises.output.items() if of == sequence}
        assert {word.replica: word.serving for word in output} == expected
    for arrival, words in promises.words.items():
        last = ArrivalReviews(bucket, MODEL).decision(arrival)
        assert last is not None
        assert (last.verdict, last.by, last.sequence) == (*words[-1], len(words))
    assert {one.name for one in Landing(bucket, MODEL).pending()} == set(promises.landed)


def _record(found: AliasRecord) -> Record:
    return Record(
        found.version,
        found.action,
        found.by,
        found.previous,
        found.terms,
        champion_sequence=found.champion_sequence,
    )
