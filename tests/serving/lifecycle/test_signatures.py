"""Versions without a trusted signature, or changed since they were signed, never serve."""

import json
import shutil
from pathlib import Path

import pytest

from overnight.serving.agent import HostAgent
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust
from tests.support.faults.tally import TALLY
from tests.support.limits import LIMIT
from tests.support.serving import bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.serving.stepped_host import Flaky, answers, promote, settle
from tests.support.signing_keys import SIGNER, alias_log, named, signer
from tests.support.waiting import until

OTHER = signer("another")
ONE, TWO = bundles.version_name(1), bundles.version_name(2)


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@pytest.fixture
def log(bucket) -> AliasLog:
    return alias_log(bucket, bundles.MODEL)


def _unsigned(bucket: MemoryBucket) -> None:
    bundles.publish_unsigned(bucket, 2)


def _by_another(bucket: MemoryBucket) -> None:
    bundles.publish(bucket, 2, signer=OTHER)


def _manifest_changed(bucket: MemoryBucket) -> None:
    bundles.publish(bucket, 2)
    changed = bundles.manifest(2, bundles.files(2) | {"golden.npz": bundles.golden(1)})
    bucket._objects[keys.manifest(bundles.MODEL, TWO)] = changed.encoded()


def _file_changed(bucket: MemoryBucket) -> None:
    bundles.publish(bucket, 2)
    key = keys.version_file(bundles.MODEL, TWO, "predictor.tflite")
    bucket._objects[key] = bundles.network(7)


def _file_missing(bucket: MemoryBucket) -> None:
    bundles.publish(bucket, 2)
    del bucket._objects[keys.version_file(bundles.MODEL, TWO, "network.keras")]


def _file_added(bucket: MemoryBucket) -> None:
    bundles.publish(bucket, 2)
    bucket.create(keys.version_file(bundles.MODEL, TWO, "delegate.so"), b"\x7fELF")


def _moved(bucket: MemoryBucket) -> None:
    bundles.publish(bucket, 2)
    for key in list(bucket.keys_below(f"{keys.versions(bundles.MODEL)}/{ONE}")):
        bucket._objects[key.replace(ONE, TWO)] = bucket.read(key, LIMIT)


REFUSALS = [
    (_unsigned, ("it is not signed", f"overnight keys sign digits {TWO}")),
    (_by_another, (f"signed by {OTHER.key_id}", SIGNER.key_id, "overnight keys trust")),
    (_manifest_changed, (SIGNER.key_id, "does not match its current manifest", "sha256")),
    (_file_changed, ("predictor.tflite: expected sha256", "found sha256", "publish")),
    (_file_missing, ("network.keras: expected the published file, found nothing",)),
    (_file_added, ("delegate.so", "added since it was published")),
    (_moved, (f"expected digits {TWO}, found digits {ONE}",)),
]


@pytest.mark.parametrize(
    ("spoil", "expected"), REFUSALS, ids=[spoil.__name__ for spoil, _ in REFUSALS]
)
def test_a_version_that_cannot_be_trusted_is_refused_and_the_old_one_goes_on(
    worker, bucket, log, spoil, expected
):
    bundles.publish(bucket, 1)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)

    spoil(bucket)
    TALLY.inject("a version was spoilt as it is stored")
    record = promote(log, 2)
    settle(leader, mate)

    assert answers(leader) == answers(mate) == ONE
    (acknowledgement,) = log.acknowledgements(record.sequence)
    assert not acknowledgement.serving
    assert all(words in acknowledgement.reason for words in expected), acknowledgement.reason


@pytest.fixture
def trusting(worker, tmp_path):
    """A worker that trusts the keys of a file, and the file."""
    file = tmp_path / "trusted"

    def start(*trusted) -> HostAgent:
        file.write_text("\n".join(key.line for key in trusted))
        return worker(trust=Trust.from_file(file))

    return start, file


def _ring(agent: HostAgent) -> None:
    agent.slots.find(bundles.MODEL).shared.request_refresh()


def test_versions_of_both_keys_answer_while_one_replaces_the_other(bucket, log, trusting):
    start, _ = trusting
    agent = start(named(SIGNER, "old"), named(OTHER, "new"))

    for number, who in ((1, SIGNER), (2, OTHER)):
        bundles.publish(bucket, number, signer=who)
        promote(log, number)
        settle(agent)
        assert answers(agent) == bundles.version_name(number)


