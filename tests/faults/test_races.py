"""Two concurrent operations, many times: exactly one wins, and the other names the winner."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from overnight.store.errors import (
    AlreadyDecided,
    AlreadyExists,
    ChallengeRunning,
    CollectedVersion,
    NoChallenge,
    OvernightError,
    PromotionConflict,
)
from overnight.store.maintenance.garbage_collection import collect
from overnight.store.maintenance.retention_plan import survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.decision import Decision
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.racing import A, B, C, RaceStore, decide, publish
from tests.support.signing_keys import TRUST, alias_log, challenges, registry

SHADOW = Terms(mode="shadow")
_ROUNDS, _THOROUGH_ROUNDS = {"memory": 50, "s3": 6}, {"memory": 150, "s3": 12}


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.servers)])
def arena(request: pytest.FixtureRequest, faults_minutes: float, thorough: bool) -> RaceStore:
    rounds = (_THOROUGH_ROUNDS if thorough else _ROUNDS)[request.param]
    rounds = round(rounds * (1 + faults_minutes))
    if request.param == "memory":
        return RaceStore((MemoryBucket(),), rounds)
    address: S3Address = request.getfixturevalue("s3_address")
    S3Bucket(address).ensure()
    return RaceStore((S3Bucket(address), S3Bucket(address)), rounds)


def move(model: str, version: str, *, over: str = A) -> Callable[[Bucket], AliasRecord]:
    return lambda bucket: Promotions(registry(bucket, model)).promote(
        version, expected=over, actor=Actor(f"who wants {version}")
    )


def back(model: str, *, over: str) -> Callable[[Bucket], AliasRecord]:
    return lambda bucket: Promotions(registry(bucket, model)).roll_back(
        expected=over, to=None, actor=Actor("who wants back")
    )


def start(model: str, version: str) -> Callable[[Bucket], AliasRecord]:
    return lambda bucket: challenges(bucket, model).start(
        version, terms=SHADOW, actor=Actor("who starts")
    )


def stop(model: str) -> Callable[[Bucket], AliasRecord]:
    return lambda bucket: challenges(bucket, model).stop(Actor("who stops"))


def one_won(found: list[object], log: AliasLog, *, after: int) -> AliasRecord:
    """The one record that came of a race after record `after`; who lost was told of it."""
    won = [one for one in found if isinstance(one, AliasRecord)]
    lost = [one for one in found if isinstance(one, PromotionConflict)]
    assert (len(won), len(lost)) == (1, len(found) - 1), found
    assert log.sequences() == list(range(1, after + 2))
    assert log.current() == won[0]
    assert all(one.found == won[0].target for one in lost), found
    return won[0]


def test_one_of_two_promotions_wins_and_the_other_names_the_winner(arena: RaceStore) -> None:
    winners = set()
    for model in arena.models():
        found = arena.race(move(model, B), move(model, C))

        winners.add(one_won(found, alias_log(arena.bucket, model), after=1).version)

    assert winners <= {B, C}


def test_one_of_a_promotion_and_a_rollback_wins_and_the_other_names_the_winner(
    arena: RaceStore,
) -> None:
    for model in arena.models():
        move(model, B)(arena.bucket)

        found = arena.race(move(model, C, over=B), back(model, over=B))

        assert one_won(found, alias_log(arena.bucket, model), after=2).version in {A, C}


def test_two_promotions_of_the_same_version_both_succeed(arena: RaceStore) -> None:
    for model in arena.models():
        found = arena.race(move(model, B), move(model, B))

        reported = [one.version if isinstance(one, AliasRecord) else one.found for one in found]
        assert reported == [B, B]
        assert alias_log(arena.bucket, model).sequences() == [1, 2]


def test_one_of_an_approval_and_a_rejection_is_final(arena: RaceStore) -> None:
    version = "20261122T020009-000000000009"
    for model in arena.models():
        publish(arena.bucket, model, version)

        found = arena.race(
            lambda bucket, model=model: decide(bucket, model, version, "approved", by="ann"),
            lambda bucket, model=model: decide(bucket, model, version, "rejected", by="bob"),
        )

        (won,) = [one for one in found if isinstance(one, Decision)]
        (lost,) = [one for one in found if isinstance(one, AlreadyDecided)]
        assert ModelRegistry(arena.bucket, model).decisions.find(version) == won
        assert won.verdict == lost.verdict
        assert won.by in str(lost)


def test_one_of_two_publications_of_a_version_is_complete_and_final(arena: RaceStore) -> None:
    version = "20261122T020009-000000000009"
    for model in arena.models():
        found = arena.race(
            lambda bucket, model=model: publish(bucket, model, version, "one run"),
            lambda bucket, model=model: publish(bucket, model, version, "another run"),
        )

        assert found.count(None) == 1
        assert [type(one) for one in found if one is not None] == [AlreadyExists]
        stands = ModelRegistry(arena.bucket, model, TRUST).trusted(version).manifest
        assert stands.run.id == ("one run" if found[0] is None else "another run")
        for name in stands.files:
            ModelRegistry(arena.bucket, stands.model).read_file(stands, name)


def test_publishing_the_same_bytes_or_different_versions_at_once_succeeds(
    arena: RaceStore,
) -> None:
    same, other = "20261122T020009-000000000009", "20261122T020010-00000000000a"
    for model in arena.models():
        found = arena.race(
            *(
                lambda bucket, model=model, version=version: publish(bucket, model, version)
                for version in (same, same, other)
            )
        )

        assert found == [None, None, None]
        assert ModelRegistry(arena.bucket, model).versions() == [A, B, C, same, other]


def test_one_of_two_challengers_starts_and_the_other_request_names_it(arena: RaceStore) -> None:
    for model in arena.models():
        found = arena.race(start(model, B), start(model, C))

        (won,) = [one for one in found if isinstance(one, AliasRecord)]
        (lost,) = [one for one in found if isinstance(one, OvernightError)]
        assert isinstance(lost, ChallengeRunning | PromotionConflict)
        assert won.version in str(lost)
        assert alias_log(arena.bucket, model, CHALLENGER).history() == [won]


def test_one_of_two_stops_ends_a_challenge(arena: RaceStore) -> None:
    for model in arena.models():
        start(model, B)(arena.bucket)

        found = arena.race(stop(model), stop(model))

        (won,) = [one for one in found if isinstance(one, AliasRecord)]
        (lost,) = [one for one in found if isinstance(one, OvernightError)]
        assert isinstance(lost, NoChallenge | PromotionConflict)
        assert alias_log(arena.bucket, model, CHALLENGER).history()[1:] == [won]


def test_a_start_and_a_stop_at_once_are_serialised(arena: RaceStore) -> None:
    for model in arena.models():
        start(model, B)(arena.bucket)

        began, stopped = arena.race(start(model, C), stop(model))

        # Whoever stops was first there; who starts comes after it, or is told what still runs.
        assert isinstance(stopped, AliasRecord)
        log = [record.action for record in alias_log(arena.bucket, model, CHALLENGER).history()]
        if isinstance(began, AliasRecord):
            assert log == ["started", "stopped", "started"]
        else:
            assert isinstance(began, ChallengeRunning | PromotionConflict)
            assert log == ["started", "stopped"]


def collecting(model: str) -> Callable[[Bucket], object]:
    """Let go of all that is neither the newest version nor champion, however young."""
    eager = Retention(keep=1, days=0, grace_days=0)
    return lambda bucket: collect(
        bucket,
        survey(bucket, model, eager, datetime.now(UTC)),
        by="gc",
        on_skip=lambda *_: None,
    )


def is_whole(bucket: Bucket, model: str, version: str) -> None:
    made = ModelRegistry(bucket, model, TRUST).trusted(version).manifest
    for name in made.files:
        ModelRegistry(bucket, made.model).read_file(made, name)


def test_one_of_deleting_and_promoting_a_version_gives_way(arena: RaceStore) -> None:
    for model in arena.models():
        move(model, B)(arena.bucket)
        move(model, C, over=B)(arena.bucket)

        gone, moved = arena.race(collecting(model), move(model, A, over=C))

        assert not isinstance(gone, OvernightError), gone
        current = alias_log(arena.bucket, model).current()
        assert current is not None
        is_whole(arena.bucket, model, current.version)
        if isinstance(moved, AliasRecord):
            assert current.version == A
        else:
            assert isinstance(moved, CollectedVersion), moved
            assert "gc" in str(moved)


def test_one_of_deleting_and_starting_a_challenger_gives_way(arena: RaceStore) -> None:
    for model in arena.models():
        move(model, B)(arena.bucket)
        move(model, C, over=B)(arena.bucket)

        gone, started = arena.race(collecting(model), start(model, A))

        assert not isinstance(gone, OvernightError), gone
        if isinstance(started, AliasRecord):
            is_whole(arena.bucket, model, A)
        else:
            assert isinstance(started, CollectedVersion), started
            assert challenges(arena.bucket, model).current() is None


def test_a_version_published_while_others_are_deleted_is_complete(arena: RaceStore) -> None:
    version = "20261122T020009-000000000009"
    for model in arena.models():
        gone, published = arena.race(
            collecting(model), lambda bucket, model=model: publish(bucket, model, version)
        )

        assert not isinstance(gone, OvernightError), gone
        if published is None:
            is_whole(arena.bucket, model, version)
        else:
            assert isinstance(published, CollectedVersion), published
