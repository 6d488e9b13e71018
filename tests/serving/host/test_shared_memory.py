"""Numbers that processes share: their files, and the flag by which a server drains."""

import stat
import time

import pytest

from overnight.serving.host import shared_memory
from overnight.serving.host.shared_memory import DrainFlag, map_numbers


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_of_numbers_has_zeros_and_the_mode_that_was_asked_for(tmp_path):
    numbers = map_numbers(tmp_path / "numbers", numbers=3, mode=0o640)

    assert numbers[:] == bytes(24)
    assert mode_of(tmp_path / "numbers") == 0o640


def test_numbers_are_found_again_and_a_shorter_file_is_extended(tmp_path):
    path = tmp_path / "numbers"
    memoryview(map_numbers(path, numbers=1, mode=0o644)).cast("Q")[0] = 2**40

    longer = memoryview(map_numbers(path, numbers=2, mode=0o644)).cast("Q")
    shorter = memoryview(map_numbers(path, numbers=1, mode=0o644)).cast("Q")

    assert (longer.tolist(), shorter.tolist()) == ([2**40, 0], [2**40])
    assert path.stat().st_size == 16


def test_the_flag_of_one_process_is_set_once_and_has_no_file():
    flag, other = DrainFlag(), DrainFlag()

    flag.begin()

    assert (flag.begun, other.begun, flag.is_polled) == (True, False, False)


def test_only_the_owner_of_a_server_can_drain_it(tmp_path):
    DrainFlag.create(tmp_path / "created")
    DrainFlag.open(tmp_path / "opened")

    flags = [tmp_path / name for name in ("created", "opened")]
    assert [(mode_of(flag), flag.stat().st_size) for flag in flags] == [(0o600, 16)] * 2


@pytest.mark.parametrize(
    ("ago_seconds", "is_polled"),
    [(0.0, True), (shared_memory.POLLED_WITHIN_SECONDS - 5, True), (60.001, False)],
)
def test_a_probe_counts_for_a_minute(tmp_path, ago_seconds: float, is_polled: bool):
    # Given a flag whose last probe, on the clock that has no leaps, was some time ago.
    memory = map_numbers(tmp_path / "draining", numbers=2, mode=0o600)
    flag = DrainFlag(memory)
    memoryview(memory).cast("Q")[1] = int((time.monotonic() - ago_seconds) * 1000)

    assert flag.is_polled is is_polled


def test_a_probe_is_noted_on_the_clock_that_has_no_leaps(tmp_path):
    memory = map_numbers(tmp_path / "draining", numbers=2, mode=0o600)
    before = time.monotonic_ns() // 1_000_000

    DrainFlag(memory).note_probe()

    begun, probed_ms = memoryview(memory).cast("Q")
    assert begun == 0
    assert before <= probed_ms <= time.monotonic_ns() // 1_000_000
