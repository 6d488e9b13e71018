"""What gates refused is listed, newest first, with the figures that decided."""

import json
from datetime import timedelta

import pytest

from overnight.cli.actions.history import refusals
from overnight.cli.errors import WrongArgument
from overnight.infra import connections
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import Finding
from overnight.store.registry.refusals import Refusal
from tests.support.examples import AT, VERSION

FIRST, SECOND = "aa" * 32, "ab" * 32
PASSED = Finding(gate="AtLeast", metric="accuracy", passed=True, message="0.99, at least 0.97")
FAILED = Finding(gate="AtLeast", metric="recall", passed=False, message="0.5101, at least 0.7")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path) -> MemoryBucket:
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    bucket = MemoryBucket()
    for number, fingerprint in enumerate((FIRST, SECOND)):
        refusal = Refusal(
            model="digits",
            fingerprint=fingerprint,
            findings=(PASSED, FAILED),
            compared_with=VERSION,
            at=AT + timedelta(days=number),
        )
        bucket.create(keys.refusal("digits", fingerprint, VERSION), refusal.encoded())
    monkeypatch.setattr(connections, "bucket", lambda _settings, **_options: bucket)
    return bucket


def test_refusals_are_listed_newest_first_with_their_headline(bucket, capsys) -> None:
    refusals.run("digits", None, as_json=False)

    lines = capsys.readouterr().out.splitlines()
    newest, oldest = (next(line for line in lines if name[:12] in line) for name in (SECOND, FIRST))
    assert lines.index(newest) < lines.index(oldest)
    assert newest.startswith("2026-11-23 02:00")
    assert "1 of 2 gates failed" in newest
    assert "0.5101" in newest


def test_one_refusal_is_shown_with_every_gate(bucket, capsys) -> None:
    refusals.run("digits", "ab", as_json=False)

    text = capsys.readouterr().out
    assert "candidate abababababab was refused on 2026-11-23 02:00 UTC" in text
    assert "REFUSED" in text
    assert "passed" in text


def test_programs_get_headline_and_findings(bucket, capsys) -> None:
    refusals.run("digits", None, as_json=True)

    newest, _ = json.loads(capsys.readouterr().out)
    assert newest["headline"].startswith("1 of 2 gates failed")
    assert [finding["passed"] for finding in newest["findings"]] == [True, False]


def test_a_damaged_refusal_is_named_and_hides_no_other(bucket, capsys) -> None:
    bucket.create(keys.refusal("digits", "ac" * 32, None), b"{}")

    refusals.run("digits", None, as_json=False)

    printed = capsys.readouterr()
    assert "acacac" in printed.err
    assert SECOND[:12] in printed.out


@pytest.mark.parametrize("candidate", ["a", "ff"])
def test_a_beginning_of_several_or_none_is_wrong_usage(bucket, candidate: str) -> None:
    with pytest.raises(WrongArgument, match="`overnight refusals digits` lists them"):
        refusals.run("digits", candidate, as_json=False)


def test_nothing_refused_exits_with_4(bucket, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        refusals.run("sales", None, as_json=False)

    assert ended.value.code == 4
    assert "no candidate of sales was refused" in capsys.readouterr().out
