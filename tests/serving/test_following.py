"""Hosts that follow a store, tick by tick: nothing waits, so nothing here is a matter of luck."""

from collections.abc import Callable

import numpy as np
import pytest

from serving.fleet import Fleet, Following
from store.aliases import AliasLog, AliasRecord
from store.errors import NotServed, StoreDenied, StoreUnavailable
from store.memory import MemoryBucket
from tests.serving import bundles

BLANK = {"image": np.zeros((1, 28, 28), np.uint8)}


class Flaky(MemoryBucket):
    """A bucket that can be cut off, or be closed to writers."""

    error: Exception | None = None
    write_error: Exception | None = None

    def read(self, key: str) -> bytes:
        if self.error:
            raise self.error
        return super().read(key)

    def names_below(self, prefix: str) -> list[str]:
        if self.error:
            raise self.error
        return super().names_below(prefix)

    def create(self, key: str, body: bytes) -> None:
        if error := self.error or self.write_error:
            raise error
        super().create(key, body)


OUTAGE = StoreUnavailable("http://store", "cut off")


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@pytest.fixture
def log(bucket) -> AliasLog:
    return AliasLog(bucket, bundles.MODEL)


@pytest.fixture
def worker(bucket, tmp_path) -> Callable[..., Fleet]:
    """Start a worker of the host; those that a test does not end are ended after it."""
    started: list[Fleet] = []

    def start(models: tuple[str, ...] = ()) -> Fleet:
        following = Following(
            folder=tmp_path,
            models=models,
            replica="host",
            poll_seconds=0.0001,
            threads=1,
            workers=2,
        )
        fleet = Fleet(bucket, following)
        fleet.attend()
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        fleet.stop()


def promote(log: AliasLog, number: int) -> AliasRecord:
    current = log.current()
    return log.append(
        bundles.version_name(number),
        over=current.version if current else None,
        by="a test",
        reason="to see what happens",
    )


def settle(*fleets: Fleet, ticks: int = 30) -> None:
    for _ in range(ticks):
        for fleet in fleets:
            fleet.lead()
            fleet._list_models()
            fleet.attend()


def answers(fleet: Fleet) -> str:
    """The version that answers, provided its answer is that version's own."""
    with fleet.slots.find(bundles.MODEL).lease() as loaded:
        number = int(loaded.version[-12:], 16)
        found = loaded.predictor.answer(BLANK, ["probabilities"])["probabilities"]
        assert np.allclose(found, bundles.probabilities(number, BLANK["image"]), atol=1e-6)
        return loaded.version


def test_a_host_discovers_a_model_answers_and_acknowledges(worker, bucket, log):
    version = bundles.put(bucket, 1)
    record = promote(log, 1)
    fleet = worker()
    assert not fleet.slots.ready

    settle(fleet)

    assert fleet.slots.ready
    assert answers(fleet) == version
    (said,) = log.acknowledgements(record.sequence)
    assert (said.replica, said.version, said.serving) == ("host", version, True)


