"""Comparisons of champion and challenger: counted, bounded, and logged with both answers."""

import weakref

import numpy as np
import pytest

from overnight.serving.challenger.comparison import QUEUED, QUEUED_BYTES
from overnight.store.registry.challenge_terms import Terms
from tests.support.serving import bundles
from tests.support.serving.challenges import (
    ALWAYS_ZERO,
    CANARY,
    CHALLENGERS_THAT_FAIL,
    NUMBERS,
    PREDICT,
    SHADOW,
    Broken,
    ChallengeSetup,
    Slow,
    ask,
    one,
    plain,
    replace,
)

CHAMPION = bundles.version_name(1)
FOURS = bundles.IMAGES  # the champion's answer to noise


@pytest.mark.parametrize("what", [name for name in CHALLENGERS_THAT_FAIL if "other" not in name])
def test_no_request_fails_because_of_a_shadow(what):
    setup = ChallengeSetup(SHADOW, **CHALLENGERS_THAT_FAIL[what])
    if what == "raises":
        replace(setup, Broken)
    client = setup.client()

    versions = {ask(client, one()).headers["X-Model-Version"] for _ in range(10)}
    setup.settle()

    assert versions == {CHAMPION}
    assert (setup.stats().requests, setup.stats().errors, setup.stats().compared) == (10, 10, 0)


@pytest.mark.parametrize("terms", [SHADOW, CANARY])
def test_answers_are_compared_whichever_version_gave_them(terms, caplog):
    setup = ChallengeSetup(terms, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    client = setup.client()

    with caplog.at_level("INFO", logger="overnight.serving.challenger.counters"):
        response = client.post(PREDICT, json=one(), headers={"X-Request-Id": "a-request"})
        setup.settle()

    assert response.status_code == 200
    tally = setup.stats()
    assert (tally.requests, tally.errors, tally.compared, tally.disagreements) == (1, 0, 1, 1.0)
    (line,) = [record for record in caplog.records if "otherwise" in record.getMessage()]
    assert line.request_id == "a-request"
    assert (np.argmax(line.champion_answer), np.argmax(line.challenger_answer)) == (4, 0)


def test_a_batch_counts_by_the_share_of_its_rows_that_differ():
    # Given a challenger that agrees on blank pictures only.
    setup = ChallengeSetup(SHADOW, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    batch = np.concatenate([np.zeros((3, 28, 28), np.uint8), FOURS[:1]])

    ask(setup.client(), one(batch))
    setup.settle()

    assert (setup.stats().compared, setup.stats().disagreements) == (1, 0.25)


@pytest.mark.parametrize(("tolerance", "differs"), [(0.0001, 1.0), (1.0, 0.0)])
def test_numbers_without_classes_agree_within_the_tolerance(tolerance, differs):
    terms = Terms(mode="shadow", share=1.0, tolerance=tolerance)
    setup = ChallengeSetup(terms, number=8, tensors=NUMBERS, champions=NUMBERS)

    ask(setup.client())
    setup.settle()

    assert (setup.stats().compared, setup.stats().disagreements) == (1, differs)


def test_requests_that_find_the_queue_full_are_dropped_and_counted():
    setup = ChallengeSetup(SHADOW)
    client = setup.client()

    for _ in range(QUEUED + 7):
        assert ask(client).status_code == 200
    setup.settle()

    assert (setup.stats().compared, setup.stats().dropped) == (QUEUED, 7)


def test_large_batches_fill_the_queue_by_their_bytes():
    setup = ChallengeSetup(SHADOW)
    batch = {"image": np.zeros((QUEUED_BYTES // 784 // 3, 28, 28), np.uint8)}

    for _ in range(5):
        setup.router.predict(bundles.MODEL, lambda loaded: loaded.predict(batch, ["probabilities"]))

    assert (setup.comparisons.waiting, setup.stats().dropped) == (3, 2)
    setup.settle()
    setup.router.predict(bundles.MODEL, lambda loaded: loaded.predict(batch, ["probabilities"]))
    assert setup.comparisons.waiting == 1


def test_a_share_of_the_requests_is_shadowed():
    setup = ChallengeSetup(Terms(mode="shadow", share=0.5))
    client = setup.client()

    for _ in range(200):
        ask(client)
    setup.settle()

    # Seven standard deviations: a fair coin fails this once in a million million.
    assert 50 < setup.stats().requests < 150


def test_a_slower_challenger_is_recognised_by_its_cpu_time():
    setup, fair = ChallengeSetup(SHADOW), ChallengeSetup(SHADOW)
    replace(setup, Slow)

    for each in (setup, fair):
        client = each.client()
        for _ in range(120):
            ask(client)
        each.settle()

    assert setup.stats().timed == 30
    assert setup.stats().slowdown > 1.5 * fair.stats().slowdown


def test_a_queued_request_keeps_its_rows_and_not_its_whole_body():
    setup = ChallengeSetup(SHADOW)
    body = np.zeros(10_000_000, np.uint8)
    seen = weakref.ref(body)

    def ask_for_a_row_of(body):
        rows = {"image": body[:784].reshape(1, 28, 28)}
        setup.router.predict(bundles.MODEL, lambda loaded: loaded.predict(rows, ["probabilities"]))

    ask_for_a_row_of(body)
    del body

    assert setup.comparisons.waiting == 1
    assert seen() is None
    setup.settle()
    assert setup.stats().compared == 1
