"""Challengers that leave their bounds are withdrawn, at once, everywhere and for ever."""

from datetime import UTC, datetime

import pytest

from overnight.serving.host.alias_state import AliasState, EndedChallenge
from overnight.store.errors import StoreDenied
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Withdrawal
from overnight.store.registry.registry import ModelRegistry
from tests.support.serving import bundles
from tests.support.serving.challenges import ALWAYS_ZERO, CANARY, OTHER_OUTPUTS, garbage
from tests.support.serving.stepped_host import (
    OUTAGE,
    Flaky,
    answering_version,
    challenge,
    challengers_in,
    compare,
    settle,
)
from tests.support.signing_keys import SIGNER, challenges

OLD, NEW = bundles.version_name(1), bundles.version_name(2)
SOON = Terms(mode="canary", share=1.0, minimum_requests=5)


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@pytest.mark.parametrize(
    ("number", "bundle", "tensors", "words"),
    [
        (3, garbage(), bundles.TENSORS, "failed on 6 of 6 requests"),
        (4, bundles.files(4), OTHER_OUTPUTS, "failed on 6 of 6 requests"),
        (ALWAYS_ZERO, bundles.files(ALWAYS_ZERO), bundles.TENSORS, "answered 6 of 6 requests"),
    ],
    ids=["garbage", "other tensors", "other answers"],
)
def test_a_challenger_that_exceeds_its_bounds_is_withdrawn_from_all_workers_for_ever(
    hosts, challengers, bucket, number, bundle, tensors, words
):
    manifest = bundles.manifest(number, bundle, tensors=tensors)
    ModelRegistry(bucket, bundles.MODEL).publish(manifest, bundle, SIGNER)
    bundles.approve(bucket, number)
    record = challenge(challengers, number, SOON)
    settle(*hosts)

    # When each worker sees too little by itself, but both together enough.
    for agent in hosts:
        for _ in range(3):
            answering_version(agent)
    compare(*hosts)
    settle(*hosts)

    assert [answering_version(agent) for agent in hosts] == [OLD, OLD]
    assert [challengers_in(agent) for agent in hosts] == [[], []]
    withdrawal = challenges(bucket, record.model).withdrawal(record)
    assert (withdrawal.replica, withdrawal.version) == ("host", bundles.version_name(number))
    assert words in withdrawal.reason
    status = hosts[1].status.challenge(bundles.MODEL)
    assert words in status.withdrawn
    assert status.stats.requests == 6
    assert challengers.current() == record


def test_a_withdrawn_challenger_stays_withdrawn_after_a_restart(hosts, challengers, worker, bucket):
    bundles.publish(bucket, ALWAYS_ZERO)
    challenge(challengers, ALWAYS_ZERO, SOON)
    settle(*hosts)
    for _ in range(6):
        answering_version(hosts[0])
    compare(*hosts)
    settle(*hosts)
    for agent in hosts:
        agent.stop()

    restarted = worker()
    settle(restarted)

    assert answering_version(restarted) == OLD
    assert challengers_in(restarted) == []
    assert "answered 6 of 6" in restarted.status.challenge(bundles.MODEL).withdrawn


@pytest.mark.parametrize("error", [OUTAGE, StoreDenied("http://store", "AccessDenied")])
def test_without_the_store_it_is_withdrawn_here_at_once_and_written_later(
    hosts, challengers, bucket, error, caplog
):
    bundles.publish(bucket, ALWAYS_ZERO)
    record = challenge(challengers, ALWAYS_ZERO, SOON)
    settle(*hosts)

    bucket.write_error = error
    if error is OUTAGE:
        bucket.error = OUTAGE
    for _ in range(6):
        answering_version(hosts[0])
    compare(*hosts)
    settle(*hosts)

    assert [answering_version(agent) for agent in hosts] == [OLD, OLD]
    assert str(error) in hosts[0].status.challenge(bundles.MODEL).withdrawn
    assert sum("is not written" in line for line in caplog.messages) == 1

    bucket.error = bucket.write_error = None
    settle(*hosts)
    assert "answered 6 of 6" in challenges(bucket, record.model).withdrawal(record).reason
    assert "do not know" not in hosts[0].status.challenge(bundles.MODEL).withdrawn


def test_a_withdrawal_survives_a_restart_during_an_outage_and_is_written_then(
    hosts, challengers, worker, bucket
):
    bundles.publish(bucket, ALWAYS_ZERO)
    record = challenge(challengers, ALWAYS_ZERO, SOON)
    settle(*hosts)
    bucket.error = OUTAGE
    for _ in range(6):
        answering_version(hosts[0])
    compare(*hosts)
    settle(*hosts)
    for agent in hosts:
        agent.stop()

    restarted = worker()
    settle(restarted)
    assert answering_version(restarted) == OLD

    bucket.error = None
    settle(restarted)
    assert challenges(bucket, record.model).withdrawal(record) is not None
    assert answering_version(restarted) == OLD


def test_a_withdrawal_by_another_host_ends_the_challenge_here(hosts, challengers, bucket):
    record = challenge(challengers, 2, CANARY)
    settle(*hosts)
    assert answering_version(hosts[0]) == NEW

    withdrawal = Withdrawal(replica="elsewhere", version=NEW, reason="too slow by half")
    challenges(bucket, record.model).withdraw(record, withdrawal)
    settle(*hosts)

    assert [answering_version(agent) for agent in hosts] == [OLD, OLD]
    status = hosts[0].status.challenge(bundles.MODEL)
    assert status.withdrawn == "too slow by half (at elsewhere)"


def test_when_the_leader_dies_another_worker_judges_the_challenge(hosts, challengers, bucket):
    leader, mate = hosts
    bundles.publish(bucket, ALWAYS_ZERO)
    record = challenge(challengers, ALWAYS_ZERO, SOON)
    settle(*hosts)

    leader._leadership.release()
    leader.registration._lock.close()
    for _ in range(6):
        answering_version(mate)
    compare(mate)
    settle(mate)

    assert challenges(bucket, record.model).withdrawal(record) is not None
    assert answering_version(mate) == OLD


def test_a_challenger_that_cannot_be_loaded_is_refused_and_the_champion_goes_on(
    hosts, challengers, bucket
):
    bundles.publish(bucket, 5, bundles.files(5) | {"predictor.tflite": b"no network"})
    record = challenge(challengers, 5, CANARY)

    settle(*hosts)

    assert answering_version(hosts[0]) == OLD
    (acknowledgement,) = challengers.acknowledgements(record.sequence)
    assert not acknowledgement.serving
    assert "LiteRT cannot run it" in acknowledgement.reason
    assert "refused here" in hosts[0].status.challenge(bundles.MODEL).withdrawn


def test_a_host_that_died_before_it_deactivated_an_ended_challenger_does_so_at_start(
    hosts, challengers, worker, bucket, tmp_path
):
    record = challenge(challengers, 2, CANARY)
    settle(*hosts)
    ended = EndedChallenge(
        record=record,
        outcome="withdrawn",
        reason="too slow",
        replica="host",
        at=datetime.now(UTC),
    )
    AliasState(tmp_path / "challengers" / bundles.MODEL).save_ended_challenge(ended)
    for agent in hosts:
        agent.stop()

    restarted = worker()
    settle(restarted)

    assert answering_version(restarted) == OLD
    assert challenges(bucket, record.model).withdrawal(record).reason == "too slow"
