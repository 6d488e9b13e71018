"""Garbage collection while others publish, promote, challenge and are killed."""

import json
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from overnight.cli.actions.bucket import gc
from overnight.infra import connections
from overnight.store.errors import CollectedVersion, StoreDenied, UnknownVersion
from overnight.store.maintenance.garbage_collection import collect
from overnight.store.maintenance.retention_plan import Deletion, survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone
from tests.support.crashing_stores import ForwardingBucket, Killed, KillingBucket
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER, TRUST

# Long after everything that these tests write.
NOW = datetime(2100, 1, 1, tzinfo=UTC)
STRICT = Retention(keep=1, days=0)
REPORT = {**FILES, "report.html": b"why"}
OLD, MIDDLE, NEW = (
    f"{NOW - timedelta(days=days):%Y%m%dT%H%M%S}-0123456789ab" for days in (90, 60, 30)
)


def put(bucket: Bucket, version: str) -> None:
    made = manifest(REPORT, version=version)
    ModelRegistry(bucket, made.model).publish(made, REPORT, SIGNER)
    ModelRegistry(bucket, "digits").decisions.decide(version, "approved", Actor("ada", "good"))


def served(bucket: Bucket, *names: str) -> AliasLog:
    log = AliasLog(bucket, "digits")
    for name in names:
        put(bucket, name)
        current = log.current()
        log.append(name, expected=current.version if current else None, actor=Actor("ada", "good"))
    return log


def sweep(bucket: Bucket, retention: Retention = STRICT) -> list[Deletion]:
    plan = survey(bucket, "digits", retention, NOW)
    return collect(bucket, plan, by="ada", on_skip=lambda *_: None)


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.servers)])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return MemoryBucket() if request.param == "memory" else request.getfixturevalue("s3_bucket")


def test_planning_changes_nothing(bucket):
    served(bucket, OLD, NEW)
    before = bucket.sizes_below("models")

    plan = survey(bucket, "digits", STRICT, NOW)

    assert [(deletion.version, {*deletion.files}) for deletion in plan.leaving] == [(OLD, {*FILES})]
    assert plan.size_bytes == sum(map(len, FILES.values()))
    assert bucket.sizes_below("models") == before


def test_a_collected_version_is_still_described_and_never_loaded(bucket):
    served(bucket, OLD, NEW)

    sweep(bucket)

    made = ModelRegistry(bucket, "digits", TRUST).trusted(OLD).manifest
    assert ModelRegistry(bucket, made.model).read_file(made, "report.html") == b"why"
    with pytest.raises(CollectedVersion, match=f"{OLD}: .*collected on .* by ada"):
        ModelRegistry(bucket, made.model).read_file(made, "predictor.tflite")
    with pytest.raises(CollectedVersion):
        ModelRegistry(bucket, made.model).check_nothing_added(made)
    assert ModelRegistry(bucket, "digits").versions() == [OLD, NEW]
    tombstone = ModelRegistry(bucket, "digits").tombstones.find(OLD)
    assert tombstone is not None
    assert (tombstone.was, tombstone.files) == ("published", tuple(sorted(FILES)))


def test_a_collected_version_cannot_be_promoted_or_challenge(bucket):
    log = served(bucket, OLD, MIDDLE, NEW)
    sweep(bucket)

    with pytest.raises(CollectedVersion, match="name a version that is kept"):
        Promotions(ModelRegistry(bucket, "digits")).roll_back(
            expected=NEW, to=OLD, actor=Actor("bob", "why not")
        )
    with pytest.raises(CollectedVersion):
        Promotions(ModelRegistry(bucket, "digits")).promote(
            OLD, expected=NEW, actor=Actor("bob", "why not")
        )
    terms = Terms(mode="shadow")
    with pytest.raises(CollectedVersion):
        Challenges(bucket, "digits").start(OLD, terms=terms, actor=Actor("bob", "why not"))

    assert [record.version for record in log.history()] == [OLD, MIDDLE, NEW]


def test_collecting_again_finds_nothing_to_do(bucket):
    served(bucket, OLD, NEW)

    sweep(bucket)

    assert survey(bucket, "digits", STRICT, NOW).leaving == ()


