"""Which versions stay in memory and on disk, and that memory does not grow."""

import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from overnight.serving.errors import NotServed
from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import WorkerRegistration
from overnight.serving.lifecycle import memory_budget
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.lifecycle.loader import VersionLoader
from overnight.serving.lifecycle.memory_budget import MemoryBudget
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.serving.challenges import SHADOW
from tests.support.serving.server_process import ROOT
from tests.support.serving.stepped_host import (
    BLANK,
    answering_version,
    answers,
    challenge,
    compare,
    promote,
    settle,
)
from tests.support.signing_keys import TRUST

SWAPS, WARM = 120, 20


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def _names(*numbers: int) -> list[str]:
    return [bundles.version_name(number) for number in numbers]


def _serve(agent, bucket, log, *numbers: int) -> None:
    for number in numbers:
        bundles.publish(bucket, number)
        promote(log, number)
        settle(agent, ticks=10)
        assert answers(agent) == bundles.version_name(number)


@pytest.mark.parametrize(
    ("budget", "expected"), [(0.0, 1), (0.99, 1), (1.0, 1), (2.0, 2), (2.99, 2), (3.0, 3), (9.0, 3)]
)
def test_the_previous_version_stays_and_older_ones_do_within_the_budget(budget, expected):
    before = [bundles.manifest(number, bundles.files(number)) for number in (3, 2, 1)]
    one = MemoryBudget(threads=1).version_bytes(before[0])

    kept = MemoryBudget(threads=1, budget_bytes=int(budget * one)).retained(before)

    assert kept == _names(3, 2, 1)[:expected]


def test_without_previous_versions_none_is_retained():
    assert MemoryBudget(threads=1).retained([]) == []


def test_versions_that_served_lately_are_loaded_and_on_disk(worker, bucket, log, tmp_path):
    one = MemoryBudget(threads=1).version_bytes(bundles.manifest(1, bundles.files(1)))
    agent = worker(loaded_bytes=2 * one)

    _serve(agent, bucket, log, 1, 2, 3, 4)

    slot = agent.slots.find(bundles.MODEL)
    assert list(slot.versions()) == _names(4, 3, 2)
    with slot.lease(bundles.version_name(2)) as loaded:
        assert loaded.version == bundles.version_name(2)
    assert _staged(tmp_path) == _names(2, 3, 4)


def test_a_version_that_serves_again_counts_as_the_newest(worker, bucket, log):
    one = MemoryBudget(threads=1).version_bytes(bundles.manifest(1, bundles.files(1)))
    agent = worker(loaded_bytes=2 * one)
    _serve(agent, bucket, log, 1, 2)
    before = agent.slots.find(bundles.MODEL).loaded()[1].predictor

    promote(log, 1)
    settle(agent)

    slot = agent.slots.find(bundles.MODEL)
    assert list(slot.versions()) == _names(1, 2)
    # A version that is loaded already is not loaded again.
    current = slot.current()
    assert current is not None
    assert current.predictor is before


def _interpreter_of(loaded) -> weakref.ref:
    """One of the interpreters of a version, to see when it is freed."""
    free = loaded.predictor._free[1]
    planned = free.get()
    free.put(planned)
    return weakref.ref(planned)


def test_a_version_is_freed_with_its_last_lease_whatever_else_refers_to_it(worker, bucket, log):
    # Given a request that is answered by a version that is neither current nor retained.
    agent = worker(loaded_bytes=0)
    _serve(agent, bucket, log, 1, 2)
    with agent.router.lease(bundles.MODEL, bundles.version_name(1)) as leased:
        interpreter = _interpreter_of(leased)
        _serve(agent, bucket, log, 3)
        probabilities = leased.predict(BLANK, ["probabilities"])["probabilities"]
        assert np.allclose(probabilities, bundles.probabilities(1, BLANK["image"]), atol=1e-6)
        assert interpreter() is not None

    # When it has given its lease back, and still refers to what answered it.
    agent.tick_loader()

    assert interpreter() is None
    assert leased.version == bundles.version_name(1)


