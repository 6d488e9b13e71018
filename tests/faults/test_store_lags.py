"""Stale listings and clocks that go backwards: no champion moves back and no arrival is missed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overnight.store.datasets.landing import Landing
from overnight.store.errors import PromotionConflict
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.faults.pipeline_processes import check_final_state, start_runner
from tests.support.faults.pipeline_run import (
    DELIVERED_ROWS,
    MODEL,
    PipelineContext,
    digits,
    files_of,
)
from tests.support.serving import bundles
from tests.support.signing_keys import alias_log, registry

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def approve(bucket: S3Bucket, version: str) -> None:
    registry(bucket, MODEL).decisions.decide(version, "approved", Actor("ann", "a test"))


def test_an_arrival_that_is_listed_late_is_ingested_by_a_later_run(
    s3_bucket: S3Bucket, s3_address: S3Address, tmp_path: Path, seed_of: Callable[[str], str]
) -> None:
    context = PipelineContext(s3_address, tmp_path)
    with start_runner(s3_address.endpoint, tmp_path / "log", seed=seed_of("nights")) as runner:
        first = runner.run(context).outcome
        assert runner.run(context).outcome == "UpToDate"

        with runner.proxy.wrong(Fault(FaultKind.STALE_LIST)):
            files = files_of(digits(5))
            Landing(s3_bucket, MODEL).land("late", files, by="ann", at=datetime.now(UTC))
            unseen = runner.run(context).outcome
        assert runner.proxy.injected[FaultKind.STALE_LIST]
        assert [one.name for one in Landing(s3_bucket, MODEL).pending()] == ["late"]

        assert (first, unseen) == ("Promoted", "UpToDate")
        champions = [record.version for record in alias_log(s3_bucket, MODEL).history()]
        assert runner.run(context).outcome == "Promoted"
    check_final_state(
        context, champions, rows=2 * DELIVERED_ROWS, where="after listings that lagged"
    )


def test_stale_listings_never_move_the_champion_back(s3_endpoint: str, s3_bucket: S3Bucket) -> None:
    a, b, c = (bundles.publish(s3_bucket, number) for number in (1, 2, 3))
    for version in (a, b, c):
        approve(s3_bucket, version)
    with FaultProxy(s3_endpoint) as proxy:
        slow = S3Bucket(replace(s3_bucket.address, endpoint=proxy.endpoint))
        Promotions(registry(slow, MODEL)).promote(a, expected=None, actor=Actor("ann"))
        log = alias_log(slow, MODEL)
        assert len(log.history()) == 1

        with proxy.wrong(Fault(FaultKind.STALE_LIST)):
            Promotions(registry(s3_bucket, MODEL)).promote(b, expected=a, actor=Actor("bob"))
            with pytest.raises(PromotionConflict, match=f"found {b}"):
                Promotions(registry(slow, MODEL)).promote(c, expected=a, actor=Actor("ann"))
            Promotions(registry(slow, MODEL)).promote(c, expected=b, actor=Actor("ann"))
            reported = [record.version for record in log.history()]
            back = Promotions(registry(slow, MODEL)).roll_back(
                expected=c, to=None, actor=Actor("ann")
            )

        assert proxy.injected[FaultKind.STALE_LIST]
    assert reported == [a, b, c]
    assert back.version == b


def test_a_clock_that_goes_backwards_never_moves_the_champion_back(s3_bucket: S3Bucket) -> None:
    # Given a version that was made and promoted by a clock a year ahead.
    late, early = bundles.publish(s3_bucket, 2), bundles.publish(s3_bucket, 1)
    for version in (late, early):
        approve(s3_bucket, version)
    log = alias_log(s3_bucket, MODEL)
    ahead = log.append(late, expected=None, actor=Actor("ann", "by a fast clock"))
    assert ahead.at <= datetime.now(UTC) + timedelta(minutes=1)

    Promotions(registry(s3_bucket, MODEL)).promote(
        early, expected=late, actor=Actor("bob", "by a right clock")
    )

    # Then the log's own numbers say what came later, and not names or times.
    assert ModelRegistry(s3_bucket, MODEL).versions() == [early, late]
    current = log.current()
    assert current is not None
    assert (current.sequence, current.version) == (2, early)
    assert (
        Promotions(registry(s3_bucket, MODEL))
        .roll_back(expected=early, to=None, actor=Actor("ann"))
        .version
        == late
    )
