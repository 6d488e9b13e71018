"""Labels of answers, from the log in the store to rows of the dataset, for real."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from overnight.flows.accept import accept
from overnight.flows.ingest import ingest
from overnight.flows.run.context import ModelContext
from overnight.store.datasets.landing import Landing
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.tables import LabelTable, PredictionTable, SegmentId
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
HOST = SegmentId("c" * 32, 1)


def answered(images: np.ndarray) -> AnsweredRequest:
    probabilities = np.full((len(images), 10), 0.00001, np.float32)
    probabilities[:, 7] = 0.9999
    return AnsweredRequest(
        request="r", caller="", at_us=_before(60), model="digits", version="v", route="champion",
        client="c", share=1.0, latency_us=1, n=len(images), inputs={"image": images}, digest="",
        outputs={"probabilities": probabilities},
    )  # fmt: skip


def label(row: int, truth: str, client: str) -> SentLabel:
    return SentLabel("r", "", row, _before(30), "digits", {"probabilities": truth}, client, "api")


def _before(seconds: float) -> int:
    return int((datetime.now(UTC) - timedelta(seconds=seconds)).timestamp() * 1e6)


def test_labelled_answers_are_rows_of_the_next_run(flow_environment: FlowEnvironment) -> None:
    # Given a dataset, and a log with labels of two clients, one of which contradicts sure answers.
    flow_environment.land_digits("few", 0, 300)
    assert ended(ingest(return_state=True))[0] == "Ingested"
    address = flow_environment.bucket.address
    images = np.random.default_rng(5).integers(0, 256, (4, 28, 28), np.uint8)
    held_out = np.frombuffer(
        ModelContext.open("digits").holdout.read()["image"][0].as_py(), np.uint8
    ).reshape(28, 28)
    images[3] = held_out
    PredictionTable.on_s3(address, "digits").append({HOST: [answered(images)]})
    sent = [label(0, "7", "ada"), label(1, "7", "ada"), label(2, "1", "eve"), label(3, "7", "ada")]
    LabelTable.on_s3(address, "digits").append({HOST: sent})
    record = MonitorRecord(
        model="digits", sequence=1, champion=None, since=None, until=datetime.now(UTC),
        labels={"first": 4},
    )  # fmt: skip
    MonitorLog(flow_environment.bucket, "digits").append(record)
    name = f"feedback-{record.until:%Y-%m-%d}-00000001"

    # When the next run begins, then the labels are ingested but for the doubtful and the holdout's.
    state = ended(ingest(return_state=True))
    rows = ModelContext.open("digits").rows
    assert state[0] == "Ingested"
    assert name in rows.arrival_names()
    (waiting,) = Landing(flow_environment.bucket, "digits").pending()
    assert waiting.name == f"{name}-doubtful"
    learned = [row for row in rows.read().to_pylist() if row["arrival"] == name]
    assert sorted(row["image"] for row in learned) == sorted(
        image.tobytes() for image in images[:2]
    )

    # And what a person accepts is ingested by the run after that.
    decided = accept(
        model="digits", arrival=waiting.name, requested_by="ann", reason="so", return_state=True
    )
    assert ended(decided)[0] == "Accepted"
    assert ended(ingest(return_state=True))[0] == "Ingested"
    assert waiting.name in ModelContext.open("digits").rows.arrival_names()
