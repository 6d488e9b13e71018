"""Live scores are written once, under the name of the arrival."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.errors import BadKey
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.live_scores import LiveScores, Score, latest
from overnight.store.registry.manifest import Measurement

VERSION = "20261122T020000-0123456789ab"
START = datetime(2026, 11, 22, tzinfo=UTC)


def score(arrival: str, value: float = 0.99, *, days: int = 0) -> Score:
    measured = (
        Measurement(metric="accuracy", slice="digit 1", value=0.5, n=10),
        Measurement(metric="accuracy", value=value, n=100, low=value - 0.01, high=value + 0.01),
    )
    return Score(
        model="digits",
        version=VERSION,
        arrival=arrival,
        n=100,
        measurements=measured,
        at=START + timedelta(days=days),
    )


def test_a_score_is_kept_under_its_version_and_arrival():
    bucket = MemoryBucket()

    LiveScores(bucket, "digits").keep(score("night-0001"))

    assert bucket.keys_below("models") == [f"models/digits/scores/{VERSION}/night-0001.json"]
    assert LiveScores(bucket, "digits").find(VERSION, "night-0001") == score("night-0001")
    assert LiveScores(bucket, "digits").find(VERSION, "night-0002") is None


def test_the_first_score_of_an_arrival_is_final():
    bucket = MemoryBucket()
    LiveScores(bucket, "digits").keep(score("night-0001", 0.9))

    stands = LiveScores(bucket, "digits").keep(score("night-0001", 0.99))

    assert stands == score("night-0001", 0.9)
    assert LiveScores(bucket, "digits").of_version(VERSION) == [stands]


def test_scores_are_returned_in_the_order_of_measuring():
    bucket = MemoryBucket()
    names = ["b", "a", "c"]
    for days, name in enumerate(names):
        LiveScores(bucket, "digits").keep(score(name, days=days))

    scores = LiveScores(bucket, "digits").of_version(VERSION)

    assert [score.arrival for score in scores] == names
    assert latest(scores) == scores[-1]


def test_a_damaged_score_hides_no_other():
    bucket = MemoryBucket()
    LiveScores(bucket, "digits").keep(score("b"))
    bucket.create(keys.score("digits", VERSION, "a"), b"{}")
    bucket._objects[f"{keys.scores('digits', VERSION)}/of somebody?.json"] = b"{}"

    assert LiveScores(bucket, "digits").of_version(VERSION) == [score("b")]


def test_the_headline_is_measured_over_all_rows():
    headline = score("a").headline

    assert headline is not None
    assert (headline.metric, headline.slice) == ("accuracy", "")


def test_without_a_headline_there_is_no_latest_score():
    nothing = score("a").model_copy(update={"measurements": ()})

    assert nothing.headline is None
    assert latest([nothing]) is None
    assert latest([]) is None


@pytest.mark.parametrize("length", [1, 250, 251, 255])
def test_every_valid_arrival_name_can_have_a_score(length):
    bucket = MemoryBucket()
    names = ["a" * (length - 1) + end for end in "bc"]

    for name in names:
        LiveScores(bucket, "digits").keep(score(name))

    assert {score.arrival for score in LiveScores(bucket, "digits").of_version(VERSION)} == set(
        names
    )
    assert LiveScores(bucket, "digits").find(VERSION, names[0]) == score(names[0])


@pytest.mark.parametrize("name", ["a/b", "a b", "a|b"])
def test_an_invalid_arrival_name_has_no_score(name):
    with pytest.raises(BadKey):
        keys.score("digits", VERSION, name)


def test_no_other_metric_replaces_a_headline_that_is_not_finite():
    closed = score("a", days=1)
    nothing = (
        Measurement(metric="wape", value=float("nan"), n=10),
        Measurement(metric="interval_coverage", value=1.0, n=10),
    )
    closed = closed.model_copy(update={"measurements": nothing})

    assert closed.headline is None
    assert latest([score("b"), closed]) == score("b")


class Lagging(MemoryBucket):
    """A bucket whose listing still has an object that is gone."""

    def keys_below(self, prefix: str) -> list[str]:
        return [*super().keys_below(prefix), f"{prefix}/gone.json"]


def test_the_scores_of_a_version_are_its_own_and_those_that_are_there():
    bucket = Lagging()
    other = score("night-0002").model_copy(update={"version": "20261123T020000-0123456789ab"})
    LiveScores(bucket, "digits").keep(other)
    LiveScores(bucket, "digits").keep(score("night-0001"))

    assert LiveScores(bucket, "digits").of_version(VERSION) == [score("night-0001")]