def test_a_half_written_version_is_deleted_after_its_grace_and_not_before(bucket):
    for name in (OLD, f"{NOW:%Y%m%dT%H%M%S}-0123456789ab"):
        bucket.create(keys.version_file("digits", name, "predictor.tflite"), b"predictor")
    bucket.create(keys.signature("digits", OLD, "0" * 16), b"{}")

    gone = sweep(bucket)

    assert [(deletion.version, {*deletion.files}) for deletion in gone] == [
        (OLD, {"predictor.tflite", "signatures/0000000000000000.json"})
    ]
    below = [key for key in bucket.keys_below("models") if OLD in key]
    assert below == [keys.tombstone("digits", OLD)]
    with pytest.raises(UnknownVersion):
        ModelRegistry(bucket, "digits").manifest(OLD)


def test_publishing_a_version_collected_half_written_fails(bucket):
    bucket.create(keys.version_file("digits", OLD, "golden.npz"), FILES["golden.npz"])
    sweep(bucket)

    with pytest.raises(CollectedVersion, match="overnight retrain digits --force"):
        put(bucket, OLD)

    assert ModelRegistry(bucket, "digits").versions() == []


class Undeletable(ForwardingBucket):
    """A bucket as seen with credentials that may write words and delete nothing."""

    def discard(self, key: str) -> None:
        raise StoreDenied("http://store", "AccessDenied", what=key)


def test_without_permission_to_delete_no_tombstone_is_written():
    bucket = MemoryBucket()
    served(bucket, OLD, NEW)
    before = bucket.keys_below("models")

    with pytest.raises(StoreDenied):
        sweep(Undeletable(bucket))

    assert bucket.keys_below("models") == before


class Between(MemoryBucket):
    """A bucket in which somebody else acts right after one chosen key was written."""

    def __init__(self) -> None:
        super().__init__()
        self.after: dict[str, object] = {}

    def create(self, key: str, body: bytes) -> None:
        super().create(key, body)
        act = self.after.pop(key, None)
        if callable(act):
            act()


def test_a_version_promoted_between_plan_and_tombstone_stays():
    bucket = Between()
    served(bucket, OLD, NEW)
    plan = survey(bucket, "digits", STRICT, NOW)
    Promotions(ModelRegistry(bucket, "digits")).promote(
        OLD, expected=NEW, actor=Actor("bob", "back")
    )

    gone = collect(bucket, plan, by="ada", on_skip=lambda *_: None)

    assert gone == []
    assert ModelRegistry(bucket, "digits").tombstones.revoked(OLD) is not None
    made = ModelRegistry(bucket, "digits", TRUST).trusted(OLD).manifest
    ModelRegistry(bucket, made.model).check_nothing_added(made)
    assert {
        name: ModelRegistry(bucket, made.model).read_file(made, name) for name in made.files
    } == REPORT


def test_a_promotion_concurrent_with_the_tombstone_is_undone_with_an_error():
    bucket = Between()
    log = served(bucket, OLD, NEW)
    # Given a collection between the promotion's record and its last check.
    bucket.after[keys.alias_record("digits", "champion", 3)] = lambda: bucket.create(
        keys.tombstone("digits", OLD),
        Tombstone(
            model="digits", version=OLD, was="published", files=(), size_bytes=0, by="x", reason=""
        ).encoded(),
    )

    with pytest.raises(CollectedVersion):
        Promotions(ModelRegistry(bucket, "digits")).promote(
            OLD, expected=NEW, actor=Actor("bob", "back")
        )

    assert [record.version for record in log.history()] == [OLD, NEW, OLD, NEW]


