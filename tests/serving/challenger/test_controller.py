"""Hosts that follow a challenger, tick by tick: from its start to its end."""

import numpy as np
import pytest

from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenges import Withdrawal
from tests.support.serving import bundles
from tests.support.serving.challenges import CANARY, SHADOW
from tests.support.serving.stepped_host import (
    FOURS,
    OUTAGE,
    Flaky,
    answering_version,
    challenge,
    challengers_in,
    compare,
    prepare,
    promote,
    settle,
)
from tests.support.signing_keys import challenges

OLD, NEW = bundles.version_name(1), bundles.version_name(2)


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


def test_a_canary_is_loaded_by_all_workers_and_starts_in_all_at_once(hosts, challengers):
    leader, mate = hosts
    record = challenge(challengers, 2, CANARY)

    # When the leader is ready and the other worker is slow.
    prepare(leader)
    assert (answering_version(leader), answering_version(mate)) == (OLD, OLD)

    # Then the other worker's readiness lets it start in both at the same moment.
    mate.tick_loader()
    leader.tick_challenges()
    assert (answering_version(leader), answering_version(mate)) == (NEW, NEW)
    settle(leader, mate)
    (acknowledgement,) = challengers.acknowledgements(record.sequence)
    assert (acknowledgement.serving, acknowledgement.version) == (True, NEW)


def test_a_stopped_challenger_answers_nobody_and_is_freed(hosts, challengers, bucket):
    challenge(challengers, 2, CANARY)
    settle(*hosts)
    assert [answering_version(agent) for agent in hosts] == [NEW, NEW]

    challengers.append(NEW, expected=NEW, actor=Actor("a test", "seen enough"), action="stopped")
    settle(*hosts)

    assert [answering_version(agent) for agent in hosts] == [OLD, OLD]
    assert [challengers_in(agent) for agent in hosts] == [[], []]
    assert hosts[0].status.challenge(bundles.MODEL) is None


@pytest.mark.parametrize("how", ["withdrawn", "promoted and rolled back", "stopped"])
def test_a_new_host_does_not_load_a_challenger_whose_challenge_is_over(
    worker, bucket, log, challengers, how, tmp_path
):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    record = challenge(challengers, 2, CANARY)
    if how == "withdrawn":
        withdrawal = Withdrawal(replica="elsewhere", version=NEW, reason="too slow")
        challenges(bucket, record.model).withdraw(record, withdrawal)
    elif how == "stopped":
        challengers.append(
            NEW, expected=NEW, actor=Actor("a test", "seen enough"), action="stopped"
        )
    else:
        promote(log, 2)
        promote(log, 1)

    agent = worker()
    settle(agent)

    assert answering_version(agent) == OLD
    assert not (tmp_path / "cache" / "digits" / NEW / "predictor.tflite").exists()
    assert challengers_in(agent) == []


def test_a_promotion_ends_the_challenge_even_after_a_rollback(hosts, challengers, log):
    challenge(challengers, 2, CANARY)
    settle(*hosts)

    promote(log, 2)
    settle(*hosts)
    assert [answering_version(agent) for agent in hosts] == [NEW, NEW]
    assert hosts[0].status.challenge(bundles.MODEL) is None
    assert challengers_in(hosts[0]) == []

    promote(log, 1)
    settle(*hosts)
    assert [answering_version(agent) for agent in hosts] == [OLD, OLD]


def test_a_promotion_rolled_back_between_two_polls_ends_the_challenge_too(hosts, challengers, log):
    challenge(challengers, 2, CANARY)
    settle(*hosts)

    promote(log, 2)
    promote(log, 1)
    settle(*hosts)

    assert [answering_version(agent) for agent in hosts] == [OLD, OLD]
    assert hosts[0].status.challenge(bundles.MODEL) is None


def test_a_host_that_restarts_during_an_outage_keeps_its_challenger(
    hosts, challengers, worker, bucket
):
    challenge(challengers, 2, CANARY)
    settle(*hosts)
    for agent in hosts:
        agent.stop()

    bucket.error = OUTAGE
    restarted = worker()
    settle(restarted)

    assert answering_version(restarted) == NEW
    assert answering_version(restarted, version=OLD) == OLD


