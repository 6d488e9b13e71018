"""Room for another version, and what happens where there is none."""

import pytest

from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import WorkerRegistration
from overnight.serving.lifecycle import memory_budget
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.lifecycle.loader import RETRY_CURRENT_SECONDS, VersionLoader
from overnight.serving.lifecycle.memory_budget import MemoryBudget
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.store.objects.memory import MemoryBucket
from tests.support.serving import bundles
from tests.support.serving.challenges import SHADOW, started
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import TRUST

MIB = 1 << 20


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def _container(place, *, limit: str, used: int, stat: str | None) -> int | None:
    (place / "memory.max").write_text(f"{limit}\n")
    (place / "memory.current").write_text(f"{used}\n")
    if stat is not None:
        (place / "memory.stat").write_text(stat)
    return memory_budget.available_bytes(meminfo=place / "absent", cgroup=place)


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        (f"anon {40 * MIB}\nfile {60 * MIB}\ninactive_file {50 * MIB}\nactive_file 7\n", 60 * MIB),
        (f"anon {90 * MIB}\ninactive_file 0\n", 10 * MIB),
        ("inactive_file many\n", 10 * MIB),
        (None, 10 * MIB),
    ],
    ids=["mostly cache", "no cache", "not a number", "no statistics"],
)
def test_the_file_cache_counts_as_available_to_a_container(tmp_path, stat, expected):
    assert _container(tmp_path, limit=str(100 * MIB), used=90 * MIB, stat=stat) == expected


def test_a_container_without_a_limit_sets_none(tmp_path):
    assert _container(tmp_path, limit="max", used=90 * MIB, stat=None) is None


@pytest.fixture
def late(bucket, log, tmp_path):
    """A slot, and the loader of a worker that starts where nearly no memory is left."""
    bundles.publish(bucket, 1)
    alias_state = AliasState(tmp_path / "models" / bundles.MODEL)
    alias_state.propose(promote(log, 1))
    slot = ModelSlot(bundles.MODEL, alias_state.shared)
    now, available = [100.0], [MIB]
    registration = WorkerRegistration(tmp_path / "workers")
    loader = VersionLoader(
        registration,
        bucket=bucket,
        cache=DiskCache(tmp_path / "cache", TRUST),
        memory_budget=MemoryBudget(threads=1),
        load_notes=LoadNotes(tmp_path / "loading"),
        workers=2,
        available=lambda: available[0],
        clock=lambda: now[0],
    )
    loader.add(slot, alias_state)
    yield slot, loader, now, available
    registration.remove()


def test_a_proposal_that_does_not_fit_is_refused(late):
    slot, loader, *_ = late

    loader.tick()

    assert "1 MiB are available" in slot.refused[1]
    assert not slot.loaded()


def test_a_refused_proposal_is_not_tried_again_however_much_memory_there_is_later(late):
    slot, loader, now, available = late
    loader.tick()

    available[0] = 10**9
    now[0] += 10 * RETRY_CURRENT_SECONDS
    loader.tick()

    assert "1 MiB are available" in slot.refused[1]
    assert [(loads.outcome, loads.versions) for loads in loader.loads()] == [("refused", 1)]


def test_the_current_version_is_loaded_however_little_memory_is_left(late):
    slot, loader, *_ = late
    slot.shared.activate(1)

    loader.tick()

    assert slot.ready
    assert slot.refused == {}


def test_a_challenger_that_no_longer_fits_is_not_loaded_even_if_it_challenged_before(
    late, tmp_path
):
    _, loader, *_ = late
    alias_state = AliasState(tmp_path / "challengers" / bundles.MODEL)
    alias_state.propose(started(1, SHADOW))
    slot = ModelSlot(f"{bundles.MODEL}@challenger", alias_state.shared)
    loader.add(slot, alias_state)
    slot.shared.activate(1)

    loader.tick()

    assert "1 MiB are available" in slot.refused[1]
    assert not slot.loaded()


def test_a_refused_version_that_became_current_is_tried_again(late):
    # Given a worker that joined during a proposal, and refused it unheard.
    slot, loader, now, _ = late
    loader.tick()
    slot.shared.activate(1)

    loader.tick()
    assert not slot.ready

    now[0] += RETRY_CURRENT_SECONDS
    loader.tick()
    assert slot.ready
    assert slot.refused == {}