def test_a_version_published_concurrently_with_the_tombstone_stays_whole():
    bucket = Between()
    bucket.create(keys.version_file("digits", OLD, "golden.npz"), FILES["golden.npz"])
    plan = survey(bucket, "digits", STRICT, NOW)
    put(bucket, OLD)

    assert collect(bucket, plan, by="ada", on_skip=lambda *_: None) == []

    made = ModelRegistry(bucket, "digits", TRUST).trusted(OLD).manifest
    assert {
        name: ModelRegistry(bucket, made.model).read_file(made, name) for name in made.files
    } == REPORT


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("writes", range(5))
def test_killed_at_any_write_the_next_run_finishes_or_revokes(writes, before):
    bucket = MemoryBucket()
    served(bucket, OLD, MIDDLE, NEW)
    fuse = KillingBucket(bucket, writes)
    fuse._fuse._before = before
    plan = survey(bucket, "digits", STRICT, NOW)
    with suppress(Killed):
        collect(fuse, plan, by="ada", on_skip=lambda *_: None)

    # When enough time has passed for the tombstone of the dead run to be old.
    age(bucket)
    sweep(bucket)

    for version in (OLD, MIDDLE):
        left = bucket.keys_below(f"models/digits/versions/{version}")
        assert not any(key.endswith((".npz", ".tflite")) for key in left)
        assert ModelRegistry(bucket, "digits").tombstones.find(version) is not None
    made = ModelRegistry(bucket, "digits").manifest(NEW)
    assert {
        name: ModelRegistry(bucket, made.model).read_file(made, name) for name in made.files
    } == REPORT


def age(bucket: MemoryBucket) -> None:
    """Let what was said so far have been said a day ago."""
    for version in (OLD, MIDDLE):
        key = keys.tombstone("digits", version)
        if (tombstone := ModelRegistry(bucket, "digits").tombstones.find(version)) is not None:
            older = tombstone.model_copy(update={"at": tombstone.at - timedelta(days=1)})
            bucket._objects[key] = older.encoded()


def test_the_tombstone_of_a_dead_run_on_a_champion_is_revoked():
    bucket = MemoryBucket()
    served(bucket, OLD, NEW)
    plan = survey(bucket, "digits", STRICT, NOW)
    Promotions(ModelRegistry(bucket, "digits")).promote(
        OLD, expected=NEW, actor=Actor("bob", "back")
    )
    with pytest.raises(Killed):
        # The first write tests the permission, the second is the tombstone.
        collect(KillingBucket(bucket, 2), plan, by="ada", on_skip=lambda *_: None)
    assert ModelRegistry(bucket, "digits").tombstones.find(OLD) is not None

    sweep(bucket)

    assert ModelRegistry(bucket, "digits").tombstones.find(OLD) is None


def test_the_first_challenger_between_plan_and_tombstone_stays():
    bucket = MemoryBucket()
    served(bucket, OLD, NEW)
    plan = survey(bucket, "digits", STRICT, NOW)
    Challenges(bucket, "digits").start(
        OLD, terms=Terms(mode="shadow"), actor=Actor("bob", "why not")
    )

    assert collect(bucket, plan, by="ada", on_skip=lambda *_: None) == []

    assert ModelRegistry(bucket, "digits").tombstones.revoked(OLD) is not None


class Stale(MemoryBucket):
    """A bucket whose listing of aliases is behind."""

    def names_below(self, prefix: str) -> list[str]:
        return [] if prefix.endswith("/aliases") else super().names_below(prefix)


def test_a_stale_listing_deletes_no_champion():
    bucket = Stale()
    served(bucket, NEW, OLD)

    plan = survey(bucket, "digits", Retention(keep=1, days=0), NOW)

    assert plan.staying[OLD] == "it is champion"


@pytest.mark.parametrize("told_by", ["a decision", "a record", "a score", "a later version"])
def test_a_version_that_lost_its_manifest_stays_for_a_repair(told_by):
    bucket = MemoryBucket()
    served(bucket, NEW)
    bucket.create(keys.version_file("digits", OLD, "golden.npz"), b"golden")
    if told_by == "a decision":
        bucket.create(keys.decision("digits", OLD), b"{}")
    elif told_by == "a record":
        AliasLog(bucket, "digits").append(OLD, expected=NEW, actor=Actor("ada", "good"))
    elif told_by == "a score":
        bucket.create(keys.score("digits", OLD, "monday"), b"{}")
    else:
        later = manifest(REPORT, version=MIDDLE).model_copy(update={"compared_with": OLD})
        ModelRegistry(bucket, later.model).publish(later, REPORT, SIGNER)
    before = bucket.sizes_below(f"models/digits/versions/{OLD}")

    plan = survey(bucket, "digits", STRICT, NOW)
    collect(bucket, plan, by="ada", on_skip=lambda *_: None)

    assert "verify --repair" in plan.staying[OLD]
    assert plan.unread == (OLD,)
    assert bucket.sizes_below(f"models/digits/versions/{OLD}") == before


