"""Labelled answers become rows; those of doubtful clients, and of the holdout, do not."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overnight.models.digits import DEFINITION as DIGITS
from overnight.models.digits.rows import Digits, as_rows
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.landing import Landing
from overnight.store.input_encodings import Missing
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.tables import LabelTable, PredictionTable, SegmentId
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.monitoring.land_labels import LabelLanding
from overnight.tasks.monitoring.learnable import named_inputs

NOW = datetime.now(UTC)
START = NOW - timedelta(hours=2)
HOST = "a" * 32


def picture(number: int) -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    image.reshape(-1)[100 + number] = 255
    return image


def answered(numbers, *, answer=7, confidence=0.9, request="r", version="v1", inputs=True):
    probabilities = np.full((len(numbers), 10), (1 - confidence) / 9, np.float32)
    probabilities[:, answer] = confidence
    return AnsweredRequest(
        request=request,
        caller="",
        at_us=int(START.timestamp() * 1e6),
        model="digits",
        version=version,
        route="champion",
        client="caller",
        share=1.0,
        latency_us=100,
        n=len(numbers),
        inputs={"image": np.stack([picture(n) for n in numbers])} if inputs else {},
        digest="",
        outputs={"probabilities": probabilities},
    )


def label(row=0, truth="7", *, request="r", client="ada", authenticated=True, minutes=1):
    return SentLabel(
        request=request,
        caller="",
        row=row,
        at_us=int((START + timedelta(minutes=minutes)).timestamp() * 1e6) + row,
        model="digits",
        truth={"probabilities": truth},
        client=client,
        origin="api",
        authenticated=authenticated,
    )


class Labelled:
    """Tables of one model, records of its monitor, and what was landed."""

    def __init__(self, folder: Path, *, holdout=()) -> None:
        self.bucket = MemoryBucket()
        self.predictions = PredictionTable.in_folder(folder, "digits")
        self.labels = LabelTable.in_folder(folder, "digits")
        self.records = MonitorLog(self.bucket, "digits")
        self.landing = Landing(self.bucket, "digits")
        self.reviews = ArrivalReviews(self.bucket, "digits")
        pictures = np.stack([picture(n) for n in holdout]) if holdout else np.zeros((0, 28, 28))
        self.holdout = as_rows(Digits(pictures.astype(np.uint8), np.full(len(holdout), 7, np.int8)))
        self.segment = 0

    def log(self, *records) -> None:
        """Collect answers and labels."""
        self.segment += 1
        segment = SegmentId(HOST, self.segment)
        answers = [each for each in records if isinstance(each, AnsweredRequest)]
        if answers:
            self.predictions.append({segment: answers})
        self.labels.append({segment: [each for each in records if isinstance(each, SentLabel)]})

    def monitor(self, counts=None) -> None:
        """Append the record of a monitor run of now."""
        last = self.records.last()
        self.records.append(
            MonitorRecord(
                model="digits",
                sequence=last.sequence + 1 if last else 1,
                champion="v1",
                since=last.until if last else None,
                until=datetime.now(UTC),
                labels={"first": 1} if counts is None else counts,
            )
        )

    def land(self, ingested=()):
        return LabelLanding(
            self.landing,
            self.reviews,
            self.records,
            self.predictions,
            self.labels,
            DIGITS,
            lambda _: DIGITS.tensors,
            lambda: self.holdout,
        ).land(ingested, champion="v1")

    def landed(self) -> dict[str, list[tuple[int, int]]]:
        """The pixel and label of each landed row, by arrival."""
        found = {}
        for arrival in self.landing.pending():
            body = self.landing.read_file(arrival, "labelled.parquet")
            rows = pq.read_table(pa.BufferReader(body)).to_pylist()
            found[arrival.name] = [(row["image"].index(255) - 100, row["label"]) for row in rows]
        return found


@pytest.fixture
def labelled(tmp_path) -> Labelled:
    return Labelled(tmp_path)


def test_labels_of_a_record_land_once_with_the_name_of_the_record(labelled):
    labelled.log(answered([1, 2, 3]), label(0), label(2, "4"))
    labelled.monitor()

    first, again = labelled.land(), labelled.land()

    (name,) = labelled.landed()
    assert name == f"feedback-{labelled.records.last().until:%Y-%m-%d}-00000001"
    assert labelled.landed() == {name: [(1, 7), (3, 4)]}
    assert (first.arrivals, again.arrivals) == ((name,), ())
    # Once the dataset has it, it is not landed again.
    labelled.landing.clear(labelled.landing.pending()[0])
    assert labelled.land({name}).arrivals == ()


def test_a_run_that_died_lands_the_same_rows_again(labelled):
    labelled.log(answered([1, 2]), label(0))
    labelled.monitor()
    labelled.land()
    before = labelled.landed()
    for arrival in labelled.landing.pending():
        labelled.landing.clear(arrival)

    # What came after the record is of the next one.
    labelled.log(label(1, "3"))
    labelled.land()
    assert labelled.landed() == before

    labelled.monitor()
    labelled.land()
    assert [rows for _, rows in sorted(labelled.landed().items())] == [[(1, 7)], [(2, 3)]]


def test_a_contradicted_answer_and_a_repeat_teach_nothing(labelled):
    labelled.log(
        answered([1, 2]), label(0), label(0, "8", client="bob"), label(1), label(1, client="bob")
    )
    labelled.monitor()

    labelled.land()

    assert list(labelled.landed().values()) == [[(2, 7)]]


def test_a_label_of_an_answer_whose_inputs_were_not_logged_is_left_out(labelled):
    labelled.log(
        answered([1], inputs=False), answered([2], request="s"), label(), label(request="s")
    )
    labelled.log(answered([3], request="t"), label(truth="ten", request="t"))
    labelled.monitor()

    landed = labelled.land()

    assert list(labelled.landed().values()) == [[(2, 7)]]
    assert any("2 make no row" in notice for notice in landed.notices)


def test_rows_of_the_holdout_never_land(tmp_path):
    labelled = Labelled(tmp_path, holdout=(2, 5))
    labelled.log(answered([1, 2]), label(0), label(1, "3"))
    labelled.monitor()

    landed = labelled.land()

    assert list(labelled.landed().values()) == [[(1, 7)]]
    assert any("1 are of inputs of the holdout" in notice for notice in landed.notices)


def test_labels_of_a_doubtful_client_wait_for_a_person(labelled):
    labelled.log(answered([1, 2, 3, 4, 5, 6], confidence=0.9995))
    # One of five is the most that may contradict very sure answers.
    labelled.log(*(label(row, "7", client="ada") for row in range(4)), label(4, "1", client="ada"))
    labelled.log(label(5, "1", client="eve", authenticated=False))
    labelled.monitor()

    landed = labelled.land()

    plain, doubtful = sorted(labelled.landed())
    assert doubtful == f"{plain}-doubtful"
    assert labelled.landed() == {
        plain: [(1, 7), (2, 7), (3, 7), (4, 7), (5, 1)],
        doubtful: [(6, 1)],
    }
    assert landed.parked == (doubtful,)
    (review,) = labelled.reviews.pending()
    assert (review.arrival, review.compared_with) == (doubtful, "v1")
    assert "1 of 1 labels of eve (without a key) contradict" in review.findings[0].message
    # It is not parked again, and not landed again.
    assert labelled.land().parked == ()


def test_a_contradiction_of_an_unsure_answer_is_not_doubtful(labelled):
    labelled.log(answered([1], confidence=0.99), label(0, "1"))
    labelled.monitor()

    labelled.land()

    assert list(labelled.landed().values()) == [[(1, 1)]]


def test_records_without_labels_are_not_read(labelled):
    labelled.log(answered([1]), label(0))
    labelled.monitor({"unknown": 3})

    assert labelled.land().arrivals == ()


def test_nothing_lands_before_the_first_record(labelled):
    assert labelled.land().arrivals == ()


def test_truths_are_stored_as_they_were_sent(labelled):
    labelled.log(answered([1]), label(0))

    assert json.loads(labelled.labels.read()["truth"][0].as_py()) == {"probabilities": "7"}


def test_categories_have_the_names_of_the_version_that_answered():
    plan = TensorSpec(name="plan", datatype="INT32", shape=(), missing=Missing(value="missing"))
    tensors = Schema(inputs=(plan, TensorSpec(name="lead", datatype="INT32", shape=())), outputs=())

    def schema_of(version):
        known = {"v1": ("other", "missing", "basic"), "v2": ("other", "missing", "gold", "basic")}
        fields = plan.model_dump(exclude_none=True)
        learned = TensorSpec(**fields | {"vocabulary": known[version], "otherwise": "other"})
        return tensors.with_inputs({"plan": learned})

    answers = pa.table(
        {
            "version": ["v1", "v2", "v2", "v1", "v1"],
            "input.plan": pa.array([2, 2, 3, 1, 0], pa.int32()),
            "input.lead": pa.array([1, 2, 3, 4, 5], pa.int32()),
        }
    )

    inputs = named_inputs(answers, tensors, schema_of)

    assert inputs["plan"].tolist() == ["basic", "gold", "basic", None, "other"]
    assert inputs["lead"].tolist() == [1, 2, 3, 4, 5]


def test_a_damaged_record_is_named_and_costs_the_labels_of_no_other(labelled):
    labelled.log(answered([1, 2, 3]), label(0))
    labelled.monitor()
    # The next record covers what came since the last one that can be read.
    labelled.log(label(1, "4"))
    key = keys.monitor_record("digits", 2)
    labelled.bucket.create(key, b'{"format": 1, "torn')
    labelled.records.append(labelled.records.at(1).model_copy(update=since_last(labelled)))

    landed = labelled.land()

    assert sorted(labelled.landed().values()) == [[(1, 7)], [(2, 4)]]
    (notice,) = landed.notices
    assert "damaged record" in notice
    assert key in notice


def since_last(labelled: Labelled) -> dict[str, object]:
    """What is new in the record after a damaged one."""
    until = labelled.records.at(1).until
    return {"sequence": 3, "since": until, "until": datetime.now(UTC), "id": "3"}