def test_clients_that_never_stop_asking_for_an_old_version_do_not_keep_it_in_memory(
    worker, bucket, log
):
    # Given a request by name for a version that the budget has no more place for.
    agent = worker(loaded_bytes=0)
    _serve(agent, bucket, log, 1, 2)
    slot = agent.slots.find(bundles.MODEL)
    leased = slot.acquire(bundles.version_name(1))
    _serve(agent, bucket, log, 3)

    # Then the next one is told that it is not loaded, and the version goes with the first.
    assert list(slot.versions()) == _names(3, 2)
    with pytest.raises(NotServed, match="is not loaded here"):
        slot.acquire(bundles.version_name(1))
    slot.release(leased, bundles.version_name(1))
    agent.tick_loader()
    assert bundles.version_name(1) not in {loaded.version for loaded in slot.loaded()}


def test_only_what_serves_and_may_be_asked_for_by_name_is_on_disk(worker, bucket, log, tmp_path):
    # Given a host that refused version 2, which the log names as the predecessor of version 3.
    agent = worker(loaded_bytes=0)
    _serve(agent, bucket, log, 0, 1)
    bundles.publish(bucket, 2, bundles.files(2) | {"golden.npz": b"not an archive"})
    promote(log, 2)
    settle(agent)
    assert answers(agent) == bundles.version_name(1)
    assert _staged(tmp_path) == _names(0, 1, 2)

    _serve(agent, bucket, log, 3)

    assert _staged(tmp_path) == _names(1, 3)


def _staged(folder: Path) -> list[str]:
    staged = (folder / "cache" / bundles.MODEL).glob("*T*-*")
    return sorted(path.name for path in staged if path.is_dir())


def test_a_version_that_serves_again_is_freed_with_the_last_of_its_generations(worker, bucket, log):
    agent = worker(loaded_bytes=0)
    _serve(agent, bucket, log, 1, 2)
    slot = agent.slots.find(bundles.MODEL)
    interpreter = _interpreter_of(slot.named(bundles.version_name(1)))

    for number in (1, 2, 1):
        promote(log, number)
        settle(agent)
        assert answers(agent) == bundles.version_name(number)
    assert interpreter() is not None

    _serve(agent, bucket, log, 3, 4)
    assert interpreter() is None


def test_comparisons_that_wait_keep_no_version_in_memory(hosts, challengers):
    leader, mate = hosts
    challenge(challengers, 2, SHADOW)
    settle(leader, mate)
    answering_version(mate)
    interpreter = _interpreter_of(mate.challengers[bundles.MODEL].slot.current())
    assert mate.comparisons.waiting == 1

    challengers.append(
        bundles.version_name(2),
        expected=bundles.version_name(2),
        actor=Actor("a test", "seen enough"),
        action="stopped",
    )
    settle(leader, mate)

    assert interpreter() is None
    # Queued comparisons with it are left out, and are no failures of the challenger.
    compare(mate)
    stats = mate.challengers[bundles.MODEL].stats()
    assert (stats.requests, stats.errors, stats.compared) == (0, 0, 0)


class Meanwhile:
    """A predictor with a side effect when it is called."""

    def __init__(self, predictor, happens) -> None:
        self.manifest, self.inputs, self.outputs = (
            predictor.manifest,
            predictor.inputs,
            predictor.outputs,
        )
        self._predictor, self._happens = predictor, happens

    def predict(self, inputs, outputs):
        self._happens()
        return self._predictor.predict(inputs, outputs)

    def close(self) -> None:
        self._predictor.close()


