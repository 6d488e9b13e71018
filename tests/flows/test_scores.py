"""Whatever a night ends as: what arrived was first answered by the version that serves."""

import numpy as np
import pytest

from flows.ingest import ingest
from flows.retrain import retrain
from store.scores import scores
from tests.examples import VERSION
from tests.faults.proxy import FaultProxy
from tests.flows.test_data_gates import inverted, learned
from tests.flows.test_flows import ended, newest_card
from tests.world import World

__all__ = ["learned"]
pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_each_arrival_is_scored_once_by_what_serves_before_anything_learns_from_it(
    learned: World, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scores(learned.bucket, "digits", VERSION) == []
    learned.arrive("plain", 2_000, 2_150)
    taken_in = ended(ingest(return_state=True))
    (plain,) = scores(learned.bucket, "digits", VERSION)
    card = newest_card("digits-ingest").split("## What serves, on what arrived")[1]

    learned.arrive("scanned", 3_000, 3_100, seen=inverted)
    with FaultProxy(s3_endpoint) as between:
        monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", between.endpoint)
        night = ended(retrain(epochs=1, return_state=True))
        monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", s3_endpoint)
    after = scores(learned.bucket, "digits", VERSION)
    again = ended(retrain(epochs=1, take_in=False, return_state=True))

    assert (taken_in[0], night[0], again[0]) == ("Ingested", "AwaitingApproval", "AwaitingApproval")
    # What the champion learned itself says nothing of how it does.
    assert [(one.arrival, one.n) for one in after] == [("plain", 150), ("scanned", 100)]
    assert after[0] == plain
    assert scores(learned.bucket, "digits", VERSION) == after
    accuracies = [one.headline.value for one in after if one.headline]
    assert np.subtract(*accuracies) > 0.3
    assert "| plain | accuracy |" in card
    # Scoring and comparing ask the same version, which is fetched once a night.
    fetched = [path for _, path in between.asked if path.endswith("/predictor.tflite")]
    assert len(fetched) == 1
    assert "| scanned | accuracy |" in newest_card("digits-retrain")
