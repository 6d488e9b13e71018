"""Workers that begin later know by name what the others do."""

import pytest

from overnight.serving.lifecycle import disk_cache
from tests.support.serving import bundles
from tests.support.serving.stepped_host import Flaky, answering_version, answers, promote, settle


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@pytest.fixture
def moved(worker, bucket, log):
    """A host that answered with versions 1, 2 and 3, one after the other."""
    leader, mate = worker(), worker()
    for number in (1, 2, 3):
        bundles.publish(bucket, number)
        promote(log, number)
        settle(leader, mate)
    return leader, mate


def test_a_new_worker_loads_the_previous_versions(worker, moved):
    late = worker()
    settle(*moved, late)

    known = {bundles.version_name(number) for number in (1, 2, 3)}
    for agent in (*moved, late):
        assert set(agent.slots.find(bundles.MODEL).versions()) == known
    assert answering_version(late, version=bundles.version_name(2)) == bundles.version_name(2)
    assert answers(late) == bundles.version_name(3)


def test_a_previous_version_stays_loaded_after_it_served_again(worker, moved, log, bucket):
    late = worker()
    settle(*moved, late)

    promote(log, 2)
    settle(*moved, late)
    bundles.publish(bucket, 4)
    promote(log, 4)
    settle(*moved, late)

    for agent in (*moved, late):
        assert answers(agent) == bundles.version_name(4)
        assert answering_version(agent, version=bundles.version_name(2)) == bundles.version_name(2)


def test_a_new_worker_loads_previous_versions_within_its_budget(worker, moved):
    late = worker(loaded_bytes=0)
    settle(*moved, late)

    # The one before the current always stays.
    expected = (bundles.version_name(3), bundles.version_name(2))
    assert late.slots.find(bundles.MODEL).versions() == expected


def test_a_damaged_copy_of_an_older_version_is_left_alone(worker, moved, tmp_path):
    place = tmp_path / "cache" / bundles.MODEL / bundles.version_name(2)
    (place / disk_cache.NEEDED[0]).write_bytes(b"garbled")

    late = worker()
    settle(*moved, late)

    assert answers(late) == bundles.version_name(3)
    assert bundles.version_name(2) not in late.slots.find(bundles.MODEL).versions()
