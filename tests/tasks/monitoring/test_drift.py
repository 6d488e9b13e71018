"""Drift over days: the declared nights per false alarm hold, and a change is named and dated."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from overnight.store.registry.monitoring import DetectorState, LiveDistance
from overnight.tasks.monitoring.detector import alarmed, start
from overnight.tasks.monitoring.distances import apart_from_reference, e_value
from overnight.tasks.monitoring.drift import drift_update
from overnight.tasks.monitoring.evidence import Observed, advance, changes

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)
NIGHTS = 400


def day_of(ps, kinds=None):
    kinds = kinds or ["inputs"] * len(ps)
    return [
        LiveDistance(
            kind=kind,
            feature=f"f{place}",
            against="training",
            distance=0.1,
            n=100,
            p=p,
            e=None if p is None else e_value(p),
        )
        for place, (p, kind) in enumerate(zip(ps, kinds, strict=True))
    ]


def after_days(days, state=None):
    state = state or start("drift", NIGHTS)
    for number, day in enumerate(days):
        state = drift_update(state, day, FIRST + timedelta(days=number))
    return state


def test_evidence_is_the_sum_of_each_features_recursion():
    rng = np.random.default_rng(1)
    ps = rng.random((30, 3)) ** 2
    kinds = ["inputs", "inputs", "answers"]
    state = after_days([day_of(row, kinds) for row in ps])

    held = [0.0] * 3
    for row in ps:
        for place, (p, stake) in enumerate(zip(row, (1 / 8, 1 / 8, 1 / 4), strict=True)):
            held[place] = (held[place] + stake) * e_value(p)
    assert state.value == pytest.approx(sum(held), rel=1e-9)
    assert state.observations == 30


def test_a_state_that_was_stored_continues():
    rng = np.random.default_rng(2)
    days = [day_of(row) for row in rng.random((20, 4))]
    stored = DetectorState.model_validate_json(after_days(days[:11]).model_dump_json())
    state = stored
    for number, day in enumerate(days[11:], 11):
        state = drift_update(state, day, FIRST + timedelta(days=number))

    assert state.value == pytest.approx(after_days(days).value, rel=1e-12)


def first_alarms(es, stakes):
    """The number of alarms over days, e-values [days, features]; the detector restarts at each."""
    alarms, begin = 0, 0
    while begin < len(es):
        days = np.arange(len(es) - begin)
        observed = [
            Observed(f"f{k}", days, np.log(es[begin:, [k]]), np.zeros(len(days)), stake)
            for k, stake in enumerate(stakes)
        ]
        state = advance(start("drift", NIGHTS), observed, len(days))
        if alarmed(state) is None:
            break
        alarms += 1
        begin += state.details["alarm"]["observation"]
    return alarms


def test_many_days_at_once_are_as_one_by_one():
    ps = np.random.default_rng(2).random((60, 2)) ** 3
    es = np.vectorize(e_value)(ps)
    daily = after_days([day_of(row, ["inputs", "answers"]) for row in ps])

    alarms = first_alarms(es, (0.25, 0.25))

    assert (alarms > 0) == (alarmed(daily) is not None)


def test_400_days_without_drift_give_the_declared_alarms_at_most():
    """Features of one day are as dependent as can be: pairs of them are the same."""
    rng, runs, alarms = np.random.default_rng(3), 300, 0
    for _ in range(runs):
        ps = np.repeat(rng.random((400, 3)), 2, axis=1)
        alarms += first_alarms(np.vectorize(e_value)(ps), (1 / 16,) * 4 + (1 / 4,) * 2)

    # At most one in 400 nights, and two standard errors.
    assert alarms <= runs + 2 * math.sqrt(runs)


def test_counts_against_one_reference_for_400_days_alarm_no_oftener():
    """The reference is small, so that its own chance would make plain tests alarm every day."""
    rng, alarms, runs = np.random.default_rng(4), 0, 4
    for _ in range(runs):
        reference = rng.multinomial(1_000, np.full(10, 0.1))
        es = [
            e_value(apart_from_reference(counts, reference, smallest=0.05).p)
            for counts in rng.multinomial(2_000, np.full(10, 0.1), 400)
        ]
        alarms += first_alarms(np.array(es)[:, None], (0.25,))

    assert alarms <= runs


def test_a_change_is_named_and_dated():
    rng = np.random.default_rng(5)
    days = [day_of([*rng.random(4), 0.9]) for _ in range(20)]
    days += [day_of([*rng.random(4), 1e-4]) for _ in range(6)]

    change = alarmed(after_days(days))

    assert change is not None
    assert change.part == "inputs: f4"
    assert change.since is not None
    assert change.since.date() == (FIRST + timedelta(days=20)).date()


def test_one_extreme_day_suffices():
    state = after_days([day_of([1e-9, 0.5, 0.7])])

    assert alarmed(state) is not None


def test_a_day_with_too_few_rows_leaves_the_evidence_as_it_was():
    before = after_days([day_of([0.01, 0.2])])
    state = drift_update(before, day_of([None, None]), FIRST)

    assert state.value == before.value
    assert state.observations == before.observations + 1
    assert [change.part for change in changes(drift_update(start("drift", 9), []))] == []


def test_a_feature_counts_once_a_day():
    day = day_of([0.5])

    with pytest.raises(ValueError, match="inputs: f0 twice; expected each feature once"):
        drift_update(start("drift", NIGHTS), [*day, *day])
