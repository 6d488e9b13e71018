"""A host follows an alias record only if a key with that right signed it and the decision."""

import shutil

import pytest

from overnight.serving.host.alias_state import FollowerState
from overnight.store.objects import keys
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenges import Challenges, Withdrawal
from overnight.store.registry.endorsement import endorse
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import TRAINING, PublicKey, Trust
from tests.support.serving import bundles
from tests.support.serving.challenges import SHADOW
from tests.support.serving.stepped_host import OUTAGE, Flaky, answers, challenge, settle
from tests.support.signing_keys import named, registry, signer

ONE, TWO = bundles.version_name(1), bundles.version_name(2)
GATES, PEOPLE, SERVING = signer("gates"), signer("people"), signer("serving")
TRUST = Trust(
    [
        PublicKey("training", GATES.public_key, TRAINING),
        named(PEOPLE, "people", "decisions", "aliases"),
        named(SERVING, "serving", "withdrawals"),
    ]
)


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@pytest.fixture
def agent(worker, bucket):
    """A host that answers with version 1, which gates approved and promoted."""
    publish(bucket, 1)
    Promotions(registry(bucket, trust=TRUST, by=GATES)).promote(
        ONE, expected=None, actor=Actor("gates")
    )
    settle(agent := worker(trust=TRUST))
    assert answers(agent) == ONE
    return agent


def publish(bucket: Flaky, number: int, approval: str = "automatic", verdict: str = "approved"):
    """Publish a version as training does; gates decide about it, unless it waits for a person."""
    files = bundles.files(number)
    made = bundles.manifest(number, files).model_copy(update={"approval": approval})
    gates = registry(bucket, trust=TRUST, by=GATES)
    gates.publish(made, files, GATES)
    if approval == "automatic":
        gates.decisions.decide(made.version, verdict, Actor("gates"))
    return made


def planted(bucket: Flaky, version: str, by=None, action: str = "promoted") -> AliasRecord:
    """Write a record past all rules, as anybody with the credentials can."""
    before = AliasLog(bucket, bundles.MODEL).at(1)
    assert before is not None
    changed = {"sequence": 2, "version": version, "previous": ONE, "action": action, "id": "x"}
    record, key = before.model_copy(update=changed | {"signed": None}), record_key(2)
    record = record.signed_by(by, key) if by else record
    bucket.create(key, record.encoded())
    return record


def record_key(sequence: int) -> str:
    return keys.alias_record(bundles.MODEL, "champion", sequence)


def reason(bucket: Flaky) -> str:
    (acknowledgement,) = AliasLog(bucket, bundles.MODEL).acknowledgements(2)
    assert not acknowledgement.serving
    return acknowledgement.reason


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (None, "it is not signed"),
        (signer("a stranger"), "which is not trusted here or was revoked"),
        (SERVING, "which may sign withdrawals only"),
    ],
    ids=["nobody", "a stranger", "serving"],
)
def test_a_record_by_somebody_who_may_not_promote_is_refused_and_the_next_is_followed(
    agent, bucket, by, words
):
    # Given another approved version, and a record that names it.
    publish(bucket, 2), publish(bucket, 3)
    planted(bucket, TWO, by)
    settle(agent)

    # Then the host answers as before, and says which key it was and what to do.
    assert answers(agent) == ONE
    assert words in reason(bucket)
    assert "overnight keys sign digits" in reason(bucket)

    # When a version is promoted as ever, then it is followed.
    promotions = Promotions(registry(bucket, trust=TRUST, by=GATES))
    promotions.promote(bundles.version_name(3), expected=ONE, actor=Actor("gates"))
    settle(agent)
    assert answers(agent) == bundles.version_name(3)


def test_a_rejected_version_is_never_served_even_by_a_signed_record(agent, bucket):
    publish(bucket, 2, verdict="rejected")
    planted(bucket, TWO, PEOPLE)
    settle(agent)

    assert answers(agent) == ONE
    assert "was rejected by gates" in reason(bucket)


def test_a_version_that_nobody_decided_about_is_served_once_somebody_approved_it(agent, bucket):
    publish(bucket, 2, approval="manual")
    planted(bucket, TWO, PEOPLE)
    settle(agent)
    assert answers(agent) == ONE
    assert "nobody has decided about it" in reason(bucket)

    registry(bucket, trust=TRUST, by=PEOPLE).decisions.decide(TWO, "approved", Actor("ada"))
    for _ in range(10):
        agent.slots.find(bundles.MODEL).shared.request_refresh()
        settle(agent, ticks=10)

    assert answers(agent) == TWO


def test_a_forged_approval_is_none(agent, bucket):
    # Given a version that waits for a person, and approvals that none with that right signed.
    publish(bucket, 2, approval="manual")
    ModelRegistry(bucket, bundles.MODEL).decisions.decide(TWO, "approved", Actor("a forger"))
    planted(bucket, TWO, PEOPLE)
    settle(agent)

    assert answers(agent) == ONE
    assert "expected it to be signed with the right decisions" in reason(bucket)


def test_the_key_of_training_promotes_no_version_that_waited_for_a_person(agent, bucket):
    publish(bucket, 2, approval="manual")
    registry(bucket, trust=TRUST, by=PEOPLE).decisions.decide(TWO, "approved", Actor("ada"))
    planted(bucket, TWO, GATES)
    settle(agent)

    assert answers(agent) == ONE
    assert "awaits a person's approval" in reason(bucket)


