"""Every arrival is scored by the champion before any version is trained on it."""

import pytest

from overnight.flows.ingest import ingest
from overnight.flows.retrain import retrain
from overnight.flows.run.context import ModelContext
from overnight.store.registry.live_scores import LiveScores
from tests.flows.steps.test_data import inverted, learned
from tests.flows.test_retrain import newest_card
from tests.support.examples import VERSION
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended

__all__ = ["learned"]
pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_each_arrival_is_scored_once_by_the_champion_before_it_is_trained_on(
    learned: FlowEnvironment,
) -> None:
    assert LiveScores(learned.bucket, "digits").of_version(VERSION) == []
    learned.land_digits("plain", 2_000, 2_150)
    ingested = ended(ingest(return_state=True))
    (plain,) = LiveScores(learned.bucket, "digits").of_version(VERSION)
    card = newest_card("digits-ingest").split("Live scores of the champion")[1]

    learned.land_digits("scanned", 3_000, 3_100, seen=inverted)
    retrained = ended(retrain(epochs=1, return_state=True))
    after = LiveScores(learned.bucket, "digits").of_version(VERSION)
    again = ended(retrain(epochs=1, ingest_first=False, return_state=True))

    assert (ingested[0], retrained[0], again[0]) == (
        "Ingested",
        "AwaitingApproval",
        "AwaitingApproval",
    )
    # Arrivals that the champion was trained on are not scored.
    assert [(one.arrival, one.n) for one in after] == [("plain", 150), ("scanned", 100)]
    assert after[0] == plain
    assert LiveScores(learned.bucket, "digits").of_version(VERSION) == after
    upright, inverse = (one.headline.value for one in after if one.headline)
    assert upright - inverse > 0.3
    assert "| plain | accuracy |" in card
    assert "| scanned | accuracy |" in newest_card("digits-retrain")


def test_a_run_fetches_each_version_once(learned: FlowEnvironment) -> None:
    run, other_run = ModelContext.open("digits"), ModelContext.open("digits")

    first, again = run.load_predictor(VERSION), run.load_predictor(VERSION)
    another = other_run.load_predictor(VERSION)

    assert first is again
    assert first is not another
    assert first == another