def test_all_workers_switch_together(worker, bucket, log):
    # Given two workers on version 1.
    old, new = bundles.put(bucket, 1), bundles.put(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When the leader follows to version 2, and its mate is slow to prepare it.
    promote(log, 2)
    for _ in range(20):
        leader.lead()
        leader.attend()
    assert (answers(leader), answers(mate)) == (old, old)

    # Then the mate's readiness lets both switch in the same moment.
    mate.attend()
    assert (answers(leader), answers(mate)) == (old, old)
    leader.lead()
    assert (answers(leader), answers(mate)) == (new, new)


def test_the_old_version_must_have_answered_its_last_request_before_the_new_is_acknowledged(
    worker, bucket, log
):
    bundles.put(bucket, 1), bundles.put(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When a request of the mate is still being answered by version 1 during the switch.
    with mate.slots.find(bundles.MODEL).lease() as lease:
        record = promote(log, 2)
        settle(leader, mate)
        assert answers(mate) == bundles.version_name(2)
        assert lease.version == bundles.version_name(1)
        assert log.acknowledgements(record.sequence) == []

    settle(leader, mate)
    assert [said.serving for said in log.acknowledgements(record.sequence)] == [True]


def test_a_dead_worker_holds_up_nobody_and_a_dead_leader_is_replaced(worker, bucket, log):
    bundles.put(bucket, 1), bundles.put(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When the leader dies with a proposal open: the kernel lets go of its locks.
    promote(log, 2)
    leader.lead()
    leader.lead()
    leader._leadership.give_up()
    leader.presence._lock.close()
    settle(mate)

    assert answers(mate) == bundles.version_name(2)
    assert [said.serving for said in log.acknowledgements(2)] == [True]


def test_a_worker_that_joins_loads_what_the_host_answers_with(worker, bucket, log):
    bundles.put(bucket, 1)
    promote(log, 1)
    settle(worker())

    late = worker()

    assert late.slots.ready
    assert answers(late) == bundles.version_name(1)


def _truncated(number):
    return bundles.files(number) | {"predictor.tflite": bundles.network(number)[:500]}


def _other_answers(number):
    return bundles.files(number) | {
        "golden.npz": bundles.golden(number + 40, images=BLANK["image"])
    }


def _no_network(number):
    return {"golden.npz": bundles.golden(number)}


def _not_golden(number):
    return bundles.files(number) | {"golden.npz": b"not an archive"}


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (_truncated, "LiteRT cannot run it"),
        (_other_answers, "golden examples are answered otherwise"),
        (_no_network, "predictor.tflite"),
        (_not_golden, "not a set of golden examples"),
    ],
)
def test_a_version_that_fails_is_refused_with_its_reason_and_the_old_goes_on(
    worker, bucket, log, bundle, reason
):
    # Given a host on version 1.
    bundles.put(bucket, 1)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When version 2 is published whole, and is bad.
    bundles.put(bucket, 2, bundle(2))
    record = promote(log, 2)
    settle(leader, mate)

    # Then the old one answers, and the store and people are told why.
    assert answers(leader) == answers(mate) == bundles.version_name(1)
    assert leader.slots.ready
    (said,) = log.acknowledgements(record.sequence)
    assert not said.serving
    assert reason in said.reason
    assert [one.version for one in mate.known(bundles.MODEL).refused] == [record.version]

    # And the next good one is taken up.
    bundles.put(bucket, 3)
    promote(log, 3)
    settle(leader, mate)
    assert answers(leader) == answers(mate) == bundles.version_name(3)


def test_a_version_without_a_manifest_is_refused(worker, bucket, log):
    bundles.put(bucket, 1)
    promote(log, 1)
    fleet = worker()
    settle(fleet)

    record = promote(log, 2)
    settle(fleet)

    (said,) = log.acknowledgements(record.sequence)
    assert not said.serving
    assert "no version" in said.reason
    assert answers(fleet) == bundles.version_name(1)


def test_damaged_bytes_in_the_store_never_reach_the_runtime(worker, bucket, log):
    version = bundles.put(bucket, 1)
    key = f"models/digits/versions/{version}/predictor.tflite"
    bucket._objects[key] = bucket._objects[key][:-1] + b"\x00\x01"
    record = promote(log, 1)
    fleet = worker()

    settle(fleet)

    (said,) = log.acknowledgements(record.sequence)
    assert "sha256" in said.reason
    assert not fleet.slots.ready
    with pytest.raises(NotServed, match="no verified version yet"):
        answers(fleet)


def test_the_newest_of_several_records_is_taken_up_and_the_others_are_told(worker, bucket, log):
    for number in (1, 2, 3, 4):
        bundles.put(bucket, number)
    promote(log, 1)
    fleet = worker()
    settle(fleet)

    for number in (2, 3, 4):
        promote(log, number)
    settle(fleet)

    assert answers(fleet) == bundles.version_name(4)
    for sequence in (2, 3):
        (said,) = log.acknowledgements(sequence)
        assert not said.serving
        assert said.reason.startswith("superseded by record 4")


def test_rolling_back_is_one_more_record(worker, bucket, log):
    bundles.put(bucket, 1), bundles.put(bucket, 2)
    fleet = worker()
    for number in (1, 2):
        promote(log, number)
        settle(fleet)

    log.append(
        bundles.version_name(1),
        over=bundles.version_name(2),
        by="a test",
        reason="a change of mind",
        action="rolled back",
    )
    settle(fleet)

    assert answers(fleet) == bundles.version_name(1)


def test_while_the_store_is_down_answering_goes_on_and_a_restart_answers_from_the_cache(
    worker, bucket, log
):
    bundles.put(bucket, 1)
    promote(log, 1)
    fleet = worker()
    settle(fleet)

    bucket.error = OUTAGE
    settle(fleet)
    assert fleet.slots.ready
    assert "does not answer" in fleet.known(bundles.MODEL).trouble

    fleet.stop()
    restarted = worker()
    settle(restarted)
    assert restarted.slots.ready
    assert answers(restarted) == bundles.version_name(1)

    bucket.error = None
    bundles.put(bucket, 2)
    promote(log, 2)
    settle(restarted)
    assert answers(restarted) == bundles.version_name(2)
    assert restarted.known(bundles.MODEL).trouble == ""


@pytest.mark.parametrize("error", [OUTAGE, StoreDenied("http://store", "AccessDenied")])
def test_a_store_that_takes_no_acknowledgements_is_followed_all_the_same(
    worker, bucket, log, error
):
    bundles.put(bucket, 1), bundles.put(bucket, 2)
    promote(log, 1)
    fleet = worker()
    settle(fleet)

    promote(log, 2)
    bucket.write_error = error
    settle(fleet)

    assert answers(fleet) == bundles.version_name(2)


def test_a_damaged_cache_is_thrown_away_and_fetched_again(worker, bucket, log, tmp_path):
    version = bundles.put(bucket, 1)
    promote(log, 1)
    fleet = worker()
    settle(fleet)
    fleet.stop()
    staged = tmp_path / "cache" / "digits" / version / "predictor.tflite"
    staged.write_bytes(staged.read_bytes()[:-4] + b"\xff\xff\xff\xff")

    restarted = worker()

    assert answers(restarted) == version
    assert staged.read_bytes() == bundles.network(1)


def test_the_version_before_can_still_be_asked_for_by_name_and_older_ones_are_freed(
    worker, bucket, log
):
    fleet = worker()
    for number in (1, 2, 3):
        bundles.put(bucket, number)
        promote(log, number)
        settle(fleet)
    slot = fleet.slots.find(bundles.MODEL)

    with slot.lease(bundles.version_name(2)) as loaded:
        assert loaded.version == bundles.version_name(2)
    with pytest.raises(NotServed) as refusal, slot.lease(bundles.version_name(1)):
        pass
    for number in (2, 3):
        assert bundles.version_name(number) in str(refusal.value)


def test_a_configured_model_that_is_not_there_keeps_the_host_unready(worker, bucket, log):
    bundles.put(bucket, 1)
    promote(log, 1)
    fleet = worker(("digits", "sales"))

    settle(fleet)

    assert answers(fleet) == bundles.version_name(1)
    assert not fleet.slots.ready


def test_a_store_that_was_replaced_is_followed_from_its_own_beginning(worker, bucket, log):
    bundles.put(bucket, 1), bundles.put(bucket, 2)
    for number in (1, 2):
        promote(log, number)
    fleet = worker()
    settle(fleet)
    fleet.stop()

    bucket._objects.clear()
    bundles.put(bucket, 5)
    promote(log, 5)
    restarted = worker()
    settle(restarted)

    assert answers(restarted) == bundles.version_name(5)
