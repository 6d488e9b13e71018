"""The detector of quality: against a plain calculation, at its declared rate, and how soon."""

import json
import math
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.models.reference import LossSummary, Reference
from overnight.models.watching import Watching
from overnight.store.registry.monitoring import DetectorState
from overnight.tasks.monitoring import measure
from overnight.tasks.monitoring.detector import (
    BETS,
    alarmed,
    changes,
    level_of,
    per_unit,
    restarted,
    start,
    update,
)

HOUR = np.timedelta64(1, "h")


def hours(n):
    return np.datetime64("2026-11-01T00:00", "us") + HOUR * np.arange(n)


def plainly(losses, p0, level):
    """M of each wager by its recursion in floats; the mean after each label, and the alarm."""
    held, means = [0.0] * len(BETS), []
    for loss in losses:
        for place, bet in enumerate(BETS):
            p1 = min(bet * p0, p0 + 0.75 * (1 - p0))
            right = (1 - p1) / (1 - p0)
            held[place] = (held[place] + 1) * (right + loss * (p1 / p0 - right))
        means.append(sum(held) / len(held))
    alarm = next((n for n, mean in enumerate(means, 1) if mean >= level), None)
    return means, alarm


def likeliest_change(losses, p0):
    """Over all wagers and places: before which label the likelihood ratio is greatest."""
    best = (-math.inf, None)
    for bet in BETS:
        p1 = min(bet * p0, p0 + 0.75 * (1 - p0))
        logs = [math.log(p1 / p0 if loss else (1 - p1) / (1 - p0)) for loss in losses]
        best = max(best, *((sum(logs[k:]), k) for k in range(len(logs))))
    return best[1]


@pytest.mark.parametrize("p0", [0.006, 0.04, 0.3, 0.9])
def test_evidence_is_that_of_the_plain_recursion(p0):
    losses = np.random.default_rng(1).random(400) < min(2 * p0, 0.95)

    state = update(start("quality", 1_000), losses, p0)

    means, alarm = plainly(losses, p0, 1_000)
    assert state.value == pytest.approx(means[-1], rel=1e-9)
    assert math.exp(state.details["highest_log"]) == pytest.approx(max(means), rel=1e-9)
    assert (state.details["alarm"] or {}).get("observation") == alarm


def test_shares_of_a_day_are_losses_too():
    losses = np.random.default_rng(2).random(50)

    state = update(start("quality", 1_000), losses, 0.4)

    assert state.value == pytest.approx(plainly(losses, 0.4, 1_000)[0][-1], rel=1e-9)


def test_a_change_is_dated_to_the_label_that_makes_it_most_likely():
    losses = np.random.default_rng(3).random(500) < np.where(np.arange(500) < 300, 0.01, 0.2)

    state = update(start("quality", 1e300), losses, 0.02, at=hours(500))

    (change,) = changes(state)
    place = likeliest_change(losses.tolist(), 0.02)
    assert change.since.replace(tzinfo=None) == hours(500)[place].astype(object)
    assert 290 <= place <= 330
    assert change.n == 500 - place
    assert change.mean == pytest.approx(losses[place:].mean())
    assert change.before == pytest.approx(losses[:place].mean())


def test_an_alarm_is_as_it_was_seen_and_stays_though_the_evidence_falls():
    losses = np.concatenate((np.zeros(50), np.ones(10), np.zeros(2_000)))

    state = update(start("quality", 100), losses, 0.02, at=hours(2_060))

    change = alarmed(state)
    assert change is not None
    assert state.value < state.level
    assert change.since.replace(tzinfo=None) == hours(2_060)[50].astype(object)
    assert state.since == change.since
    assert change.mean == 1.0
    assert 50 < state.details["alarm"]["observation"] <= 60
    assert alarmed(restarted(state)) is None
    assert restarted(state).observations == 0


