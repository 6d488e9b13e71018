"""Concurrent starts and stops of challengers: nobody ends a challenge they have not seen."""

from collections.abc import Callable

import pytest

from overnight.store.errors import NoChallenge, PromotionConflict
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges, Withdrawal
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER

A, B, C = (f"20261122T02000{n}-0123456789ab" for n in range(3))
SHADOW = Terms(mode="shadow")


class Busy(MemoryBucket):
    """A bucket in which somebody acts just before a certain key is read for the first time."""

    before = ""
    acts: Callable[[], object] | None = None

    def read(self, key: str, limit: int) -> bytes:
        if self.acts is not None and key == self.before:
            acts, self.acts = self.acts, None
            acts()
        return super().read(key, limit)


@pytest.fixture
def bucket() -> Busy:
    """A is champion; all are approved."""
    bucket = Busy()
    for version in (A, B, C):
        ModelRegistry(bucket, "digits").publish(manifest(version=version), FILES, SIGNER)
        ModelRegistry(bucket, "digits").decisions.decide(version, "approved", Actor("ann"))
    Promotions(ModelRegistry(bucket, "digits")).promote(
        A, expected=None, actor=Actor("ann", "the first")
    )
    return bucket


def start(bucket: MemoryBucket, version: str, by: str = "bob") -> AliasRecord:
    return Challenges(bucket, "digits").start(version, terms=SHADOW, actor=Actor(by, "to see"))


def stop(bucket: MemoryBucket, by: str = "bob", over: str | None = None) -> AliasRecord:
    return Challenges(bucket, "digits").stop(Actor(by, "seen enough"), expected=over)


def eve_begins_anew(bucket: Busy, version: str) -> None:
    """A stop and a start, after which the alias points where it pointed before."""
    stop(bucket, by="eve")
    start(bucket, version, by="eve")


def test_an_alias_that_moved_away_and_back_is_a_conflict(bucket: Busy) -> None:
    log = AliasLog(bucket, "digits", CHALLENGER)
    seen = start(bucket, B)
    eve_begins_anew(bucket, B)

    with pytest.raises(PromotionConflict, match=f"{B} of record 1 .* {B} of record 3"):
        log.append(C, expected=B, actor=Actor("bob"), after=seen.sequence)

    assert log.sequences() == [1, 2, 3]


def test_a_log_that_was_empty_when_read_must_still_be_empty(bucket: Busy) -> None:
    log = AliasLog(bucket, "sales")
    assert log.append(A, expected=None, actor=Actor("ann"), after=0).sequence == 1

    with pytest.raises(PromotionConflict):
        log.append(B, expected=A, actor=Actor("bob"), after=0)


def test_stopping_does_not_stop_a_challenge_started_meanwhile(bucket: Busy) -> None:
    start(bucket, B)
    bucket.before = keys.withdrawal("digits", "challenger", 1)
    bucket.acts = lambda: eve_begins_anew(bucket, B)

    with pytest.raises(PromotionConflict, match="of record 3"):
        stop(bucket)

    current = AliasLog(bucket, "digits", CHALLENGER).current()
    assert current is not None
    assert (current.target, current.by) == (B, "eve")


def test_starting_conflicts_with_a_challenge_started_and_stopped_meanwhile(bucket: Busy) -> None:
    start(bucket, B)
    withdrawal = Withdrawal(replica="here", version=B, reason="too slow")
    Challenges(bucket, AliasLog(bucket, "digits", CHALLENGER).history()[0].model).withdraw(
        AliasLog(bucket, "digits", CHALLENGER).history()[0], withdrawal
    )
    bucket.before = keys.decision("digits", C)
    bucket.acts = lambda: start(bucket, B, by="eve")

    with pytest.raises(PromotionConflict, match="of record 2"):
        start(bucket, C)

    current = AliasLog(bucket, "digits", CHALLENGER).current()
    assert current is not None
    assert (current.target, current.by) == (B, "eve")


def test_stopping_a_named_challenger_stops_no_other(bucket: Busy) -> None:
    start(bucket, B)

    with pytest.raises(PromotionConflict, match=f"expected {C} .* found {B}"):
        stop(bucket, over=C)

    assert stop(bucket, over=B).version == B
    with pytest.raises(NoChallenge):
        stop(bucket, over=B)
