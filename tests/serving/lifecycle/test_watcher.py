"""Hosts that follow a store, tick by tick: nothing waits, so nothing here is luck."""

import pytest

from overnight.store.registry.actor import Actor
from tests.support.serving import bundles
from tests.support.serving.stepped_host import Flaky, answers, prepare, promote, settle


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


def test_a_host_discovers_a_model_serves_it_and_acknowledges(worker, bucket, log):
    version = bundles.publish(bucket, 1)
    record = promote(log, 1)
    agent = worker()
    assert not agent.slots.ready

    settle(agent)

    assert agent.slots.ready
    assert answers(agent) == version
    (acknowledgement,) = log.acknowledgements(record.sequence)
    assert (acknowledgement.replica, acknowledgement.version, acknowledgement.serving) == (
        "host",
        version,
        True,
    )


def test_all_workers_switch_together(worker, bucket, log):
    # Given two workers on version 1.
    old, new = bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When the leader follows to version 2, and its mate is slow to prepare it.
    promote(log, 2)
    prepare(leader)
    assert (answers(leader), answers(mate)) == (old, old)

    # Then the mate's readiness lets both switch in the same moment.
    mate.tick_loader()
    assert (answers(leader), answers(mate)) == (old, old)
    leader.tick_leader()
    assert (answers(leader), answers(mate)) == (new, new)


def test_the_old_version_must_have_answered_its_last_request_before_the_new_is_acknowledged(
    worker, bucket, log
):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When a request of the mate is still being answered by version 1 during the switch.
    with mate.slots.find(bundles.MODEL).lease() as lease:
        record = promote(log, 2)
        settle(leader, mate)
        assert answers(mate) == bundles.version_name(2)
        assert lease.version == bundles.version_name(1)
        assert log.acknowledgements(record.sequence) == []

    settle(leader, mate)
    assert [
        acknowledgement.serving for acknowledgement in log.acknowledgements(record.sequence)
    ] == [True]


def test_requests_for_an_older_version_by_name_hold_up_neither_promotions_nor_rollbacks(
    worker, bucket, log
):
    for number in (1, 2, 3):
        bundles.publish(bucket, number)
    leader, mate = worker(), worker()
    for number in (1, 2):
        promote(log, number)
        settle(leader, mate)

    # When a client of the mate never stops asking for version 1 by its name.
    with mate.router.lease(bundles.MODEL, bundles.version_name(1)) as lease:
        promoted = promote(log, 3)
        settle(leader, mate)
        rolled_back = log.append(
            bundles.version_name(2),
            expected=bundles.version_name(3),
            actor=Actor("a test", "a change of mind"),
            action="rolled back",
        )
        settle(leader, mate)

        # Then both are followed and acknowledged, and the client keeps its version.
        assert answers(mate) == bundles.version_name(2)
        for record in (promoted, rolled_back):
            assert [word.serving for word in log.acknowledgements(record.sequence)] == [True]
        assert lease.version == bundles.version_name(1)


def test_a_dead_leader_is_replaced_and_its_open_proposal_goes_on(worker, bucket, log):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When the leader dies with a proposal open: the kernel lets go of its locks.
    promote(log, 2)
    leader.tick_leader()
    leader.tick_leader()
    leader._leadership.release()
    leader.registration._lock.close()
    settle(mate)

    assert answers(mate) == bundles.version_name(2)
    assert [acknowledgement.serving for acknowledgement in log.acknowledgements(2)] == [True]


def test_a_new_worker_loads_the_current_version(worker, bucket, log):
    bundles.publish(bucket, 1)
    promote(log, 1)
    settle(worker())

    late = worker()

    assert late.slots.ready
    assert answers(late) == bundles.version_name(1)


def test_the_newest_of_several_records_is_followed_and_the_others_are_acknowledged(
    worker, bucket, log
):
    for number in (1, 2, 3, 4):
        bundles.publish(bucket, number)
    promote(log, 1)
    agent = worker()
    settle(agent)

    for number in (2, 3, 4):
        promote(log, number)
    settle(agent)

    assert answers(agent) == bundles.version_name(4)
    for sequence in (2, 3):
        (acknowledgement,) = log.acknowledgements(sequence)
        assert not acknowledgement.serving
        assert acknowledgement.reason.startswith("superseded by record 4")


def test_rolling_back_is_one_more_record(worker, bucket, log):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    agent = worker()
    for number in (1, 2):
        promote(log, number)
        settle(agent)

    log.append(
        bundles.version_name(1),
        expected=bundles.version_name(2),
        actor=Actor("a test", "a change of mind"),
        action="rolled back",
    )
    settle(agent)

    assert answers(agent) == bundles.version_name(1)


def test_a_model_is_served_once_all_its_state_is_set_up(worker, tmp_path):
    """A disk that is full in the middle of it leaves nothing half known, and it is tried again."""
    agent = worker()
    (tmp_path / "models" / "sales").mkdir(parents=True)
    challengers = tmp_path / "challengers"
    challengers.mkdir(exist_ok=True)
    in_the_way = challengers / "sales"
    in_the_way.touch()

    for _ in range(2):
        with pytest.raises(FileExistsError):
            agent._list_models()
        assert agent.slots.all() == []
        assert agent.tick_leader() > 0

    in_the_way.unlink()
    agent._list_models()
    assert [slot.model for slot in agent.slots.all()] == ["sales"]
    assert agent.status.challenge("sales") is None
