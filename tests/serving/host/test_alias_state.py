"""State of an alias on disk and in shared memory; what an earlier release wrote is read."""

import json
import stat
import time
from datetime import UTC, datetime

import pytest

from overnight.serving.host.alias_state import (
    REMEMBERED_REFUSALS,
    AliasState,
    EndedChallenge,
    FollowerState,
    RefusedVersion,
    SharedGeneration,
)
from overnight.store.registry.alias_log import AliasRecord
from tests.support.serving.challenges import SHADOW, started


def record_of(sequence: int, number: int = 1) -> AliasRecord:
    return started(number, SHADOW).model_copy(update={"sequence": sequence})


def refusal_of(record: AliasRecord, **fields: object) -> RefusedVersion:
    told = {"sequence": record.sequence, "version": record.version, "reason": "too large"}
    return RefusedVersion(**(told | {"at": datetime(2026, 11, 22, tzinfo=UTC)} | fields))


def numbers(shared: SharedGeneration) -> tuple[int, ...]:
    return (shared.current, shared.proposed, shared.refresh_requests, shared.polled_ms)


FIRST, SECOND = record_of(1), record_of(2, 2)


def test_an_ended_challenge_of_an_earlier_release_is_read(tmp_path):
    record = started(2, SHADOW)
    earlier = {
        "record": record.model_dump(mode="json", by_alias=True),
        "how": "withdrawn",
        "reason": "too slow",
        "replica": "host",
        "at": "2026-11-22T02:00:00Z",
        "tally": {"record": record.id, "model": "digits", "version": "v", "mode": "shadow"},
        "told": True,
    }
    (tmp_path / "ended.json").write_text(json.dumps(earlier))

    ended = AliasState(tmp_path).ended_challenge()

    assert (ended.outcome, ended.recorded, ended.stats.mode) == ("withdrawn", True, "shadow")
    assert ended.record == record


def test_an_ended_challenge_is_read_back_as_it_was(tmp_path):
    ended = EndedChallenge(
        record=FIRST, outcome="withdrawn", reason="slow", replica="a", at=datetime.now(UTC)
    )
    assert AliasState(tmp_path).ended_challenge() is None

    AliasState(tmp_path).save_ended_challenge(ended)

    assert AliasState(tmp_path).ended_challenge() == ended
    assert json.loads((tmp_path / "ended.json").read_bytes())["outcome"] == "withdrawn"


def test_what_was_followed_is_read_back_as_it_was(tmp_path):
    state = FollowerState(last=FIRST, served=("b", "a"), refused=(refusal_of(SECOND),))

    AliasState(tmp_path).save_follower_state(state)

    assert AliasState(tmp_path).follower_state() == state
    assert (tmp_path / "known.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", None])
def test_a_host_without_readable_files_starts_anew(tmp_path, text: str | None):
    if text is not None:
        (tmp_path / "proposals").mkdir()
        for name in ("known.json", "ended.json", "proposals/1.json"):
            (tmp_path / name).write_text(text)

    state = AliasState(tmp_path)

    assert state.follower_state() == FollowerState()
    assert state.ended_challenge() is None
    assert state.record(1) is None


@pytest.mark.parametrize("untrusted", [True, False])
def test_a_record_that_is_refused_is_the_last_one_followed(untrusted: bool):
    known = FollowerState(last=FIRST, served=("a",), refused=(refusal_of(FIRST),))
    before = datetime.now(UTC)

    state = known.refusing(SECOND, "too slow", untrusted=untrusted)

    refusal = state.refused[-1]
    assert before <= refusal.at <= datetime.now(UTC)
    assert state == FollowerState(
        last=SECOND,
        served=("a",),
        refused=(
            refusal_of(FIRST),
            refusal_of(SECOND, reason="too slow", at=refusal.at, untrusted=untrusted),
        ),
    )
    assert state.is_untrusted(SECOND) is untrusted
    assert not state.is_untrusted(FIRST)


def test_a_refusal_replaces_the_earlier_one_of_its_record_and_the_oldest_is_forgotten():
    state = FollowerState()
    for sequence in (*range(1, REMEMBERED_REFUSALS + 3), 4):
        state = state.refusing(record_of(sequence), f"reason {sequence}", untrusted=False)

    kept = [refusal.sequence for refusal in state.refused]
    assert kept == [3, *range(5, REMEMBERED_REFUSALS + 3), 4]
    assert len(kept) == REMEMBERED_REFUSALS


def test_a_record_that_is_followed_is_refused_no_longer():
    state = FollowerState(served=("a",), refused=(refusal_of(FIRST), refusal_of(SECOND)))

    assert state.following(SECOND) == FollowerState(
        last=SECOND, served=("a",), refused=(refusal_of(FIRST),)
    )


