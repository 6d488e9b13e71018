"""Runs on bad or shifted data, for real: what waits for review, and what a person may decide."""

from pathlib import Path

import numpy as np
import pytest

from overnight.flows.accept import accept
from overnight.flows.ingest import ingest
from overnight.flows.retrain import retrain
from overnight.flows.run.context import ModelContext
from overnight.models.digits import DEFINITION
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.landing import Landing
from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.snapshot import snapshot
from tests.flows.test_retrain import OVERRIDE, newest_card
from tests.support.examples import FILES, VERSION, manifest
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended
from tests.support.signing_keys import SIGNER, alias_log, registry

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
LINEAR = (Path(__file__).parents[2] / "goldens" / "linear" / "predictor.tflite").read_bytes()


@pytest.fixture
def learned(flow_environment: FlowEnvironment) -> FlowEnvironment:
    """1,200 digits were ingested, and a champion was trained on them."""
    flow_environment.land_digits("few", 0, 1_200)
    assert ended(ingest(return_state=True))[0] == "Ingested"
    context = ModelContext.open("digits")
    files = {**FILES, "predictor.tflite": LINEAR}
    data = snapshot(context.rows, context.holdout).lineage
    made = manifest(files).model_copy(update={"data": data, "tensors": DEFINITION.tensors})
    ModelRegistry(flow_environment.bucket, made.model).publish(made, files, SIGNER)
    registry(flow_environment.bucket, "digits").decisions.decide(
        VERSION, "approved", Actor("ann", "so")
    )
    alias_log(flow_environment.bucket, "digits").append(
        VERSION, expected=None, actor=Actor("ann", "the first")
    )
    return flow_environment


def inverted(images: np.ndarray) -> np.ndarray:
    return 255 - images


@pytest.mark.usefixtures("constant_digits")
def test_a_shifted_arrival_waits_for_review_and_is_trained_on_once_accepted(
    learned: FlowEnvironment,
) -> None:
    learned.land_digits("scanned", 2_000, 2_100, seen=inverted)

    first = ended(retrain(epochs=1, return_state=True))
    again = ended(retrain(epochs=1, ingest_first=False, return_state=True))

    assert first[0] == again[0] == "AwaitingApproval"
    assert "scanned differs from the rows that were learned: mean pixel" in first[1]
    assert "overnight accept digits scanned" in first[1]
    assert "normalised Wasserstein distance" in newest_card("digits-retrain").split("Data gates")[1]
    (held,) = ArrivalReviews(learned.bucket, "digits").pending()
    assert (held.arrival, held.compared_with) == ("scanned", VERSION)
    assert ModelRegistry(learned.bucket, "digits").versions() == [VERSION]

    decided = ended(
        accept("scanned", "digits", requested_by="bob", reason="a new form", return_state=True)
    )
    name, message = ended(retrain(epochs=1, ingest_first=False, return_state=True, **OVERRIDE))

    assert decided == ("Accepted", "scanned is accepted by bob: a new form; the next run continues")
    assert name == "Promoted", message
    newest = ModelRegistry(learned.bucket, "digits").manifest(
        ModelRegistry(learned.bucket, "digits").versions()[-1]
    )
    assert newest.data.rows == 1_300
    differing = [finding for finding in newest.data_findings if not finding.passed]
    assert differing
    assert all("accepted by bob: a new form" in finding.message for finding in differing)
    assert ArrivalReviews(learned.bucket, "digits").pending() == []


def test_an_excluded_arrival_is_in_no_snapshot_until_it_is_accepted(
    learned: FlowEnvironment,
) -> None:
    context = ModelContext.open("digits")
    before = snapshot(context.rows, context.holdout)
    learned.land_digits("scanned", 2_000, 2_100, seen=inverted)
    assert ended(ingest(return_state=True))[0] == "Ingested"

    name, message = ended(
        accept("scanned", "digits", decision="exclude", requested_by="ann", return_state=True)
    )

    assert (name, message.partition(";")[0]) == (
        "Excluded",
        "scanned is excluded by ann: exclude by ann",
    )
    without = ArrivalReviews(learned.bucket, "digits").excluded()
    left = snapshot(context.rows, context.holdout, without=without)
    assert (left.digest, left.rows, left.without) == (before.digest, 1_200, ("scanned",))
    assert left.lineage.without == ("scanned",)

    assert (
        ended(accept("scanned", "digits", requested_by="bob", return_state=True))[0] == "Accepted"
    )
    assert ArrivalReviews(learned.bucket, "digits").excluded() == ()


def test_a_bad_arrival_is_quarantined_and_the_others_are_ingested(learned: FlowEnvironment) -> None:
    learned.land_digits("blank", 2_000, 2_100, seen=np.zeros_like)
    learned.land_digits("good", 2_100, 2_200)

    state = ended(ingest(return_state=True))

    assert state == ("Ingested", "100 rows added, 2 files quarantined")
    card = newest_card("digits-ingest")
    assert "blank: 99.0% of 100 rows repeat others of this arrival" in card
    refused = Landing(learned.bucket, "digits").quarantined()
    assert [refusal.arrival for refusal in refused] == ["blank", "blank"]


def test_a_decision_about_an_unknown_arrival_is_an_invalid_request(
    learned: FlowEnvironment,
) -> None:
    state = accept("many", "digits", return_state=True)

    assert state.is_cancelled()
    assert ended(state)[0] == "InvalidRequest"
    assert "digits has no arrival 'many'" in str(state.message)