def test_a_new_worker_loads_the_challenger_too(hosts, challengers, worker):
    challenge(challengers, 2, CANARY)
    settle(*hosts)

    late = worker()
    settle(*hosts, late)

    assert answering_version(late) == NEW


def test_two_successive_challengers_never_answer_at_the_same_time(hosts, challengers, bucket):
    bundles.publish(bucket, 3)
    challenge(challengers, 2, CANARY)
    settle(*hosts)
    leader, mate = hosts

    # When the leader has followed the next, and the other worker has not loaded it yet.
    challengers.append(NEW, expected=NEW, actor=Actor("a test", "enough"), action="stopped")
    challenge(challengers, 3, CANARY)
    prepare(leader)
    assert (answering_version(leader), answering_version(mate)) == (OLD, OLD)

    settle(leader, mate)
    assert [answering_version(agent) for agent in hosts] == [bundles.version_name(3)] * 2
    assert [challengers_in(agent) for agent in hosts] == [[bundles.version_name(3)]] * 2


def test_promotions_leave_the_challenger_in_the_cache(hosts, challengers, bucket, log, tmp_path):
    bundles.publish(bucket, 3)
    challenge(challengers, 2, CANARY)
    settle(*hosts)

    promote(log, 3)
    settle(*hosts)

    assert (tmp_path / "cache" / "digits" / NEW / "predictor.tflite").exists()
    assert [answering_version(agent) for agent in hosts] == [NEW, NEW]
    assert answering_version(hosts[0], label="champion") == bundles.version_name(3)


def test_a_replaced_store_without_the_challenge_ends_it(hosts, challengers, worker, bucket, log):
    challenge(challengers, 2, CANARY)
    settle(*hosts)
    for agent in hosts:
        agent.stop()

    bucket._objects.clear()
    bundles.publish(bucket, 1)
    promote(log, 1)
    restarted = worker()
    settle(restarted)

    assert answering_version(restarted) == OLD
    assert challengers_in(restarted) == []


def test_a_lease_on_a_challenger_outlives_its_challenge(hosts, challengers):
    challenge(challengers, 2, CANARY)
    settle(*hosts)
    with hosts[0].router.lease(bundles.MODEL, label=CHALLENGER) as lease:
        challengers.append(NEW, expected=NEW, actor=Actor("a test", "enough"), action="stopped")
        settle(*hosts)
        assert answering_version(hosts[0]) == OLD
        probabilities = lease.predict(FOURS, ["probabilities"])["probabilities"]
        assert np.allclose(probabilities, bundles.probabilities(2, FOURS["image"]), atol=1e-6)

    settle(*hosts)
    assert challengers_in(hosts[0]) == []


def test_a_shadow_never_answers_and_is_compared(hosts, challengers):
    challenge(challengers, 2, SHADOW)
    settle(*hosts)

    assert [answering_version(agent) for agent in hosts for _ in range(3)] == [OLD] * 6
    compare(*hosts)
    settle(*hosts)

    # Then either worker reports the requests of both.
    for agent in hosts:
        status = agent.status.challenge(bundles.MODEL)
        assert (status.stats.requests, status.stats.compared) == (6, 6)
        assert (status.record.version, status.withdrawn) == (NEW, None)


@pytest.mark.parametrize("moves", [(2,), (2, 1, 2)], ids=["promoted", "there and back"])
def test_a_challenger_answers_until_it_is_champion_in_every_worker(hosts, challengers, log, moves):
    leader, _ = hosts
    challenge(challengers, 2, CANARY)
    settle(*hosts)

    # When it is proposed as champion, and the other worker is slow.
    for number in moves:
        promote(log, number)
    prepare(leader)

    for agent in hosts:
        assert agent.slots.find(bundles.MODEL).shared.proposed > 1
        assert (
            answering_version(agent, version=NEW)
            == answering_version(agent, label=CHALLENGER)
            == NEW
        )
        assert answering_version(agent) == NEW
    settle(*hosts)
    assert [answering_version(agent) for agent in hosts] == [NEW, NEW]
    assert leader.status.challenge(bundles.MODEL) is None