def test_a_version_that_is_being_compared_is_freed_afterwards(hosts, challengers):
    # Given a challenge that is stopped in the middle of a comparison.
    leader, mate = hosts
    challenge(challengers, 2, SHADOW)
    settle(leader, mate)
    slot = mate.challengers[bundles.MODEL].slot
    loaded = slot.current()
    interpreter = _interpreter_of(loaded)

    def stopped() -> None:
        version = bundles.version_name(2)
        challengers.append(
            version, expected=version, actor=Actor("a test", "enough"), action="stopped"
        )
        settle(leader, mate)
        assert slot.loaded() == []

    slot.put(LoadedVersion(loaded.generation, Meanwhile(loaded.predictor, stopped), loaded.record))
    answering_version(mate)
    compare(mate)

    stats = mate.challengers[bundles.MODEL].stats()
    assert (stats.requests, stats.errors, stats.compared) == (1, 0, 1)
    assert interpreter() is not None
    mate.tick_loader()
    assert interpreter() is None


def test_previous_versions_are_freed_when_a_proposal_needs_their_memory(bucket, log, tmp_path):
    # Given memory that only suffices once previous versions are freed.
    alias_state, slot = AliasState(tmp_path / "models" / bundles.MODEL), None
    registration = WorkerRegistration(tmp_path / "workers")
    slot = ModelSlot(bundles.MODEL, alias_state.shared)
    loader = VersionLoader(
        registration,
        bucket=bucket,
        cache=DiskCache(tmp_path / "cache", TRUST),
        memory_budget=MemoryBudget(threads=1),
        load_notes=LoadNotes(tmp_path / "loading"),
        workers=1,
        available=lambda: 10**9 if len(slot.loaded()) < 2 else 1,
    )
    loader.add(slot, alias_state)
    for number in (1, 2, 3):
        bundles.publish(bucket, number)
        generation = alias_state.propose(promote(log, number))
        loader.tick()
        assert slot.refused == {}
        slot.shared.activate(generation)
    registration.remove()

    assert list(slot.versions()) == _names(3, 2)


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """In memory where there is such a place: what is durable here is not the point."""
    memory_disk = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory_disk if memory_disk.is_dir() else None) as place:
        yield Path(place)


def test_many_swaps_leak_no_memory(worker, bucket, log, quick_folder):
    # Given a host that has swapped often enough for its memory to have settled.
    agent = worker(folder=quick_folder)
    sizes = []
    for number in range(1, SWAPS + 1):
        bundles.publish(bucket, number)
        promote(log, number)
        settle(agent, ticks=7)
        sizes.append(_resident())

    assert answers(agent) == bundles.version_name(SWAPS)
    # The peak of the second half, compared with that of the first once it was warm.
    assert max(sizes[SWAPS // 2 :]) <= 1.05 * max(sizes[WARM : SWAPS // 2])
    assert len(agent.slots.find(bundles.MODEL).loaded()) <= 20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_rows_that_are_large_are_part_of_the_estimate():
    wide = TensorSpec(name="picture", datatype="UINT8", shape=(4_000, 4_000))
    tensors = Schema(inputs=(wide,), outputs=bundles.TENSORS.outputs)
    manifest = bundles.manifest(1, bundles.files(1), tensors=tensors)

    # Of each batch size there is an interpreter, and 31 rows of 16 MB in all.
    assert MemoryBudget(threads=1).version_bytes(manifest) > 31 * 16_000_000


def test_returning_freed_memory_works_on_any_system():
    held = [np.ones(1_000) for _ in range(1_000)]
    del held
    before = _resident()

    memory_budget.return_freed_memory()

    assert _resident() <= before


MEASURED = """
from pathlib import Path
from overnight.serving.inference.runtime import Predictor
from tests.support.serving import bundles
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
manifest = bundles.manifest(1, bundles.files(1))
held = [Predictor(manifest, bundles.network(1), threads=2)]
before = resident()
held += [Predictor(manifest, bundles.network(1), threads=2) for _ in range(8)]
print((resident() - before) // 8)
"""


@pytest.mark.servers
def test_the_estimate_is_no_less_than_what_a_version_takes():
    manifest = bundles.manifest(1, bundles.files(1))
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert 0 < int(ran.stdout) <= MemoryBudget(threads=2).version_bytes(manifest)
    assert MemoryBudget(threads=1).version_bytes(manifest) < MemoryBudget(threads=2).version_bytes(
        manifest
    )
