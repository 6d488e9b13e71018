"""Serving without workers, memory, a writable cache, or clocks that agree."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest

from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from tests.support.faults.tally import TALLY
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.serving.stepped_host import challenge, promote
from tests.support.signing_keys import SIGNER, alias_log
from tests.support.steady_load import steady
from tests.support.stopping import stop_process
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

_MIB = 1 << 20


def answers_with(serving: Serving, number: int) -> bool:
    """Whether a host answers, and with what this version answers."""
    with suppress(OSError):
        status, headers, answer = serving.request(
            "POST", "/v1/models/digits:predict", {"instances": bundles.IMAGES.tolist()}
        )
        if (status, headers.get("x-model-version")) == (200, bundles.version_name(number)):
            assert np.allclose(answer["predictions"], bundles.probabilities(number), atol=1e-6)
            return True
    return False


@pytest.fixture
def log(s3_bucket: S3Bucket) -> AliasLog:
    """Version 1 serves."""
    log = alias_log(s3_bucket, bundles.MODEL)
    bundles.publish(s3_bucket, 1)
    promote(log, 1)
    return log


@pytest.fixture
def host(s3_address: S3Address, log: AliasLog, tmp_path: Path) -> Iterator[Serving]:
    with run_serving(place=tmp_path, **follow_settings(s3_address)) as serving:
        until(lambda: answers_with(serving, 1), what="version 1 answers")
        yield serving


def test_after_all_workers_were_killed_serving_recovers_and_follows_the_log(
    host: Serving, s3_bucket: S3Bucket, log: AliasLog
) -> None:
    until(lambda: len(host.workers()) == 2, what="both workers")
    killed = host.workers()

    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    TALLY.inject("all workers of serving were killed")

    until(lambda: answers_with(host, 1), what="version 1 answers again")
    assert not set(host.workers()) & set(killed)
    bundles.publish(s3_bucket, 2)
    promote(log, 2)
    until(lambda: answers_with(host, 2), what="version 2 answers")


def leader_of(folder: Path, workers: list[int]) -> int:
    """The worker that holds the leader's lock of the host in a folder."""
    (lock,) = folder.rglob("leader.lock")
    inode = str(lock.stat().st_ino)
    entries = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    # Another file system may have this inode, too; and who waits for a lock has a column more.
    held = [entry for entry in entries if "->" not in entry]
    holders = {int(entry[4]) for entry in held if entry[5].split(":")[2] == inode}
    (holder,) = holders & {*workers}
    return holder


def test_a_worker_that_hangs_is_replaced_and_holds_nothing_up(
    s3_address: S3Address, s3_bucket: S3Bucket, log: AliasLog, tmp_path: Path
) -> None:
    # Given two workers, of which the one that leads stops for good.
    bundles.publish(s3_bucket, 2)
    # Long enough for the other worker to be heard on a busy machine.
    settings = follow_settings(s3_address, serving_silent_seconds="25")
    with run_serving(place=tmp_path, **settings) as serving:
        until(lambda: answers_with(serving, 1), what="version 1 answers")
        until(lambda: len(serving.workers()) == 2, what="both workers")
        hanging = leader_of(tmp_path, serving.workers())
        (other,) = {*serving.workers()} - {hanging}
        os.kill(hanging, signal.SIGSTOP)
        TALLY.inject("a worker of serving hung")

        # Then a promotion is followed all the same.
        promote(log, 2)
        until(lambda: log.acknowledgements(2), seconds=300, what="version 2 is acknowledged")

        # And there are two workers again, which both answer with it.
        until(
            lambda: len(found := serving.workers()) == 2 and hanging not in found,
            what="a worker in its place",
        )
        assert other in serving.workers()
        until(lambda: all(answers_with(serving, 2) for _ in range(10)), what="version 2 answers")


def test_workers_that_keep_dying_end_the_server_so_that_its_supervisor_restarts_it(
    host: Serving,
) -> None:
    until(lambda: len(host.workers()) == 2, what="both workers")
    one, other = host.workers()
    os.kill(one, signal.SIGKILL)
    TALLY.inject("workers of serving were killed twice in a row")

    # Whoever takes its place dies young, as soon as it is seen.
    def has_ended() -> bool:
        if host.process.poll() is not None:
            return True
        for pid in {*host.workers()} - {one, other}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return False

    until(has_ended, what="the server gives up")
    assert host.process.returncode != 0


def test_without_memory_to_load_the_old_version_answers_until_there_is_some(
    host: Serving, s3_bucket: S3Bucket, log: AliasLog
) -> None:
    # Given workers that the kernel gives enough memory to go on, and too little for version 2.
    until(lambda: len(host.workers()) == 2, what="both workers")
    known = host.workers()
    workers = [psutil.Process(pid) for pid in known]
    for worker in workers:
        limit = worker.memory_info().vms + 32 * _MIB
        worker.rlimit(psutil.RLIMIT_AS, (limit, psutil.RLIM_INFINITY))
    bundles.publish(s3_bucket, 2, bundles.greedy_files())
    promote(log, 2)
    TALLY.inject("no memory was left to load a version")

    # Then it is refused and says why, or kills a worker; in any case version 1 answers on.
    refused = until(
        lambda: [word.reason for word in log.acknowledgements(2)] or set(known) - {*host.workers()},
        what="version 2 is refused, or a worker dies of it",
    )
    assert not any(word.serving for word in log.acknowledgements(2))
    reasons = [refusal for refusal in refused if isinstance(refusal, str)]
    assert all("LiteRT cannot run it" in reason for reason in reasons), reasons
    until(lambda: answers_with(host, 1), what="version 1 answers")

    # When there is memory again, what is promoted is followed.
    for worker in workers:
        with suppress(psutil.Error):
            worker.rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    bundles.publish(s3_bucket, 3)
    promote(log, 3)
    until(lambda: answers_with(host, 3), what="version 3 answers")