def test_a_revoked_key_is_refused_from_then_on(bucket, log, trusting):
    start, file = trusting
    agent = start(named(SIGNER, "new"), named(OTHER, "old"))
    bundles.publish(bucket, 1), bundles.publish(bucket, 2, signer=OTHER)
    promote(log, 1)
    settle(agent)

    file.write_text(named(SIGNER, "new").line)
    promote(log, 2)
    settle(agent)

    assert answers(agent) == ONE
    assert "was revoked" in agent.status.follower_state(bundles.MODEL).refused[-1].reason


def test_what_a_revoked_key_signed_is_not_loaded_from_the_disk_either(bucket, log, trusting):
    start, _ = trusting
    first = start(named(SIGNER))
    bundles.publish(bucket, 1)
    promote(log, 1)
    settle(first)
    first.stop()

    again = start(named(OTHER))
    settle(again)
    assert not again.slots.ready
    (sync_error,) = again.slots.find(bundles.MODEL).refused.values()
    assert f"signed by {SIGNER.key_id}" in sync_error

    # Signed with the key of now, it serves again, with nothing else to do.
    body = ModelRegistry(bucket, bundles.MODEL).manifest_bytes(ONE)
    ModelRegistry(bucket, bundles.MODEL).sign(ONE, body, OTHER)
    ModelRegistry(bucket, bundles.MODEL).decisions.sign(ONE, OTHER)
    again.stop()
    settle(healed := start(named(OTHER)))
    assert answers(healed) == ONE


def test_a_version_that_is_signed_later_is_followed_then(worker, bucket, log):
    bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker()
    settle(agent)
    bundles.publish_unsigned(bucket, 2)
    promote(log, 2)
    settle(agent)
    assert answers(agent) == ONE

    body = ModelRegistry(bucket, bundles.MODEL).manifest_bytes(TWO)
    ModelRegistry(bucket, bundles.MODEL).sign(TWO, body, SIGNER)
    for _ in range(100):
        _ring(agent)
        settle(agent, ticks=3)

    assert answers(agent) == TWO
    assert agent.status.follower_state(bundles.MODEL).refused == ()


@pytest.mark.parametrize("spoilt", ["predictor.tflite", "manifest.json", "signature.json"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_cached_files_are_verified_like_those_in_the_store(
    worker, bucket, log, tmp_path, spoilt, how
):
    bundles.publish(bucket, 1)
    promote(log, 1)
    first = worker()
    settle(first)
    first.stop()
    staged = tmp_path / "cache" / bundles.MODEL / ONE / spoilt
    staged.unlink() if how == "missing" else staged.write_bytes(staged.read_bytes()[:-9] + b"x" * 9)
    TALLY.inject("the cache was damaged")

    agent = worker()
    settle(agent)

    assert answers(agent) == ONE
    assert (staged.parent / "signature.json").read_bytes() == bucket.read(
        keys.signature(bundles.MODEL, ONE, SIGNER.key_id), LIMIT
    )


def test_another_version_in_the_place_of_one_is_not_loaded_from_the_disk(
    worker, bucket, log, tmp_path
):
    for number in (1, 2):
        bundles.publish(bucket, number)
        promote(log, number)
    first = worker()
    settle(first)
    first.stop()
    cache = tmp_path / "cache" / bundles.MODEL
    shutil.rmtree(cache / TWO)
    other = bundles.publish(MemoryBucket(), 3)
    store = MemoryBucket()
    bundles.publish(store, 3)
    first._context.cache.stage(store, promote(alias_log(store), 3))
    (cache / other).rename(cache / TWO)

    agent = worker()
    settle(agent)

    assert answers(agent) == TWO


@pytest.mark.parametrize("then", ["shorter", "rewritten"])
def test_a_log_that_went_back_is_not_followed_but_reported(worker, bucket, log, then):
    # Given a host that answers with version 2, since record 2.
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1), promote(log, 2)
    agent = worker()
    settle(agent)
    agent.stop()

    # When the store holds an earlier state, or somebody wrote the record anew.
    del bucket._objects[keys.alias_record(bundles.MODEL, "champion", 2)]
    if then == "rewritten":
        log.append(ONE, expected=ONE, actor=Actor("an intruder", "to bring an old one back"))
    restarted = worker()
    settle(restarted)

    # Then the last version is served, and the sync error says what to do.
    assert answers(restarted) == TWO
    sync_error = restarted.status.follower_state(bundles.MODEL).sync_error
    assert "the log of digits was rewound: expected record 2" in sync_error
    assert "restore" in sync_error


def test_a_log_that_went_back_and_grew_again_while_followed_is_not_followed(worker, bucket, log):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2), bundles.publish(bucket, 3)
    promote(log, 1), promote(log, 2)
    agent = worker()
    settle(agent)

    del bucket._objects[keys.alias_record(bundles.MODEL, "champion", 2)]
    promote(log, 1), promote(log, 3)
    settle(agent)

    assert answers(agent) == TWO
    assert "rewound" in agent.status.follower_state(bundles.MODEL).sync_error


