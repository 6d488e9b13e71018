"""The host's copy of the deployment history, which is served without the store."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from overnight.serving.history.local_copy import DeploymentHistory, HistoryFile
from overnight.serving.history.sync import (
    REFRESH_SECONDS,
    REMEMBERED_RECORDS,
    REMEMBERED_VERSIONS,
    HistorySync,
)
from overnight.serving.host.alias_state import AliasState, FollowerState
from overnight.store.objects import keys
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.promotions import Promotions
from tests.support.serving import bucket_history, bundles
from tests.support.serving.stepped_host import OUTAGE, Flaky
from tests.support.signing_keys import SIGNER, TRUST, alias_log, registry

MODEL = bundles.MODEL
FIRST, SECOND, THIRD = (bundles.version_name(number) for number in (1, 2, 3))


class Counting(Flaky):
    """A bucket that counts the reads of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def read(self, key: str, limit: int) -> bytes:
        self.reads[key] += 1
        return super().read(key, limit)

    def names_below(self, prefix: str) -> list[str]:
        self.reads[prefix] += 1
        return super().names_below(prefix)


class Host:
    """A sync with a clock that is moved by hand."""

    def __init__(self, bucket, folder) -> None:
        self.now = 0.0
        self.bucket, self.alias_state, self.history = (
            bucket,
            AliasState(folder),
            HistoryFile(folder),
        )
        self.sync = HistorySync(
            self.history,
            self.alias_state,
            model=MODEL,
            bucket=bucket,
            trust=TRUST,
            clock=lambda: self.now,
        )

    def later(self, seconds: float = REFRESH_SECONDS) -> DeploymentHistory:
        self.now += seconds
        self.sync.tick()
        return self.history.read()


@pytest.fixture
def store() -> Counting:
    """Two versions: the first served and was replaced by the second."""
    bucket = Counting()
    bucket_history.hand_over(bucket)
    return bucket


@pytest.fixture
def host(store, tmp_path) -> Host:
    return Host(store, tmp_path)


def test_records_and_versions_are_copied_newest_first(host, store):
    Promotions(registry(store, MODEL)).roll_back(
        expected=SECOND, to=None, actor=Actor("ada", "it was worse")
    )

    history = host.later()

    assert [(record.version, record.action) for record in history.records] == [
        (FIRST, "rolled back"),
        (SECOND, "promoted"),
        (FIRST, "promoted"),
    ]
    assert [version.version for version in history.versions] == [SECOND, FIRST]
    newest = history.versions[0]
    assert newest.findings == tuple(bucket_history.findings(2))
    assert (newest.compared_with, newest.run, newest.rows) == (FIRST, "swift-heron-2", 50_002)
    assert newest.decision is not None
    assert newest.decision.by == "ada"


def test_manifests_and_decisions_are_read_once(host, store):
    host.later()
    store.reads.clear()

    for _ in range(5):
        host.later()

    assert not any("manifest" in key or "decision" in key for key in store.reads)
    assert store.reads[keys.versions(MODEL)] == 5
    assert store.reads[keys.alias(MODEL, "champion")] == 0


def test_the_store_is_read_only_when_a_refresh_is_due(host, store):
    host.later()
    store.reads.clear()

    for _ in range(20):
        host.later(1.0)

    assert not store.reads


def test_a_record_that_the_watcher_followed_is_copied_at_once(host, store):
    host.later()
    bucket_history.publish(store, 3)
    record = bucket_history.promote(store, 3)
    host.alias_state.save_follower_state(FollowerState(last=record))

    history = host.later(1.0)

    assert history.records[0] == record
    assert history.versions[0].version == THIRD
    # A new record is no reason to list versions.
    assert store.reads[keys.versions(MODEL)] == 1


def test_the_copy_survives_an_outage_and_a_restart(host, store, tmp_path):
    before = host.later()
    store.error = OUTAGE

    # Compared as written: a metric that is not a number equals nothing, not even itself.
    for history in (host.later(), Host(store, tmp_path).later(0)):
        assert history.model_dump_json() == before.model_dump_json()

    store.error = None
    bucket_history.publish(store, 3)
    assert [version.version for version in host.later().versions] == [THIRD, SECOND, FIRST]


def test_decisions_are_looked_for_until_they_exist(host, store):
    bucket_history.publish(store, 3, approved=None)
    assert host.later().versions[0].decision is None

    registry(store, MODEL).decisions.decide(THIRD, "rejected", Actor("bob", "no need"))

    decision = host.later().versions[0].decision
    assert decision is not None
    assert (decision.verdict, decision.by) == ("rejected", "bob")


