"""Promotions in a row under load: no request fails or is answered by an older version."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from overnight.serving.grpc.messages import message
from overnight.store.registry.alias_log import AliasLog
from tests.support.serving import bundles
from tests.support.serving.promotion_load import (
    REQUESTS_PER_SECOND,
    Load,
    by_grpc,
    by_http,
    check,
    own_channel,
    promote,
    promote_steadily,
)
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

LOAD_SECONDS = float(os.environ.get("OVERNIGHT_TEST_LOAD_SECONDS", "20"))
SWAPS = int(os.environ.get("OVERNIGHT_TEST_SWAPS", "5"))
PROMOTIONS = 10
HEALTH_REQUEST, HEALTH_RESPONSE = (
    message(f"grpc.health.v1.HealthCheck{kind}") for kind in ("Request", "Response")
)
SERVING, NOT_SERVING = 1, 2

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300 + 15 * SWAPS)]


@contextmanager
def _following(
    bucket, address, tmp_path, *, count: int, **settings: str
) -> Iterator[tuple[Serving, AliasLog]]:
    """Two workers that answer with version 0, and a store with `count` more."""
    log = alias_log(bucket, bundles.MODEL)
    for number in range(count + 1):
        bundles.publish(bucket, number)
    chosen = follow_settings(address, **settings)
    with run_serving(place=tmp_path, grpc=True, **chosen) as serving:
        promote(log, 0)
        until(serving.is_ready, what="serving is ready")
        yield serving, log


def test_ten_promotions_under_load_fail_no_request(bucket, address, tmp_path):
    with (
        _following(bucket, address, tmp_path, count=PROMOTIONS) as (serving, log),
        Load(serving, by_http) as load,
    ):
        acknowledged = promote_steadily(log, load, PROMOTIONS, seconds=LOAD_SECONDS)

    assert len(load.answers) > LOAD_SECONDS * REQUESTS_PER_SECOND * 0.2
    check(load, acknowledged)


def test_promotions_under_load_over_grpc_fail_no_call(bucket, address, tmp_path):
    with _following(bucket, address, tmp_path, count=SWAPS) as (serving, log):
        with Load(serving, by_grpc) as load:
            acknowledged = promote_steadily(log, load, SWAPS, seconds=0)
        # One worker knows the counts of another a little later.
        until(
            lambda: sum(_counted(serving).values()) >= len(load.answers),
            what="all answers are counted",
        )
        counted = _counted(serving)

    check(load, acknowledged)
    assert all('status="200"' in series for series in counted)


def _counted(serving: Serving) -> dict[str, float]:
    """The requests over gRPC by series, as the host counts them."""
    lines = serving.request("GET", "/metrics")[2].decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if 'protocol="v2_grpc"' in line]
    return {series: float(value) for series, value in pairs if "requests_total" in series}


def test_a_server_that_drains_says_so_and_answers_calls_meanwhile(bucket, address, tmp_path):
    request = HEALTH_REQUEST()
    with _following(bucket, address, tmp_path, count=0, drain_seconds="30") as (serving, _):
        with own_channel(serving.grpc_port) as channel, Load(serving, by_grpc) as load:
            watch = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                HEALTH_REQUEST.SerializeToString,
                HEALTH_RESPONSE.FromString,
            )(request, timeout=120)
            assert next(watch).status == SERVING
            until(lambda: len(load.answers) > 20, what="answers before the drain")

            # When it is asked to stop.
            serving.process.terminate()

            assert next(watch).status == NOT_SERVING
            before = len(load.answers)
            until(lambda: len(load.answers) > before + 20, what="answers within the drain")
        # Nobody waits for the rest of the drain.
        serving.process.terminate()
        serving.process.wait(60)

    assert not load.failures
