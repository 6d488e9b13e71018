"""A store that is away, damaged or replaced, and caches that are damaged."""

import shutil

import pytest

from overnight.serving.errors import NotServed
from overnight.store.errors import StoreDenied
from tests.support.faults.tally import TALLY
from tests.support.serving import bundles
from tests.support.serving.stepped_host import OUTAGE, Flaky, answers, promote, settle


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


def test_during_an_outage_answering_goes_on_and_a_restart_serves_from_the_cache(
    worker, bucket, log
):
    bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker()
    settle(agent)

    bucket.error = OUTAGE
    settle(agent)
    assert agent.slots.ready
    assert "does not answer" in agent.status.follower_state(bundles.MODEL).sync_error

    agent.stop()
    restarted = worker()
    settle(restarted)
    assert restarted.slots.ready
    assert answers(restarted) == bundles.version_name(1)

    bucket.error = None
    bundles.publish(bucket, 2)
    promote(log, 2)
    settle(restarted)
    assert answers(restarted) == bundles.version_name(2)
    assert restarted.status.follower_state(bundles.MODEL).sync_error == ""


def test_without_memory_to_fetch_a_version_the_host_reports_it_and_retries(worker, bucket, log):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    agent = worker()
    settle(agent)

    promote(log, 2)
    bucket.error = MemoryError()
    settle(agent)
    assert answers(agent) == bundles.version_name(1)
    assert "no memory" in agent.status.follower_state(bundles.MODEL).sync_error

    bucket.error = None
    settle(agent)
    assert answers(agent) == bundles.version_name(2)
    assert agent.status.follower_state(bundles.MODEL).sync_error == ""


@pytest.mark.parametrize("error", [OUTAGE, StoreDenied("http://store", "AccessDenied")])
def test_a_store_that_takes_no_acknowledgements_is_followed(worker, bucket, log, error):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    agent = worker()
    settle(agent)

    promote(log, 2)
    bucket.write_error = error
    settle(agent)

    assert answers(agent) == bundles.version_name(2)

    # Nor does an owed acknowledgement delay the records after it.
    bucket.write_error = None
    bundles.publish(bucket, 3)
    promote(log, 3)
    bucket.write_error = error
    settle(agent)
    assert answers(agent) == bundles.version_name(3)


def test_a_damaged_cache_entry_is_deleted_and_fetched_again(worker, bucket, log, tmp_path):
    version = bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker()
    settle(agent)
    agent.stop()
    staged = tmp_path / "cache" / "digits" / version / "predictor.tflite"
    staged.write_bytes(staged.read_bytes()[:-4] + b"\xff\xff\xff\xff")
    TALLY.inject("the cache was damaged")

    restarted = worker()

    assert answers(restarted) == version
    assert staged.read_bytes() == bundles.network(1)


def test_the_previous_version_answers_by_name_and_older_ones_are_freed(worker, bucket, log):
    agent = worker(loaded_bytes=0)
    for number in (1, 2, 3):
        bundles.publish(bucket, number)
        promote(log, number)
        settle(agent)
    slot = agent.slots.find(bundles.MODEL)

    with slot.lease(bundles.version_name(2)) as loaded:
        assert loaded.version == bundles.version_name(2)
    with pytest.raises(NotServed) as refusal, slot.lease(bundles.version_name(1)):
        pass
    for number in (2, 3):
        assert bundles.version_name(number) in str(refusal.value)


def test_a_configured_model_that_is_not_there_keeps_the_host_unready(worker, bucket, log):
    bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker(("digits", "sales"))

    settle(agent)

    assert answers(agent) == bundles.version_name(1)
    assert not agent.slots.ready


def test_an_unreadable_record_stops_neither_answers_nor_other_models(worker, bucket, log):
    bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker(("absent", "digits"))
    settle(agent)

    bucket.create("models/absent/aliases/champion/00000001.json", b"{}")
    bucket.create("models/digits/aliases/champion/00000002.json", b"from another age")
    settle(agent)

    assert answers(agent) == bundles.version_name(1)
    assert agent.status.follower_state("absent").sync_error
    assert agent.status.follower_state(bundles.MODEL).sync_error


def test_a_failing_tick_does_not_stop_those_of_other_models(worker, bucket, log, tmp_path):
    # Given a model whose state cannot be written, and that has a sync error.
    agent = worker(("absent", "digits"))
    settle(agent)
    (tmp_path / "models" / "absent" / "known.json").mkdir()
    bucket.create("models/absent/aliases/champion/00000001.json", b"{}")

    bundles.publish(bucket, 1)
    promote(log, 1)
    settle(agent)

    assert answers(agent) == bundles.version_name(1)


def test_a_replica_name_that_is_no_valid_key_does_not_stop_following(worker, bucket, log):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    agent = worker(replica="node 7")
    for number in (1, 2):
        promote(log, number)
        settle(agent)

    assert answers(agent) == bundles.version_name(2)
    assert log.acknowledgements(2) == []


def test_folders_that_are_not_models_are_ignored(worker, bucket, log, tmp_path):
    bundles.publish(bucket, 1)
    promote(log, 1)
    bucket.create("models/Not_A_Model/anything", b"")
    (tmp_path / "models" / "lost+found").mkdir(parents=True)
    agent = worker()

    settle(agent)

    assert [slot.model for slot in agent.slots.all()] == ["digits"]
    assert agent.slots.ready


def test_a_replaced_store_is_followed_once_the_state_of_the_old_one_is_removed(
    worker, bucket, log, tmp_path
):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    for number in (1, 2):
        promote(log, number)
    agent = worker()
    settle(agent)
    agent.stop()

    bucket._objects.clear()
    bundles.publish(bucket, 5)
    promote(log, 5)
    unsure = worker()
    settle(unsure)
    sync_error = unsure.status.follower_state(bundles.MODEL).sync_error
    unsure.stop()
    memory = tmp_path / "models" / bundles.MODEL
    assert f"remove {memory} and start again" in sync_error

    shutil.rmtree(memory)
    restarted = worker()
    settle(restarted)

    assert answers(restarted) == bundles.version_name(5)
