"""What becomes of comparisons: counted, bounded, and told with both answers."""

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
    Duel,
    Slow,
    ask,
    one,
    plain,
    replace,
)

CHAMPION = bundles.version_name(1)
FOURS = bundles.IMAGES  # the champion's answer to noise


@pytest.mark.parametrize("what", [one for one in CHALLENGERS_THAT_FAIL if "other" not in one])
def test_no_request_fails_because_of_a_shadow(what):
    duel = Duel(SHADOW, **CHALLENGERS_THAT_FAIL[what])
    if what == "raises":
        replace(duel, Broken)
    client = duel.client()

    versions = {ask(client, one()).headers["X-Model-Version"] for _ in range(10)}
    duel.settle()

    assert versions == {CHAMPION}
    assert (duel.tally().requests, duel.tally().errors, duel.tally().compared) == (10, 10, 0)


@pytest.mark.parametrize("terms", [SHADOW, CANARY])
def test_answers_are_compared_whoever_gave_them(terms, caplog):
    duel = Duel(terms, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    client = duel.client()

    with caplog.at_level("INFO", logger="overnight.serving.challenger.counters"):
        response = client.post(PREDICT, json=one(), headers={"X-Request-Id": "who-asked"})
        duel.settle()

    assert response.status_code == 200
    tally = duel.tally()
    assert (tally.requests, tally.errors, tally.compared, tally.disagreements) == (1, 0, 1, 1.0)
    (line,) = [record for record in caplog.records if "otherwise" in record.getMessage()]
    assert line.request_id == "who-asked"
    assert (np.argmax(line.champion_answer), np.argmax(line.challenger_answer)) == (4, 0)


def test_of_a_batch_the_share_of_rows_that_differ_counts():
    # Given a challenger that agrees on blank pictures only.
    duel = Duel(SHADOW, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    batch = np.concatenate([np.zeros((3, 28, 28), np.uint8), FOURS[:1]])

    ask(duel.client(), one(batch))
    duel.settle()

    assert (duel.tally().compared, duel.tally().disagreements) == (1, 0.25)


@pytest.mark.parametrize(("tolerance", "differs"), [(0.0001, 1.0), (1.0, 0.0)])
def test_numbers_that_are_no_classes_agree_within_the_tolerance(tolerance, differs):
    terms = Terms(mode="shadow", share=1.0, tolerance=tolerance)
    duel = Duel(terms, number=8, tensors=NUMBERS, champions=NUMBERS)

    ask(duel.client())
    duel.settle()

    assert (duel.tally().compared, duel.tally().disagreements) == (1, differs)


def test_what_finds_the_queue_full_is_dropped_first_and_counted():
    duel = Duel(SHADOW)
    client = duel.client()

    for _ in range(QUEUED + 7):
        assert ask(client).status_code == 200
    duel.settle()

    assert (duel.tally().compared, duel.tally().dropped) == (QUEUED, 7)


def test_large_batches_fill_the_queue_by_their_bytes():
    duel = Duel(SHADOW)
    batch = {"image": np.zeros((QUEUED_BYTES // 784 // 3, 28, 28), np.uint8)}

    for _ in range(5):
        duel.router.predict(bundles.MODEL, lambda loaded: loaded.predict(batch, ["probabilities"]))

    assert (duel.comparisons.waiting, duel.tally().dropped) == (3, 2)
    duel.settle()
    duel.router.predict(bundles.MODEL, lambda loaded: loaded.predict(batch, ["probabilities"]))
    assert duel.comparisons.waiting == 1


def test_a_share_of_the_requests_is_shadowed():
    duel = Duel(Terms(mode="shadow", share=0.5))
    client = duel.client()

    for _ in range(200):
        ask(client)
    duel.settle()

    # Seven standard deviations: a fair coin fails this once in a million million.
    assert 50 < duel.tally().requests < 150


def test_a_challenger_that_takes_longer_is_known_by_its_cpu_time():
    duel, fair = Duel(SHADOW), Duel(SHADOW)
    replace(duel, Slow)

    for each in (duel, fair):
        client = each.client()
        for _ in range(120):
            ask(client)
        each.settle()

    assert duel.tally().timed == 30
    assert duel.tally().slowdown > 1.5 * fair.tally().slowdown


def test_what_waits_holds_its_rows_and_not_the_body_that_they_came_in():
    duel = Duel(SHADOW)
    body = np.zeros(10_000_000, np.uint8)
    seen = weakref.ref(body)

    def ask_for_a_row_of(body):
        rows = {"image": body[:784].reshape(1, 28, 28)}
        duel.router.predict(bundles.MODEL, lambda loaded: loaded.predict(rows, ["probabilities"]))

    ask_for_a_row_of(body)
    del body

    assert duel.comparisons.waiting == 1
    assert seen() is None
    duel.settle()
    assert duel.tally().compared == 1
