"""Two real workers over a real store: a shadow, then a canary that leaves its bounds."""

import threading

import pytest

from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from tests.support.serving import bundles
from tests.support.serving.challenges import ALWAYS_ZERO
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.serving.stepped_host import challenge
from tests.support.signing_keys import alias_log, challenges
from tests.support.steady_load import steady
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

FIRST, SECOND, THIRD = (bundles.version_name(number) for number in (1, 2, ALWAYS_ZERO))
PREDICT = "/v1/models/digits:predict"
NOISE = {"instances": bundles.IMAGES[:1].tolist()}


def challenge_status(serving: Serving) -> dict | None:
    return serving.request("GET", "/api/models/digits")[2]["challenger"]


def version_for(serving: Serving, client: str) -> str:
    """Over a connection of its own, which may reach either worker."""
    status, headers, _ = serving.request("POST", PREDICT, NOISE, **{"X-Client-Key": client})
    assert status == 200
    return headers["x-model-version"]


def test_with_a_shadow_and_a_canary_no_request_fails(bucket, address, tmp_path):
    champions, challengers = alias_log(bucket, "digits"), alias_log(bucket, "digits", CHALLENGER)
    for number in (1, 2, ALWAYS_ZERO):
        bundles.publish(bucket, number)
    champions.append(FIRST, expected=None, actor=Actor("a test", "the first"))
    with run_serving(place=tmp_path, **follow_settings(address)) as serving:
        until(serving.is_ready, what="serving is ready")

        with steady(f"http://127.0.0.1:{serving.port}", requests_per_second=40) as tally:
            # Given a shadow of everything, compared in both workers.
            challenge(challengers, 2, Terms(mode="shadow", share=1.0))
            until(lambda: bool(challengers.acknowledgements(1)), what="the shadow is loaded")
            until(
                lambda: (
                    request_both_workers(serving) and challenge_status(serving)["compared"] >= 30
                )
            )
            assert set(tally.answers) == {FIRST}
            assert (
                challenge_status(serving)["errors"],
                challenge_status(serving)["withdrawn"],
            ) == (0, None)

            # When it is stopped, and a canary comes that answers otherwise.
            challengers.append(
                SECOND, expected=SECOND, actor=Actor("a test", "enough"), action="stopped"
            )
            until(lambda: challenge_status(serving) is None, what="the shadow is gone")
            record = challenge(
                challengers, ALWAYS_ZERO, Terms(mode="canary", share=0.5, minimum_requests=60)
            )
            until(lambda: bool(challengers.acknowledgements(3)), what="the canary is loaded")
            clients = [f"client-{number}" for number in range(12)]
            first = {client: version_for(serving, client) for client in clients}
            again = {client: version_for(serving, client) for client in clients}
            assert first == again
            assert set(first.values()) == {FIRST, THIRD}

            # Then it is withdrawn, here and in the store, and the champion answers everybody.
            until(
                lambda: (
                    request_both_workers(serving)
                    and challenge_status(serving)["withdrawn"] is not None
                )
            )
            until(
                lambda: challenges(bucket, record.model).withdrawal(record) is not None,
                what="the withdrawal is written",
            )
            assert {version_for(serving, client) for client in clients} == {FIRST}
            assert (
                "otherwise than the champion"
                in challenges(bucket, record.model).withdrawal(record).reason
            )

    assert not tally.failures
    assert "challenge withdrawn" in serving.log.read_text()


def request_both_workers(serving: Serving) -> bool:
    """A few requests at once, so that each worker gets some."""
    keys = [f"somebody-{number}" for number in range(8)]
    threads = [threading.Thread(target=version_for, args=(serving, key)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return True
