"""Versions that must not answer: refused with a reason, while the old one goes on."""

import pytest

from overnight.serving.errors import NotServed
from overnight.store.objects import keys
from tests.support.serving import bundles
from tests.support.serving.stepped_host import BLANK, Flaky, answers, promote, settle
from tests.support.signing_keys import SIGNER


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


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


def _golden_of_another_shape(number):
    pictures = bundles.IMAGES[:, :5, :5]
    answers = bundles.probabilities(number)
    return bundles.files(number) | {"golden.npz": bundles.archive(pictures, answers)}


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (_truncated, "LiteRT cannot run it"),
        (_other_answers, "golden examples differ from training"),
        (_no_network, "predictor.tflite"),
        (_not_golden, "not a set of golden examples"),
        (_golden_of_another_shape, "its golden examples cannot be run"),
    ],
)
def test_a_version_that_fails_is_refused_with_its_reason_and_the_old_one_stays(
    worker, bucket, log, bundle, reason
):
    # Given a host on version 1.
    bundles.publish(bucket, 1)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    # When version 2 is published whole, and is bad.
    bundles.publish(bucket, 2, bundle(2))
    record = promote(log, 2)
    settle(leader, mate)

    # Then the old one answers, and the reason is in the store and in the status.
    assert answers(leader) == answers(mate) == bundles.version_name(1)
    assert leader.slots.ready
    (acknowledgement,) = log.acknowledgements(record.sequence)
    assert not acknowledgement.serving
    assert reason in acknowledgement.reason
    assert [refusal.version for refusal in mate.status.follower_state(bundles.MODEL).refused] == [
        record.version
    ]

    # And the next good one is followed.
    bundles.publish(bucket, 3)
    promote(log, 3)
    settle(leader, mate)
    assert answers(leader) == answers(mate) == bundles.version_name(3)


def test_a_version_without_a_manifest_is_refused(worker, bucket, log):
    bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker()
    settle(agent)

    record = promote(log, 2)
    settle(agent)

    (acknowledgement,) = log.acknowledgements(record.sequence)
    assert not acknowledgement.serving
    assert "no version" in acknowledgement.reason
    assert answers(agent) == bundles.version_name(1)


def test_a_record_that_names_no_possible_version_is_skipped_and_told(worker, bucket, log):
    for number in (1, 2):
        bundles.publish(bucket, number)
    promote(log, 1)
    agent = worker()
    settle(agent)

    key = keys.alias_record(bundles.MODEL, "champion", 2)
    slip = log.at(1).model_copy(update={"sequence": 2, "version": "../latest"})
    bucket.create(key, slip.signed_by(SIGNER, key).encoded())
    settle(agent)
    assert answers(agent) == bundles.version_name(1)
    assert "expected names of versions" in agent.status.follower_state(bundles.MODEL).sync_error

    # When the object is removed, or the next record is written, the log is followed as ever.
    del bucket._objects[key]
    promote(log, 2)
    for _ in range(10):
        agent.slots.find(bundles.MODEL).shared.request_refresh()
        settle(agent, ticks=10)
    assert answers(agent) == bundles.version_name(2)
    assert agent.status.follower_state(bundles.MODEL).sync_error == ""


@pytest.mark.parametrize(
    ("kept", "why"), [(-2, "sha256"), (-1, "expected at most"), (-9, "sha256")]
)
def test_damaged_bytes_in_the_store_never_reach_the_runtime(worker, bucket, log, kept, why):
    version = bundles.publish(bucket, 1)
    key = f"models/digits/versions/{version}/predictor.tflite"
    bucket._objects[key] = bucket._objects[key][:kept] + b"\x00\x01"
    record = promote(log, 1)
    agent = worker()

    settle(agent)

    (acknowledgement,) = log.acknowledgements(record.sequence)
    assert why in acknowledgement.reason
    assert not agent.slots.ready
    with pytest.raises(NotServed, match="no verified version yet"):
        answers(agent)