def test_a_listing_without_the_decision_deletes_no_version_either():
    bucket = MemoryBucket()
    served(bucket, NEW)
    bucket.create(keys.version_file("digits", OLD, "golden.npz"), b"golden")
    plan = survey(bucket, "digits", STRICT, NOW)
    bucket.create(keys.decision("digits", OLD), b"{}")

    assert [deletion.version for deletion in plan.leaving] == [OLD]
    assert collect(bucket, plan, by="ada", on_skip=lambda *_: None) == []


def test_an_unreadable_manifest_keeps_only_its_own_version():
    bucket = MemoryBucket()
    served(bucket, OLD, MIDDLE, NEW)
    bucket._objects[keys.manifest("digits", MIDDLE)] = b"garbled"

    plan = survey(bucket, "digits", STRICT, NOW)

    assert [deletion.version for deletion in plan.leaving] == [OLD]
    assert "cannot be read" in plan.staying[MIDDLE]
    assert plan.unread == (MIDDLE,)


def test_a_foreign_name_among_the_aliases_blocks_nothing():
    bucket = MemoryBucket()
    served(bucket, OLD, MIDDLE, NEW)
    bucket._objects["models/digits/aliases/a b?/00000001.json"] = b"{}"

    assert [deletion.version for deletion in sweep(bucket)] == [OLD, MIDDLE]