def test_an_alarm_that_lasts_says_how_it_was_raised_and_how_many_are_wrong_by_now():
    bound = LossSummary(slice="", n=1_000, loss=0.01, upper=0.02)
    reference = Reference(version="v1", rows=1, holdout_rows=1, losses=(bound,))
    raised = update(start("quality", 100), np.concatenate((np.zeros(50), np.ones(3))), 0.02)
    later = update(raised, np.array([1.0, 1.0, 0.0]), 0.02)
    days, until = start("drift", 400), datetime(2026, 12, 1, tzinfo=UTC)

    (new,) = measure._alarms(reference, {"quality": raised, "drift": days}, {}, until)
    (old,) = measure._alarms(
        reference, {"quality": later, "drift": days}, {"quality": raised}, until
    )

    seen = re.fullmatch(
        r"100\.0% of (\d) labelled answers wrong, expected at most 2\.0%; by now (\d) of (\d)",
        old.message,
    )
    assert seen is not None, old.message
    assert [int(number) for number in seen.groups()[1:]] == [5, 6]
    assert int(seen[1]) <= 3
    assert (new.first, old.first) == (True, False)


streams = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([0.0, 1.0, 0.25]), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.lists(st.integers(1, n), max_size=5).map(lambda cuts: sorted({*cuts, n})),
    )
)


@given(streams)
@settings(max_examples=60, deadline=None)
def test_batches_and_stored_states_change_nothing(stream):
    losses, members, cuts = np.array(stream[0]), np.array(stream[1]), stream[2]
    slices = {"odd": members % 2 == 1, "large": members >= 2}
    p0 = {"": 0.11, "odd": 0.17, "large": 0.23}
    n, at = len(losses), hours(len(losses))

    def after(bounds):
        state = start("quality", 20)
        for first, last in zip([0, *bounds], bounds, strict=False):
            here = slice(first, last)
            parts = {name: mask[here] for name, mask in slices.items()}
            state = update(state, losses[here], p0, slices=parts, at=at[here], memberships=2)
            # As a monitor record keeps it.
            state = DetectorState.model_validate_json(state.model_dump_json())
        return state

    at_once, by_one, in_parts = after([n]), after(range(1, n + 1)), after(cuts)

    for other in (by_one, in_parts):
        assert other.value == pytest.approx(at_once.value, rel=1e-9)
        assert other.observations == at_once.observations == n
        assert (other.details["alarm"] or {}).get("observation") == (
            at_once.details["alarm"] or {}
        ).get("observation")
        for name, part in at_once.details["parts"].items():
            kept = other.details["parts"][name]
            assert kept["n"] == part["n"]
            assert kept["ratio"] == pytest.approx(part["ratio"], rel=1e-6, abs=1e-9)
            assert kept["log_m"] == pytest.approx(part["log_m"], rel=1e-6, abs=1e-9)


def test_nothing_overflows_and_the_state_stays_small():
    state = start("quality", 1e5)
    for _ in range(5):
        state = update(state, np.ones(200_000, bool), 0.006)
    # As after a thousand million more.
    details = json.loads(json.dumps(state.details, allow_nan=False))
    details["parts"][""] |= {"log_m": [2.7e9] * 5, "ratio": [2.7e9] * 5, "n": 10**9}
    grown = state.model_copy(update={"details": details, "observations": 10**9})

    after = update(grown, np.zeros(10, bool), 0.006)

    assert after.observations == 10**9 + 10
    assert math.isfinite(after.value)
    assert 2.6e9 < after.details["log"] < 2.8e9
    assert len(after.model_dump_json()) < 2_000


def alarms_after(rng, p, p0, level, streams, longest, **more):
    """After how many labels each stream alarms; `longest` where it does not."""
    after = []
    for _ in range(streams):
        losses = rng.random(longest) < p
        slices = {name: share(rng, longest) for name, share in more.items()}
        bounds = {"": p0, **dict.fromkeys(slices, p0)} if slices else p0
        state = update(start("quality", level), losses, bounds, slices=slices)
        after.append((state.details["alarm"] or {"observation": longest})["observation"])
    return np.array(after)


@pytest.mark.parametrize("p0", [0.006, 0.2])
def test_false_alarms_are_as_rare_as_declared(p0):
    level, longest = 300, 6_000
    after = alarms_after(np.random.default_rng(4), p0, p0, level, 200, longest)

    # Cut off at `longest`, the mean is still a lower one; two standard errors are allowed for.
    assert after.mean() + 2 * after.std() / math.sqrt(len(after)) >= level
    assert after.mean() < 40 * level