def test_the_history_of_a_replaced_store_replaces_the_copy(host, tmp_path):
    host.later()
    other = Counting()
    for number in (3, 4):
        bucket_history.publish(other, number)
        bucket_history.promote(other, number)

    history = Host(other, tmp_path).later(0)

    fourth = bundles.version_name(4)
    assert [record.version for record in history.records] == [fourth, THIRD]
    assert [version.version for version in history.versions] == [fourth, THIRD]


def test_incomplete_and_damaged_versions_are_left_out(host, store):
    prefix = keys.versions(MODEL)
    store.create(f"{prefix}/{bundles.version_name(8)}/network.keras", b"its manifest is to come")
    store.create(f"{prefix}/{bundles.version_name(9)}/manifest.json", b"no manifest")

    assert [version.version for version in host.later().versions] == [SECOND, FIRST]
    store.reads.clear()
    host.later()
    assert store.reads[f"{prefix}/{bundles.version_name(9)}/manifest.json"] == 0


def test_a_damaged_version_is_told_apart_from_the_others(host, store):
    ninth = bundles.version_name(9)
    store.create(keys.manifest(MODEL, ninth), b"no manifest")

    history = host.later()

    assert [(damaged.version, "manifest" in damaged.error) for damaged in history.unreadable] == [
        (ninth, True)
    ]


def test_a_damaged_decision_hides_no_other_version(host, store):
    store._objects[keys.decision(MODEL, SECOND)] = b"{}"

    second, first = host.later().versions

    assert (second.version, second.decision) == (SECOND, None)
    assert first.decision is not None


def test_a_damaged_report_hides_only_itself(host, store):
    store._objects[keys.version_file(MODEL, SECOND, "report.html")] += b"more"

    second, first = host.later().versions

    assert (second.version, second.report, first.report) == (SECOND, False, True)


def test_a_damaged_record_hides_no_version(host, store):
    store.create(keys.alias_record(MODEL, "challenger", 1), b"{}")

    assert [version.version for version in host.later().versions] == [SECOND, FIRST]


def test_the_copy_is_bounded(store, tmp_path):
    log = alias_log(store, MODEL)
    versions = [FIRST, SECOND]
    for turn in range(REMEMBERED_RECORDS + 5):
        log.append(versions[turn % 2], expected=versions[(turn + 1) % 2], actor=Actor("a test"))
    for number in range(10, 12 + REMEMBERED_VERSIONS):
        files = {"predictor.tflite": b"small"}
        bundles.publish(store, number, files)

    store.reads.clear()

    history = Host(store, tmp_path).later()

    read = [key for key in store.reads if keys.alias(MODEL, "champion") + "/" in key]
    # The first, the end, what would follow it, and those that are remembered.
    assert len(read) <= REMEMBERED_RECORDS + 3
    assert len(history.records) == REMEMBERED_RECORDS
    assert history.records[0].sequence == REMEMBERED_RECORDS + 7
    assert len(history.versions) == REMEMBERED_VERSIONS + 2


def test_a_file_of_another_release_is_written_anew(host, tmp_path):
    (tmp_path / "history.json").write_text('{"records": 7}')
    assert host.history.read() == DeploymentHistory()
    assert len(host.later().records) == 2


def write(store: Counting, number: int, sequence: int, at: datetime) -> None:
    """A record by a writer whose clock says `at`."""
    made = AliasRecord(
        model=MODEL, alias="champion", sequence=sequence, version=bundles.version_name(number),
        previous=None, action="promoted", by="a test", reason="", at=at,
    )  # fmt: skip
    key = keys.alias_record(MODEL, "champion", sequence)
    store.create(key, made.signed_by(SIGNER, key).encoded())


def test_records_keep_the_order_of_their_log_whatever_their_clocks(host, store):
    # Given a writer whose clock is a day behind.
    now = datetime.now(UTC)
    write(store, 1, 3, now - timedelta(days=1))

    history = [[record.sequence for record in host.later().records] for _ in range(3)]
    write(store, 2, 4, now)
    history.append([record.sequence for record in host.later().records])

    assert history == [[3, 2, 1]] * 3 + [[4, 3, 2, 1]]


def test_duplicate_records_in_the_copy_are_removed(host, store):
    Promotions(registry(store, MODEL)).roll_back(
        expected=SECOND, to=None, actor=Actor("ada", "it was worse")
    )
    third, second, first = host.later().records
    host.history.write(DeploymentHistory(records=(second, third, third, first)))

    assert host.later().records == (third, second, first)