def test_training_rolls_back_to_a_version_that_a_person_approved(agent, bucket):
    publish(bucket, 2, approval="manual")
    registry(bucket, trust=TRUST, by=PEOPLE).decisions.decide(TWO, "approved", Actor("ada"))
    planted(bucket, TWO, GATES, action="rolled back")
    settle(agent)

    assert answers(agent) == TWO


def test_a_record_that_is_removed_again_leaves_no_trace(agent, bucket):
    # Given a host that has seen, and not followed, a record without a signature.
    publish(bucket, 2)
    planted(bucket, TWO)
    settle(agent)

    # When it is removed with the store's own tools, and another is written in its place.
    del bucket._objects[record_key(2)]
    Promotions(registry(bucket, trust=TRUST, by=GATES)).promote(
        TWO, expected=ONE, actor=Actor("gates")
    )
    for _ in range(10):
        agent.slots.find(bundles.MODEL).shared.request_refresh()
        settle(agent, ticks=10)

    # Then the log is followed as ever.
    assert answers(agent) == TWO
    assert agent.status.follower_state(bundles.MODEL).sync_error == ""


def test_a_new_host_serves_the_last_record_that_counts(agent, worker, bucket, tmp_path):
    publish(bucket, 2)
    planted(bucket, TWO)
    agent.stop()
    shutil.rmtree(tmp_path / "models"), shutil.rmtree(tmp_path / "cache")

    settle(again := worker(trust=TRUST))

    assert answers(again) == ONE


def test_a_stopped_record_in_the_log_of_a_champion_stops_nothing(agent, bucket):
    planted(bucket, ONE, PEOPLE, action="stopped")
    settle(agent)

    assert answers(agent) == ONE
    assert "as the action of a champion" in agent.status.follower_state(bundles.MODEL).sync_error


def test_a_host_that_starts_during_an_outage_verifies_the_decision_that_it_kept(
    agent, worker, bucket, tmp_path
):
    agent.stop()
    bucket.error = OUTAGE
    settle(again := worker(trust=TRUST))
    assert answers(again) == ONE
    again.stop()

    # When the decision on the disk is another's, then nothing answers by it.
    kept = tmp_path / "cache" / bundles.MODEL / ONE / "decision.json"
    kept.write_bytes(kept.read_bytes().replace(b'"gates"', b'"nobody"'))
    settle(third := worker(trust=TRUST))
    assert not third.slots.ready


def _unsigned_release(bucket: Flaky) -> AliasLog:
    """A champion as an earlier release left it: the version is signed, and nothing else."""
    files = bundles.files(1)
    made: Manifest = bundles.manifest(1, files)
    old = ModelRegistry(bucket, bundles.MODEL)
    old.publish(made, files, GATES)
    old.decisions.decide(ONE, "approved", Actor("gates"))
    Promotions(old).promote(ONE, expected=None, actor=Actor("gates"))
    return old.champion


def test_a_new_host_follows_what_an_earlier_release_wrote_once_it_is_signed(worker, bucket):
    _unsigned_release(bucket)
    agent = worker(trust=TRUST)
    settle(agent)
    assert not agent.slots.ready

    list(endorse(registry(bucket, trust=TRUST, by=PEOPLE), PEOPLE, confirmed=True))
    for _ in range(10):
        agent.slots.find(bundles.MODEL).shared.request_refresh()
        settle(agent, ticks=10)

    assert answers(agent) == ONE


def test_without_a_confirmation_nothing_unsigned_is_signed(bucket):
    _unsigned_release(bucket)

    lines = list(endorse(registry(bucket, trust=TRUST, by=PEOPLE), PEOPLE, confirmed=False))

    assert len(lines) == 2
    assert all(line.startswith("not signed: ") for line in lines)


def test_a_host_that_is_upgraded_first_continues_with_what_it_served(
    agent, worker, bucket, tmp_path
):
    # Given a host of an earlier release: it kept no decision, and its record is not signed.
    agent.stop()
    del bucket._objects[record_key(1)]
    del bucket._objects[keys.decision(bundles.MODEL, ONE)]
    old = ModelRegistry(bucket, bundles.MODEL)
    old.decisions.decide(ONE, "approved", Actor("gates"))
    Promotions(old).promote(ONE, expected=None, actor=Actor("gates"))
    record = old.champion.at(1)
    assert record is not None
    for name in ("decision.json", "decision-signature.json"):
        (tmp_path / "cache" / bundles.MODEL / ONE / name).unlink()
    folder = tmp_path / "models" / bundles.MODEL
    for proposal in (folder / "proposals").iterdir():
        proposal.write_text(record.model_dump_json())
    (folder / "known.json").write_text(FollowerState(last=record).model_dump_json())

    # When it starts again with this release, then it answers, with the store and without it.
    for error in (None, OUTAGE):
        bucket.error = error
        settle(again := worker(trust=TRUST))
        assert answers(again) == ONE
        again.stop()


def test_a_withdrawal_that_serving_did_not_sign_ends_no_challenge(hosts, challengers, bucket):
    # Given a shadow, and a withdrawal by somebody without a key.
    record = challenge(challengers, 2, SHADOW)
    settle(*hosts)
    forged = Withdrawal(replica="nowhere", version=TWO, reason="forged")
    Challenges(bucket, bundles.MODEL).withdraw(record, forged)
    settle(*hosts)

    assert all(agent.challengers[bundles.MODEL].slot.shared.current for agent in hosts)