def test_an_unwritable_cache_delays_only_new_versions(
    host: Serving, s3_bucket: S3Bucket, log: AliasLog, tmp_path: Path
) -> None:
    # Given a cache in which nothing can be kept any more, not even by root.
    (staged,) = [path for path in tmp_path.rglob(bundles.version_name(1)) if path.is_dir()]
    cache = staged.parent
    cache.rename(tmp_path / "away")
    cache.write_text("no folder any more")
    TALLY.inject("the cache could not be written")

    bundles.publish(s3_bucket, 2)
    promote(log, 2)

    until(
        lambda: (
            host.request("GET", "/v2/health/ready")[2]["sync_errors"] or log.acknowledgements(2)
        ),
        what="the trouble is told",
    )
    assert answers_with(host, 1)
    cache.unlink()
    (tmp_path / "away").rename(cache)
    bundles.publish(s3_bucket, 3)
    promote(log, 3)
    until(lambda: answers_with(host, 3), what="version 3 answers")


def test_hosts_with_different_clocks_follow_the_order_of_the_log(
    host: Serving, s3_bucket: S3Bucket, s3_address: S3Address, log: AliasLog, tmp_path: Path
) -> None:
    later = follow_settings(s3_address, replica="another-host")
    with run_serving(place=tmp_path / "other", **later) as other:
        until(lambda: answers_with(other, 1), what="the other host answers")

        # When records come from a clock that is a day ahead and one that is a day behind.
        for number, days in ((2, 1), (3, -1)):
            bundles.publish(s3_bucket, number)
            TALLY.inject("a record came from another clock")
            record = AliasRecord(
                model=bundles.MODEL,
                alias="champion",
                sequence=number,
                version=bundles.version_name(number),
                previous=bundles.version_name(number - 1),
                action="promoted",
                by="a test",
                reason="by another clock",
                at=datetime.now(UTC) + timedelta(days=days),
            )
            key = keys.alias_record(bundles.MODEL, "champion", number)
            s3_bucket.create(key, record.signed_by(SIGNER, key).encoded())

            for serving in (host, other):
                until(
                    lambda serving=serving, number=number: answers_with(serving, number),
                    what=f"version {number} answers",
                )
        until(
            lambda: (
                {word.replica for word in log.acknowledgements(3) if word.serving}
                == {"host-under-test", "another-host"}
            ),
            what="both hosts say so",
        )


def test_a_version_that_kills_its_loader_takes_down_no_worker(
    host: Serving, s3_bucket: S3Bucket, s3_address: S3Address, log: AliasLog, tmp_path: Path
) -> None:
    # Given clients, and signed and approved versions that crash the runtime.
    until(lambda: len(host.workers()) == 2, what="both workers")
    workers = host.workers()
    for number in (2, 3):
        bundles.publish(s3_bucket, number, bundles.crashing_files(number))
    bundles.publish(s3_bucket, 4)
    challengers = alias_log(s3_bucket, bundles.MODEL, CHALLENGER)

    with steady(f"http://127.0.0.1:{host.port}", requests_per_second=20) as load:
        # When one is promoted, and one challenges as a shadow.
        promote(log, 2)
        TALLY.inject("a version crashed what loaded it")
        (refusal,) = until(lambda: log.acknowledgements(2), what="the champion is refused")
        challenge(challengers, 3, Terms(mode="shadow", share=1.0))
        TALLY.inject("a version crashed what loaded it")
        (other,) = until(lambda: challengers.acknowledgements(1), what="the shadow is refused")

        # Then both are refused with the reason, and a good one is followed, with all workers alive.
        for word in (refusal, other):
            assert not word.serving
            assert "SIGSEGV" in word.reason
        promote(log, 4)
        until(lambda: answers_with(host, 4), what="version 4 answers")
        until(lambda: bundles.version_name(4) in load.answers, what="the clients see it")
        assert host.workers() == workers
    assert load.failures == []
    assert set(load.answers) == {bundles.version_name(1), bundles.version_name(4)}

    # And a host that starts again is none the wiser about either.
    stop_process(host.process, seconds=40)
    promote(log, 2)
    with run_serving(place=tmp_path, **follow_settings(s3_address)) as again:
        until(lambda: answers_with(again, 4), what="version 4 answers after a restart")
        until(lambda: log.acknowledgements(4), what="it is refused again")
        assert answers_with(again, 4)
        assert "Unexpected exit" not in again.log.read_text()
