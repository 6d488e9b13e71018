"""When a challenger has to go: a decision that does nothing but decide."""

import math

import pytest

from overnight.serving.telemetry.challenge_stats import (
    MINIMUM_TIMED,
    ChallengeStats,
    reason_to_withdraw,
    slowdown_share,
    total,
)
from overnight.store.registry.challenge_terms import Terms

TERMS = Terms(mode="canary", minimum_requests=100)


def tally(**counts: float) -> ChallengeStats:
    return ChallengeStats.model_validate(
        {"record": "r", "model": "digits", "version": "v", "mode": "canary"} | counts
    )


def timed(slowdown: float, n: int = MINIMUM_TIMED) -> dict[str, float]:
    logs = math.log(slowdown)
    shares = n * slowdown_share(logs, TERMS.maximum_slowdown)
    return {"timed": n, "log_slowdown": n * logs, "slowdown_shares": shares}


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"requests": 99, "errors": 99},
        {"requests": 1_000, "errors": 10},
        {"requests": 1_000, "errors": 15},
        {"requests": 500, "compared": 99, "disagreements": 99},
        {"requests": 500, "compared": 500, "disagreements": 30},
        {"requests": 1_000, "errors": 20},
        {"compared": 500, **timed(1.99, 120)},
        {"compared": 500, **timed(2.1, 120)},
        {"compared": 99, **timed(50)},
        {"compared": 500, **timed(50, MINIMUM_TIMED - 1)},
    ],
    ids=str,
)
def test_a_challenger_within_its_terms_or_not_significantly_beyond_them_stays(fine):
    assert reason_to_withdraw(TERMS, tally(**fine)) is None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"requests": 100, "errors": 100}, "failed on 100 of 100 requests: at most 1.0% is"),
        ({"requests": 1_000, "errors": 30}, "failed on 30 of 1000"),
        ({"compared": 500, "disagreements": 45}, "answered 45 of 500 requests otherwise"),
        ({"compared": 500, "disagreements": 45.5}, "answered 45.5 of 500"),
        ({"compared": 200, **timed(4.2, 50)}, "took 4.20 times the champion's CPU time over 50"),
        ({"compared": 9_000, **timed(2.5, 2_250)}, "took 2.50 times"),
    ],
    ids=str,
)
def test_a_challenger_beyond_its_terms_is_withdrawn_with_the_figures(bad, words):
    reason = reason_to_withdraw(TERMS, tally(**bad))

    assert reason is not None
    assert reason.startswith(words)
    assert "allowed" in reason


@pytest.mark.parametrize("bound", ["maximum_error_share", "maximum_disagreement_share"])
def test_a_bound_of_one_is_never_exceeded(bound):
    worst = {"requests": 500, "errors": 500, "compared": 500, "disagreements": 500}
    other = {"maximum_error_share": 1, "maximum_disagreement_share": 1} | {bound: 0.01}

    assert reason_to_withdraw(TERMS.model_copy(update=other), tally(**worst)) is not None
    both = {"maximum_error_share": 1.0, "maximum_disagreement_share": 1.0}
    assert reason_to_withdraw(TERMS.model_copy(update=both), tally(**worst)) is None


def test_one_outlier_hardly_moves_the_slowdown():
    pairs = [1.0] * 99 + [1_000.0]

    found = tally(timed=100, log_slowdown=sum(map(math.log, pairs))).slowdown

    assert found == pytest.approx(1.072, abs=0.001)
    assert tally().slowdown is None


def test_all_workers_are_summed_and_earlier_challenges_left_out():
    past = tally(requests=7).model_copy(update={"record": "before"})
    each = tally(requests=3, errors=1, disagreements=0.5, log_slowdown=-1.0)

    found = total("r", [each, past, each])

    assert found == tally(requests=6, errors=2, disagreements=1.0, log_slowdown=-2.0)
    assert total("nobody's", [each]) is None
