"""A disk on which nothing can be written any more: what answers goes on, and so does following."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from overnight.serving.agent import HostAgent
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.store.local_files import write_atomically
from overnight.store.objects.memory import MemoryBucket
from tests.support.faults.tally import TALLY
from tests.support.serving import bundles
from tests.support.serving.stepped_host import answering_version, answers, promote, settle
from tests.support.signing_keys import TRUST, alias_log
from tests.support.waiting import until


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@contextmanager
def full_disk() -> Iterator[None]:
    """The kernel lets this process write not one byte more into any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    TALLY.inject("serving's disk was full")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def prepared(agent: HostAgent) -> set[str]:
    """The versions that are loaded, whether or not they answer yet."""
    return {loaded.version for loaded in agent.slots.find(bundles.MODEL).loaded()}


@pytest.fixture
def agent(worker, bucket, log):
    """A worker that answers with version 1, and has version 2 proposed."""
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    agent = worker(workers=1)
    settle(agent)
    promote(log, 2)
    slot = agent.slots.find(bundles.MODEL)
    until(
        lambda: (agent.tick_leader(), slot.shared.proposed > slot.shared.current)[1],
        what="2 is proposed",
    )
    assert prepared(agent) == {bundles.version_name(1)}
    return agent


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "known.json"
    write_atomically(path, b"before")

    with full_disk(), pytest.raises(OSError, match="too large"):
        write_atomically(path, b"after")

    assert path.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["known.json"]


def test_counters_that_cannot_be_written_keep_no_version_from_being_loaded(agent):
    # Given counters that changed since they were written last.
    agent.status.meter.count(bundles.MODEL, bundles.version_name(1), "v2", 200, 0.001)

    # Its report cannot be written either, but the version is loaded.
    with full_disk():
        agent.tick_counters()
        with suppress(OSError):
            agent.tick_loader()

    assert bundles.version_name(2) in prepared(agent)
    settle(agent)
    assert answers(agent) == bundles.version_name(2)


def test_a_worker_starts_on_a_full_disk_and_follows_once_there_is_space(agent):
    with full_disk():
        agent.start()
        assert answering_version(agent) == bundles.version_name(1)

    until(lambda: answers(agent) == bundles.version_name(2), what="version 2 answers")


def test_the_files_of_killed_fetches_are_deleted_and_those_of_running_ones_kept(bucket, tmp_path):
    bundles.publish(bucket, 1)
    left, under_way = (tmp_path / bundles.MODEL / f".staging-{name}" for name in ("left", "now"))
    for folder in (left, under_way):
        folder.mkdir(parents=True)
    yesterday = time.time() - 86_400
    os.utime(left, (yesterday, yesterday))

    DiskCache(tmp_path, TRUST).stage(bucket, promote(alias_log(bucket), 1))

    assert (left.exists(), under_way.exists()) == (False, True)