def test_a_log_that_is_whole_again_is_followed_again(worker, bucket, log):
    bundles.publish(bucket, 1), bundles.publish(bucket, 2), bundles.publish(bucket, 3)
    promote(log, 1), promote(log, 2)
    first = worker()
    settle(first)
    first.stop()
    key = keys.alias_record(bundles.MODEL, "champion", 2)
    kept = bucket._objects.pop(key)
    agent = worker()
    settle(agent)
    assert "rewound" in agent.status.follower_state(bundles.MODEL).sync_error

    bucket.create(key, kept)
    promote(log, 3)
    settle(agent)

    assert answers(agent) == bundles.version_name(3)
    assert agent.status.follower_state(bundles.MODEL).sync_error == ""


@pytest.mark.servers
@pytest.mark.timeout(120)
def test_serving_without_trusted_keys_starts_and_reports_the_remedy(
    s3_address: S3Address, s3_bucket: S3Bucket, tmp_path: Path
):
    # Given a champion, and a host on which no key is trusted.
    bundles.publish(s3_bucket, 1)
    promote(alias_log(s3_bucket, bundles.MODEL), 1)
    trusted = tmp_path / "keys-of-this-host"

    settings = follow_settings(s3_address, trusted_keys_file=str(trusted))
    with run_serving(place=tmp_path / "home", **settings) as serving:
        # Then it lives, is not ready, and reports why.
        def sync_error() -> str:
            answer = serving.request("GET", "/v2/health/ready")[2]
            return json.dumps(answer["sync_errors"]) if isinstance(answer, dict) else ""

        until(
            lambda: _is_live(serving) and "no key is trusted" in sync_error(), what="it is reported"
        )
        assert "overnight keys trust" in sync_error()
        assert not serving.is_ready()
        assert 'overnight_store_errors{model="digits"} 1' in str(
            serving.request("GET", "/metrics")[2]
        )

        # When one is trusted, it serves.
        trusted.write_text(named(SIGNER).line)
        until(serving.is_ready, what="the champion serves")

        # And a version by another key is refused by the process itself.
        bundles.publish(s3_bucket, 2, signer=OTHER)
        log = alias_log(s3_bucket, bundles.MODEL)
        record = promote(log, 2)
        (acknowledgement,) = until(
            lambda: log.acknowledgements(record.sequence), what="it is refused"
        )
        assert f"signed by {OTHER.key_id}" in acknowledgement.reason
        assert serving.version() == ONE


def _is_live(serving) -> bool:
    try:
        return serving.request("GET", "/v2/health/live")[0] == 200
    except OSError:
        return False


def test_a_version_signed_later_is_followed_even_if_the_first_attempt_failed(
    worker, bucket, log, tmp_path
):
    bundles.publish(bucket, 1)
    promote(log, 1)
    agent = worker()
    settle(agent)
    bundles.publish_unsigned(bucket, 2)
    promote(log, 2)
    settle(agent)
    proposals = tmp_path / "models" / bundles.MODEL / "proposals"
    aside = proposals.rename(proposals.with_name("aside"))
    proposals.symlink_to(tmp_path / "nowhere")

    # when it is signed, but nothing can be proposed, and the host starts again after that
    body = ModelRegistry(bucket, bundles.MODEL).manifest_bytes(TWO)
    ModelRegistry(bucket, bundles.MODEL).sign(TWO, body, SIGNER)
    for _ in range(100):
        _ring(agent)
        settle(agent, ticks=3)
    before = answers(agent)
    agent.stop()
    proposals.unlink(), aside.rename(proposals)
    settle(again := worker())
    for _ in range(100):
        _ring(again)
        settle(again, ticks=3)

    assert (before, answers(again)) == (ONE, TWO)
