"""Candidates are copied once each, some at a time, and in bounded number."""

import pytest

from overnight.serving.history import candidate_sync
from overnight.serving.history.candidate_sync import CandidateSync
from overnight.serving.history.candidates import CandidateFiles
from overnight.store.errors import StoreUnavailable
from overnight.store.registry.actor import Actor
from overnight.store.registry.refusals import Refusals
from tests.support.serving import bucket_history, bundles
from tests.support.serving.stepped_host import OUTAGE, Flaky
from tests.support.signing_keys import registry

VERSIONS = [bundles.version_name(number) for number in range(1, 6)]


class Reads(Flaky):
    """A bucket that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_keys: list[str] = []

    def read(self, key: str, limit: int) -> bytes:
        self.read_keys.append(key)
        return super().read(key, limit)


@pytest.fixture
def bucket() -> Reads:
    bucket = Reads()
    for number in range(1, 6):
        bucket_history.publish(bucket, number, approved=None if number == 5 else True)
    Refusals(bucket, "digits").refuse("f" * 64, (), compared_with=None)
    return bucket


@pytest.fixture
def files(tmp_path) -> CandidateFiles:
    return CandidateFiles(tmp_path)


def names(files: CandidateFiles) -> set[str]:
    return {each.name for each in files.read().candidates}


def test_each_is_read_once_also_after_a_restart(bucket, files):
    CandidateSync(bucket, "digits", files).update(VERSIONS)
    bucket.read_keys.clear()

    CandidateSync(bucket, "digits", files).update(VERSIONS)

    assert not [key for key in bucket.read_keys if "manifest" in key or "refusals" in key]
    assert names(files) == {*VERSIONS, f"refused-{'f' * 12}-none"}


def test_the_list_fills_up_the_newest_first(bucket, files, monkeypatch):
    monkeypatch.setattr(candidate_sync, "READ_AT_ONCE", 2)
    sync = CandidateSync(bucket, "digits", files)

    sync.update(VERSIONS)
    assert names(files) == set(VERSIONS[-2:])
    for _ in range(2):
        sync.update(VERSIONS)
    assert names(files) >= set(VERSIONS)


def test_what_is_beyond_the_limit_is_dropped_with_its_files(bucket, files, monkeypatch):
    CandidateSync(bucket, "digits", files).update(VERSIONS)
    oldest = min(files.read().candidates, key=lambda each: each.at).name
    monkeypatch.setattr(candidate_sync, "REMEMBERED_CANDIDATES", 5)
    sync = CandidateSync(bucket, "digits", files)
    bucket.read_keys.clear()

    for _ in range(3):
        sync.update(VERSIONS)

    assert oldest not in names(files)
    assert files.findings(oldest) is None
    assert files.manifest(oldest) is None
    assert not [key for key in bucket.read_keys if "manifest" in key]


def test_a_decision_is_looked_for_until_there_is_one(bucket, files):
    sync = CandidateSync(bucket, "digits", files)
    sync.update(VERSIONS)
    assert files.read().candidates[-1].verdict or files.read().candidates[0].verdict == ""

    registry(bucket).decisions.decide(VERSIONS[4], "rejected", Actor("ada", "no"))
    sync.update(VERSIONS)

    verdicts = {each.name: each.verdict for each in files.read().candidates}
    assert verdicts[VERSIONS[4]] == "rejected"


def test_an_outage_keeps_what_is_known(bucket, files):
    sync = CandidateSync(bucket, "digits", files)
    sync.update(VERSIONS[:3])
    bucket.error = OUTAGE

    with pytest.raises(StoreUnavailable):
        sync.update(VERSIONS)

    assert names(files) >= set(VERSIONS[:3])