def test_an_unreadable_decision_keeps_its_version_and_blocks_no_other():
    bucket = MemoryBucket()
    served(bucket, OLD, MIDDLE, NEW)
    bucket._objects[keys.decision("digits", MIDDLE)] = b"garbled"

    plan = survey(bucket, "digits", STRICT, NOW)

    assert [deletion.version for deletion in plan.leaving] == [OLD]
    assert "decision" in plan.staying[MIDDLE]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_model_with_a_garbled_log_is_skipped_and_others_are_collected(
    as_json, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    bucket, old = MemoryBucket(), "20250101T020000-0123456789ab"
    served(bucket, old, "20250102T020000-0123456789ab")
    key = keys.alias_record("another", "champion", 1)
    bucket.create(key, b"garbled")
    monkeypatch.setattr(connections, "bucket", lambda _settings: bucket)

    with pytest.raises(SystemExit) as left:
        gc.run(None, delete=True, keep=1, days=0, grace_days=2, as_json=as_json)

    output = capsys.readouterr()
    assert left.value.code == 1
    assert ModelRegistry(bucket, "digits").tombstones.find(old) is not None
    assert f"another is skipped: {key}" in (output.err if as_json else output.out)
    assert not as_json or key in json.loads(output.out)["skipped"]["another"]


def test_a_folder_not_named_as_a_version_is_ignored():
    bucket = MemoryBucket()
    served(bucket, OLD, NEW)
    bucket.create("models/digits/versions/20261399T000000-0123456789ab/a.npz", b"x")

    assert [deletion.version for deletion in survey(bucket, "digits", STRICT, NOW).leaving] == [OLD]


def test_the_tombstone_of_a_running_collection_is_not_revoked():
    bucket = Between()
    served(bucket, OLD, MIDDLE, NEW)
    shown = survey(bucket, "digits", STRICT, NOW)
    lenient: list[tuple[str, ...]] = []

    def other_collection() -> None:
        now = datetime.now(UTC)
        lenient.append(survey(bucket, "digits", Retention(keep=10), now).returning)

    # When a collection that keeps more runs between the tombstones and the deletions.
    bucket.after[keys.tombstone("digits", MIDDLE)] = other_collection
    collect(bucket, shown, by="ada", on_skip=lambda *_: None)

    assert lenient == [()]


def test_a_version_kept_by_another_run_after_the_tombstone_stays():
    bucket = Between()
    served(bucket, OLD, NEW)
    plan = survey(bucket, "digits", STRICT, NOW)
    bucket.after[keys.tombstone("digits", OLD)] = lambda: ModelRegistry(
        bucket, "digits"
    ).tombstones.revoke(OLD, "wanted")

    assert collect(bucket, plan, by="ada", on_skip=lambda *_: None) == []

    assert ModelRegistry(bucket, ModelRegistry(bucket, "digits").manifest(OLD).model).read_file(
        ModelRegistry(bucket, "digits").manifest(OLD), "golden.npz"
    )


def test_only_the_plan_that_was_shown_is_carried_out():
    bucket = MemoryBucket()
    served(bucket, OLD, NEW)
    shown = survey(bucket, "digits", STRICT, NOW)
    served(bucket, MIDDLE)

    again = survey(bucket, "digits", STRICT, NOW).within(shown)

    assert [deletion.version for deletion in again.leaving] == [OLD]


def word_of_another(version: str) -> bytes:
    return Tombstone(
        model="digits", version=version, was="published", files=(), size_bytes=0, by="x", reason=""
    ).encoded()


def test_a_promotion_killed_before_its_last_check_checks_when_repeated():
    bucket = MemoryBucket()
    log = served(bucket, OLD, NEW)
    log.append(OLD, expected=NEW, actor=Actor("bob", "back"))
    bucket.create(keys.tombstone("digits", OLD), word_of_another(OLD))

    with pytest.raises(CollectedVersion):
        Promotions(ModelRegistry(bucket, "digits")).promote(
            OLD, expected=NEW, actor=Actor("bob", "back")
        )

    assert log.current().version == NEW


def test_a_challenge_killed_before_its_last_check_checks_when_repeated():
    bucket = MemoryBucket()
    served(bucket, OLD, NEW)
    terms = Terms(mode="shadow")
    Challenges(bucket, "digits").start(OLD, terms=terms, actor=Actor("bob", "why not"))
    bucket.create(keys.tombstone("digits", OLD), word_of_another(OLD))

    with pytest.raises(CollectedVersion):
        Challenges(bucket, "digits").start(OLD, terms=terms, actor=Actor("bob", "why not"))

    assert Challenges(bucket, "digits").current() is None


@pytest.mark.servers
def test_concurrent_promotions_rollbacks_and_publishing_lose_no_champion(s3_bucket):
    """Repeatedly: whoever wins, the champion is whole, and the loser gets an error."""
    lost: list[str] = []
    log = AliasLog(s3_bucket, "digits")
    for number in range(6):
        old, new, late = (f"2026{month}01T00000{number}-0123456789ab" for month in ("05", "06", 10))
        served(s3_bucket, old, new)
        # Given a version whose publishing was interrupted long ago and continues just now.
        s3_bucket.create(keys.version_file("digits", late, "golden.npz"), FILES["golden.npz"])
        plan = survey(s3_bucket, "digits", STRICT, NOW)

        lost += together(
            partial(collect, s3_bucket, plan, by="ada", on_skip=lambda *_: None),
            partial(
                Promotions(ModelRegistry(s3_bucket, "digits")).roll_back,
                expected=new,
                to=old,
                actor=Actor("bob", "back"),
            ),
            partial(put, s3_bucket, late),
        )

        serves = log.current().version
        assert serves in {old, new}
        for version in {serves, late} - set(lost):
            made = ModelRegistry(s3_bucket, "digits", TRUST).trusted(version).manifest
            ModelRegistry(s3_bucket, made.model).check_nothing_added(made)
            assert {
                n: ModelRegistry(s3_bucket, made.model).read_file(made, n) for n in made.files
            } == REPORT
        assert serves == old or old in lost
        if late in lost and ModelRegistry(s3_bucket, "digits").tombstones.find(late) is None:
            # Both backed out: publishing once more completes it.
            put(s3_bucket, late)


def together(*acts) -> list[str]:
    """Run all at the same instant; returns the versions refused as collected."""
    start = threading.Barrier(len(acts))
    lost: list[str] = []
    surprises: list[BaseException] = []

    def run(act) -> None:
        start.wait()
        try:
            act()
        except CollectedVersion as error:
            lost.append(str(error).split()[1].rstrip(":"))
        except BaseException as error:  # noqa: BLE001
            surprises.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert surprises == []
    return lost