def test_a_record_that_is_not_followed_is_distrusted_once_for_a_reason():
    known = FollowerState(last=FIRST, refused=(refusal_of(FIRST),))

    state = known.distrusting(SECOND, "not signed")
    again = state.distrusting(SECOND, "not signed")
    otherwise = state.distrusting(SECOND, "signed by a stranger")
    other_version = state.distrusting(record_of(2, 3), "not signed")

    assert state.last == FIRST
    assert state.refused == (
        refusal_of(FIRST),
        refusal_of(SECOND, reason="not signed", at=state.refused[1].at, untrusted=True),
    )
    assert again is state
    assert [each.reason for each in otherwise.refused] == ["too large", "signed by a stranger"]
    versions = [each.version for each in other_version.refused]
    assert versions == [FIRST.version, record_of(2, 3).version]


def test_generations_of_one_process_start_at_nothing():
    shared, other = SharedGeneration.in_process(), SharedGeneration.in_process()
    assert numbers(shared) == (0, 0, 0, 0)
    assert shared.last_sync_age_seconds is None

    shared.propose(3)
    shared.activate(2)
    shared.request_refresh()
    shared.request_refresh()
    shared.note_poll(5)

    assert numbers(shared) == (2, 3, 2, 5)
    assert (other.current, other.proposed) == (0, 0)
    shared.clear()
    assert (shared.current, shared.proposed, shared.refresh_requests) == (0, 0, 2)


def test_the_age_of_a_sync_is_in_seconds_and_never_negative():
    shared = SharedGeneration.in_process()
    before = time.time()

    shared.note_sync(int((before - 90) * 1000))
    age = shared.last_sync_age_seconds
    shared.note_sync(int((before + 3_600) * 1000))

    assert age is not None
    assert 89.99 <= age <= 90.01 + time.time() - before
    assert age == round(age, 3)
    assert shared.last_sync_age_seconds == 0
    shared.note_sync(1)
    assert shared.last_sync_age_seconds > 1e9


def test_all_that_open_a_file_of_generations_share_them(tmp_path):
    path = tmp_path / "new" / "folder" / "board"
    ours, theirs = SharedGeneration.open(path), SharedGeneration.open(path)

    ours.propose(2)
    ours.activate(1)
    theirs.note_poll(7)

    assert (theirs.proposed, theirs.current, ours.polled_ms) == (2, 1, 7)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.stat().st_size == 40


def test_a_proposal_gets_the_next_number_whatever_became_of_the_others(tmp_path):
    # Given numbers of which only the one that answers, the proposed one, or a file is the highest.
    state = AliasState(tmp_path)
    assert [state.propose(FIRST), state.propose(SECOND)] == [1, 2]
    assert (state.shared.proposed, state.record(1), state.record(2)) == (2, FIRST, SECOND)

    state.shared.activate(7)
    assert state.propose(FIRST) == 8
    state.shared.propose(20)
    assert state.propose(FIRST) == 21
    (tmp_path / "proposals" / "30.json").write_text("{")
    (tmp_path / "proposals" / "notes.json").write_text("{")
    (tmp_path / "proposals" / "99.txt").write_text("{")
    (tmp_path / "proposals" / "².json").write_text("{")
    assert state.propose(FIRST) == 31
    assert json.loads((tmp_path / "proposals" / "31.json").read_bytes())["sequence"] == 1


def test_proposals_are_forgotten_but_those_that_answer_may_or_keep_the_count(tmp_path):
    state = AliasState(tmp_path)
    state.forget_proposals()
    for _ in range(6):
        state.propose(FIRST)
    (tmp_path / "proposals" / "1.json").rename(tmp_path / "proposals" / "01.json")
    state.shared.activate(2)
    state.shared.propose(4)

    state.forget_proposals()

    kept = sorted(path.name for path in (tmp_path / "proposals").iterdir())
    assert kept == ["01.json", "2.json", "4.json", "6.json"]


def test_active_versions_are_those_that_answer_or_may_next(tmp_path):
    state = AliasState(tmp_path)
    assert state.active_versions() == set()

    state.propose(FIRST)
    assert state.active_versions() == {FIRST.version}

    state.shared.activate(1)
    state.propose(SECOND)
    assert state.active_versions() == {FIRST.version, SECOND.version}

    (tmp_path / "proposals" / "2.json").unlink()
    assert state.active_versions() == {FIRST.version}


def test_numbers_of_an_earlier_release_are_kept_and_extended(tmp_path):
    # Given the file of a release that had four numbers.
    (tmp_path / "board").write_bytes(b"".join(n.to_bytes(8, "little") for n in (3, 4, 5, 6)))

    shared = AliasState(tmp_path).shared

    assert numbers(shared) == (3, 4, 6, 0)
