"""How many processors serving is laid out for by itself."""

import os

import pytest

from overnight.infra.cores import cores


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 4), ("rubbish", 4), ("", 4)],
)
def test_the_quota_of_a_container_counts_when_it_is_less(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    file = tmp_path / "cpu.max"
    file.write_text(quota)

    assert cores(file) == expected


def test_a_process_that_is_held_on_one_processor_has_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)

    assert cores(tmp_path / "no-such-file") == 1