def test_slices_share_the_declared_rate_of_the_model():
    """Ten slices that overlap, each at its bound: together they alarm no oftener than declared."""
    level, longest = 300, 4_000
    shares = {f"slice {k}": lambda rng, n, k=k: rng.random(n) < 0.05 + 0.05 * k for k in range(10)}
    after = alarms_after(np.random.default_rng(5), 0.05, 0.05, level, 100, longest, **shares)

    assert after.mean() + 2 * after.std() / math.sqrt(len(after)) >= level


@pytest.mark.parametrize(
    ("p0", "true", "median", "streams"),
    [
        (0.006, 0.012, 2_200, 40),
        (0.006, 0.02, 590, 60),
        (0.006, 0.05, 133, 100),
        (0.006, 0.12, 42, 100),
        (0.04, 0.12, 153, 100),
    ],
)
def test_changes_are_noticed_as_soon_as_simulated(p0, true, median, streams):
    after = alarms_after(np.random.default_rng(6), true, p0, 100_000, streams, 20 * median)

    assert 0.7 * median <= np.median(after) <= 1.3 * median


def test_a_slice_that_fails_is_named_while_the_whole_is_sound():
    rng, n = np.random.default_rng(7), 4_000
    nine = rng.random(n) < 0.1
    losses = rng.random(n) < np.where(nine, 0.08, 0.004)

    bounds = {"": 0.02, "digit 9": 0.02, "digit 1": 0.02}
    state = update(
        start("quality", 100_000), losses, bounds, slices={"digit 9": nine, "digit 1": ~nine}
    )

    change = alarmed(state)
    assert change is not None
    assert change.part == "digit 9"
    assert change.mean > 0.04


def test_rows_of_one_day_are_one_observation():
    losses, days = per_unit(np.array([True, False, True, True]), np.array([3, 3, 1, 1]))

    assert losses.tolist() == [1.0, 0.5]
    assert days.tolist() == [1, 3]
    assert per_unit(np.zeros(0), np.zeros(0))[0].tolist() == []


def test_a_forecasts_run_length_is_in_days():
    watching = Watching(labels_per_false_alarm=5_000, nights_per_false_alarm=300)
    by_label = Reference(version="v1", rows=1, holdout_rows=1)

    assert level_of(watching, by_label) == 5_000
    assert level_of(watching, by_label.model_copy(update={"unit": "day"})) == 300


def test_no_labels_change_nothing_and_unknown_slices_are_left_out():
    state = start("quality", 100)

    assert update(state, np.zeros(0, bool), 0.1).observations == 0
    seen = update(state, np.ones(3, bool), {"": 0.1}, slices={"new": np.ones(3, bool)})
    assert [change.part for change in changes(seen)] == [""]


def test_nothing_is_noticed_where_every_answer_may_be_wrong():
    state = update(start("quality", 100), np.ones(1_000, bool), 1.0)

    assert alarmed(state) is None
    assert state.observations == 1_000


@pytest.mark.parametrize(
    ("losses", "p0", "more", "message"),
    [
        ([0.5, math.nan], 0.1, {}, "between 0 and 1; leave out rows without a label"),
        ([2.0], 0.1, {}, "between 0 and 1"),
        ([[1.0]], 0.1, {}, r"shape \(1, 1\); expected one for each label"),
        ([1.0], 0.0, {}, "p0 is 0.0; expected above 0 and at most 1"),
        ([1.0], {"": 0.1, "a": 1.5}, {}, "a: p0 is 1.5"),
        ([1.0], 0.1, {"slices": {"a": np.ones(2, bool)}}, "a: expected 1 rows as of losses"),
        ([1.0], 0.1, {"at": hours(3)}, "times: expected 1 rows"),
    ],
)
def test_bad_values_are_refused_by_name(losses, p0, more, message):
    with pytest.raises(ValueError, match=message):
        update(start("quality", 100), np.array(losses), p0, **more)


@pytest.mark.parametrize("level", [1, 0, math.nan, math.inf])
def test_a_run_length_is_more_than_one_observation(level):
    with pytest.raises(ValueError, match="expected more than 1 observation"):
        start("quality", level)
