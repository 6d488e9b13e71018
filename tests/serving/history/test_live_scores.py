"""Live scores are copied to the host, and served without the store."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.serving.history.score_sync import REMEMBERED_SCORES, ScoreSync
from overnight.serving.history.sync import REFRESH_SECONDS, SCORES_SECONDS
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.live_scores import Score
from tests.serving.history.test_history import Counting, Host
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import application_of, remembering
from tests.support.serving.stepped_host import OUTAGE, Flaky

MODEL = bundles.MODEL
FIRST, SECOND = bundles.version_name(1), bundles.version_name(2)
START = datetime(2026, 11, 1, 2, tzinfo=UTC)


def summarised(scores: tuple[Score, ...]) -> list[tuple[str, str]]:
    return [(score.version, score.arrival) for score in scores]


@pytest.fixture
def store() -> Counting:
    """The first version served for two days, then the second for one."""
    bucket = Counting()
    bucket_history.hand_over(bucket)
    bucket_history.score(bucket, 1, "day-1", 0.99, at=START)
    bucket_history.score(bucket, 1, "day-2", 0.96, at=START + timedelta(days=1))
    bucket_history.score(bucket, 2, "day-3", 0.98, at=START + timedelta(days=2))
    return bucket


@pytest.fixture
def host(store, tmp_path) -> Host:
    return Host(store, tmp_path)


def test_scores_of_all_versions_that_served_are_copied_newest_first(host):
    scores = host.later().scores

    assert summarised(scores) == [(SECOND, "day-3"), (FIRST, "day-2"), (FIRST, "day-1")]
    assert [measurement.slice for measurement in scores[0].measurements] == [""]
    assert scores[0].holdout is not None


def test_a_score_is_read_once_and_new_ones_are_added(host, store):
    host.later()
    store.reads.clear()

    bucket_history.score(store, 2, "day-4", at=START + timedelta(days=3))
    scores = host.later(SCORES_SECONDS).scores

    assert summarised(scores)[0] == (SECOND, "day-4")
    read = [key for key in store.reads if "/scores/" in key and key.endswith(".json")]
    assert read == [keys.score(MODEL, SECOND, "day-4")]


def test_scores_are_listed_less_often_than_versions(host, store):
    host.later()
    store.reads.clear()

    for _ in range(int(SCORES_SECONDS / REFRESH_SECONDS) - 1):
        host.later()
    assert not any("/scores" in prefix for prefix in store.reads)

    host.later()
    assert [store.reads[keys.scores(MODEL, version)] for version in (FIRST, SECOND)] == [1, 1]


def test_the_last_score_of_the_previous_champion_is_copied_at_once(host, store):
    host.later()
    bucket_history.publish(store, 3)
    bucket_history.score(store, 2, "day-4", at=START + timedelta(days=3))
    bucket_history.promote(store, 3)

    scores = host.later().scores

    assert summarised(scores)[0] == (SECOND, "day-4")


def test_copied_scores_survive_an_outage_and_a_restart(host, store, tmp_path):
    before = host.later().scores
    store.error = OUTAGE

    assert host.later(SCORES_SECONDS).scores == before
    assert Host(store, tmp_path).later(0).scores == before


def test_an_object_that_is_no_score_is_left_out_and_read_once(host, store):
    key = keys.score(MODEL, SECOND, "damaged")
    store.create(key, b"no score")

    assert len(host.later().scores) == 3
    host.later(SCORES_SECONDS)
    assert store.reads[key] == 1


def test_the_copy_is_bounded():
    bucket = MemoryBucket()
    days = REMEMBERED_SCORES + 3
    for day in range(days):
        bucket_history.score(bucket, 1, f"day-{day}", at=START + timedelta(days=day))
    sync = ScoreSync(bucket, MODEL)

    scores = sync.update((), [FIRST])

    assert len(scores) == REMEMBERED_SCORES
    assert scores[0].arrival == f"day-{days - 1}"
    assert sync.update(scores, [FIRST]) == scores


@pytest.fixture
def bucket() -> Flaky:
    """The same for a whole host: each of two versions served for a day."""
    bucket = Flaky()
    bucket_history.hand_over(bucket)
    bucket_history.score(bucket, 1, "day-1", 0.9, at=START)
    bucket_history.score(bucket, 2, "day-2", 0.875, at=START + timedelta(days=1))
    return bucket


@pytest.fixture
def client(worker, bucket):
    return remembering(worker(), bucket)


def test_scores_are_reported_with_their_version_and_its_holdout_metric(client):
    newest, oldest = client.get("/api/models/digits/history").get_json()["scores"]

    assert (newest["version"], newest["arrival"], newest["n"]) == (SECOND, "day-2", 1_000)
    (measured,) = newest["measurements"]
    assert (measured["metric"], measured["value"]) == ("accuracy", 0.875)
    assert measured["low"] < 0.875 < measured["high"]
    assert newest["holdout"]["value"] == pytest.approx(0.9941)
    assert oldest["version"] == FIRST


def test_metrics_hold_the_newest_score_of_the_champion(client):
    lines = client.get("/metrics").text.splitlines()

    (live,) = [line for line in lines if line.startswith("overnight_live_score{")]
    assert (
        live == f'overnight_live_score{{model="digits",version="{SECOND}",metric="accuracy"}} 0.875'
    )


def test_metrics_hold_no_score_before_there_is_one():
    lines = application_of().get("/metrics").text.splitlines()

    assert not [line for line in lines if line.startswith("overnight_live_score{")]
