"""The monitor from shipped segments to its record and what follows, on a real S3 and Prefect."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.ingest import ingest
from overnight.flows.monitor import monitor
from overnight.flows.run.context import ModelContext
from overnight.flows.steps import data, monitoring
from overnight.infra import connections
from overnight.models import digits
from overnight.models.digits.source import DigitsSource
from overnight.models.watching import Feedback, PredictionLog
from overnight.store.datasets.delta_table import Dataset
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from overnight.tasks.evaluation.reinstate import previous_champions
from tests.flows.test_retrain import newest_card
from tests.support import monitored_digits
from tests.support.crashing_stores import ForwardingBucket, Killed
from tests.support.flow_environment import FlowEnvironment
from tests.support.monitored_digits import NearestMean
from tests.support.outcomes import ended
from tests.support.prediction_log import answered, segment, sent
from tests.support.signing_keys import alias_log

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
VERSION = "20261122T020000-0123456789ab"
WORSE = "20261123T020000-0123456789ab"
DAY = (datetime.now(UTC) - timedelta(days=4)).replace(hour=0, minute=0, second=0, microsecond=0)
ANSWERS = 300


@dataclass(frozen=True)
class Watched:
    """A champion of nearest means, learned from the first 2,000 digits."""

    environment: FlowEnvironment
    model: NearestMean

    @property
    def log(self) -> MonitorLog:
        return MonitorLog(self.environment.bucket, "digits")

    def day(self, number: int, *, upside_down: bool = False, **fields: object) -> None:
        """Ship a day of answers with their labels, from rows that nothing learned."""
        genuine = self.environment.digits
        rows = slice(10_000 + number * ANSWERS, 10_000 + (number + 1) * ANSWERS)
        images = genuine.images[rows]
        monitored_digits.record(
            self.environment.bucket,
            VERSION,
            self.model,
            images[:, ::-1].copy() if upside_down else images,
            genuine.labels[rows],
            begin=DAY + timedelta(days=number, hours=6),
            **fields,  # type: ignore[arg-type]
        )

    def run(self) -> tuple[str, str]:
        state: State = monitor("digits", return_state=True)
        return ended(state)

    def last(self) -> MonitorRecord:
        record = self.log.last()
        assert record is not None
        return record


@pytest.fixture
def watched(flow_environment: FlowEnvironment, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(digits, "DEFINITION", monitored_digits.watched())
    genuine = flow_environment.digits
    model = NearestMean.of(genuine.images[:2_000], genuine.labels[:2_000])
    monitored_digits.publish(flow_environment.bucket, genuine, model, VERSION, digits.DEFINITION)
    genuine.keep_holdout(Dataset.on_s3(flow_environment.bucket.address, "digits", "holdout"))
    return Watched(flow_environment, model)


def test_a_run_without_answers_has_nothing_new(watched: Watched) -> None:
    name, message = watched.run()
    assert (name, message.partition(";")[0]) == ("NothingNew", "nothing was shipped")
    assert "within a minute (OVERNIGHT_PREDICTION_LOG_SEGMENT_SECONDS)" in message
    assert watched.log.last() is None


def test_expired_rows_are_deleted_also_of_a_model_that_records_nothing_any_more(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, address = datetime.now(UTC), watched.environment.bucket.address
    predictions, labels = (
        table.on_s3(address, "digits") for table in (PredictionTable, LabelTable)
    )
    ages = {f"{age}": now - timedelta(days=age) for age in (0, 50, 100)}
    predictions.append({segment(1): [answered(name, at=at) for name, at in ages.items()]})
    labels.append({segment(1): [sent(name, at=at) for name, at in ages.items()]})

    nothing = replace(digits.DEFINITION.watching, log=None)
    monkeypatch.setattr(digits, "DEFINITION", replace(digits.DEFINITION, watching=nothing))
    assert watched.run()[0] == "NothingNew"
    assert (len(predictions.read()), len(labels.read())) == (2, 2)

    month = replace(digits.DEFINITION.watching, log=PredictionLog(keep_days=30))
    monkeypatch.setattr(digits, "DEFINITION", replace(digits.DEFINITION, watching=month))
    watched.run()
    assert predictions.read().column("request").to_pylist() == ["0"]
    assert len(labels.read()) == 1


def test_from_segments_to_a_healthy_record_and_to_drift_that_is_to_retrain(
    watched: Watched,
) -> None:
    watched.day(0)
    name, message = watched.run()
    assert name == "Healthy", message
    first = watched.last()
    assert (first.sequence, first.champion, first.alarms) == (1, VERSION, ())
    whole = next(quality for quality in first.quality if not quality.slice)
    assert (whole.answers, whole.labels, whole.coverage) == (ANSWERS, ANSWERS, 1.0)
    accuracy = next(each for each in whole.measurements if each.metric == "accuracy")
    assert 0.7 < accuracy.value < 0.95
    assert first.labels["first"] == ANSWERS
    assert {distance.kind for distance in first.distances} == {"inputs", "answers", "confidence"}
    card = newest_card("digits-monitor")
    assert "Handwritten digits: Healthy" in card
    assert card.count("data:image/png;base64,") == 3
    # What was collected is gone from the spool.
    assert watched.environment.bucket.keys_below(keys.spool("digits")) == []

    # A run that finds nothing leaves the card of the newest record.
    name, message = watched.run()
    assert name == "NothingNew"
    assert message.startswith(f"nothing was shipped since {first.until:%Y-%m-%d %H:%M} UTC;")
    assert newest_card("digits-monitor") == card

    # The next day everybody writes upside down, and rows came to learn from.
    watched.environment.land_digits("few", 0, 100)
    watched.day(1, upside_down=True)
    name, message = watched.run()

    record = watched.last()
    assert name == "Drifted", message
    assert record.sequence == 2
    assert record.since == first.until
    quality = next(alarm for alarm in record.alarms if alarm.kind == "quality")
    assert quality.value > quality.expected
    assert quality.since.date() == (DAY + timedelta(days=1)).date()
    assert record.consequence.action == "retrain", record.consequence
    assert record.consequence.reason in message
    assert watched.log.carried_out(2) is not None


class ExhaustedSource(DigitsSource):
    """Digits of which nothing more will come."""

    def deliver(self, delivered: Collection[str]) -> None:
        return None


def test_where_nothing_can_be_learned_a_person_is_notified(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Labels measure and are not learned, and the dataset has nothing that the champion has not.
    watched.environment.land_digits("few", 0, 100)
    ingest("digits")
    unlearned = monitored_digits.watched(feedback=Feedback())
    monkeypatch.setattr(digits, "DEFINITION", replace(unlearned, open_source=ExhaustedSource))

    watched.day(0, upside_down=True)
    name, message = watched.run()

    assert name == "Drifted", message
    assert watched.last().consequence.action == "notify"
    assert "nothing arrived since" in message
    assert watched.log.carried_out(1) is None


class Tomorrow(datetime):
    """A clock that is a day ahead: arrivals are of the day of their ingest, which has to end."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=1)


@flow(name="ingest-landed", persist_result=False)
def ingest_landed() -> None:
    """The step alone: `ingest` would score the champion, whose predictor is no network here."""
    data.ingest_next(ModelContext.open("digits"), take_next=False)


@pytest.mark.parametrize("inverted", [False, True])
def test_an_application_that_sends_other_values_than_it_stores_has_skew(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, *, inverted: bool
) -> None:
    """Pictures of ink on paper are sent as light on dark, and nothing is retrained for that."""
    declared = monitored_digits.watched(same_population=True)
    monkeypatch.setattr(digits, "DEFINITION", declared)
    watched.environment.land_digits("history", 0, 100)
    watched.environment.land_digits("night", 20_000, 20_000 + ANSWERS)
    ingest_landed()
    rows = Dataset.on_s3(watched.environment.bucket.address, "digits", "rows")
    # Something to learn from, so that drift would be retrained for.
    watched.environment.land_digits("next", 30_000, 30_100)
    images = watched.environment.digits.images[10_000 : 10_000 + ANSWERS]
    monitored_digits.record(
        watched.environment.bucket,
        VERSION,
        watched.model,
        255 - images if inverted else images,
        None,
        begin=rows.arrival_times()["night"],
        seconds=0,
    )
    monkeypatch.setattr(monitoring, "datetime", Tomorrow)

    name, message = watched.run()

    record = watched.last()
    skews = [each for each in record.distances if each.kind == "skew"]
    assert skews
    assert all(each.n == ANSWERS and each.e is not None for each in skews)
    assert "Skew: serving against training's rows" in newest_card("digits-monitor")
    if not inverted:
        assert name == "Healthy", message
        assert all(each.distance < 0.1 for each in skews)
        return
    assert name == "Drifted", message
    assert {alarm.kind for alarm in record.alarms} == {"skew"}
    assert record.consequence.action == "notify"
    assert "no retraining mends" in message


class KillingAt(ForwardingBucket):
    """A bucket that dies once, before or after it creates a key that ends so."""

    def __init__(self, bucket: Bucket, end: str, *, before: bool) -> None:
        super().__init__(bucket)
        self._end, self._before = end, before

    def create(self, key: str, body: bytes) -> None:
        if not key.endswith(self._end):
            super().create(key, body)
            return
        if not self._before:
            super().create(key, body)
        raise Killed


@pytest.mark.parametrize(
    ("end", "before", "records"),
    [
        ("monitoring/00000001.json", True, 0),
        ("monitoring/00000001.json", False, 1),
        ("carried-out.json", True, 1),
    ],
)
def test_a_run_that_was_killed_at_a_write_is_continued_by_the_next(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, end: str, *, before: bool, records: int
) -> None:
    watched.environment.land_digits("few", 0, 100)
    watched.day(0, upside_down=True)
    with monkeypatch.context() as killed:
        dying = KillingAt(watched.environment.bucket, end, before=before)
        killed.setattr(connections, "bucket", lambda _settings: dying)
        with pytest.raises(Killed):
            watched.run()
    assert watched.log.last_sequence() == records

    name, message = watched.run()

    assert name == "Drifted", message
    assert message.startswith("a retraining was requested")
    # It continued the record where there was one, and wrote none of its own.
    assert watched.log.last_sequence() == 1
    assert watched.last().quality[0].labels == ANSWERS
    assert watched.log.carried_out(1) is not None


def test_of_two_runs_of_the_same_period_one_record_is_kept(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.day(0)

    class Overtaken(ForwardingBucket):
        """Another run writes the record just before this one."""

        def create(self, key: str, body: bytes) -> None:
            if key.endswith("monitoring/00000001.json"):
                super().create(key, body.replace(b'"id": "', b'"id": "another-', 1))
            super().create(key, body)

    overtaken = Overtaken(watched.environment.bucket)
    monkeypatch.setattr(connections, "bucket", lambda _settings: overtaken)

    name, message = watched.run()

    assert name == "Superseded", message
    assert "another run wrote record 1 first" in message
    assert watched.log.last_sequence() == 1
    assert watched.last().id.startswith("another-")


@pytest.fixture
def confused(watched: Watched) -> NearestMean:
    """A champion that takes sevens for eights and eights for sevens, over the one before it."""
    order = [0, 1, 2, 3, 4, 5, 6, 8, 7, 9]
    confused = NearestMean(watched.model.means[order])
    monitored_digits.publish(
        watched.environment.bucket, watched.environment.digits, confused, WORSE, digits.DEFINITION
    )
    return confused


def ship_pairs(watched: Watched, confused: NearestMean, number: int) -> None:
    genuine = watched.environment.digits
    rows = slice(10_000 + number * ANSWERS, 10_000 + (number + 1) * ANSWERS)
    monitored_digits.record(
        watched.environment.bucket,
        WORSE,
        confused,
        genuine.images[rows],
        genuine.labels[rows],
        begin=DAY + timedelta(days=number, hours=6),
        shadow=(VERSION, watched.model),
    )


def test_a_version_that_is_worse_than_the_one_before_is_rolled_back_once(
    watched: Watched, confused: NearestMean
) -> None:
    ship_pairs(watched, confused, 0)

    name, message = watched.run()

    assert name == "RolledBack", message
    record = watched.last()
    assert record.consequence.action == "roll back"
    newest = alias_log(watched.environment.bucket, "digits").history()[-1]
    assert (newest.version, newest.action, newest.by) == (VERSION, "rolled back", "monitor")
    assert newest.reason == record.consequence.reason
    assert f"of {ANSWERS} labelled requests wrong" in newest.reason
    # It does not return by itself, and is not rolled back a second time.
    history = alias_log(watched.environment.bucket, "digits").history()
    assert WORSE not in previous_champions(history)
    assert watched.run()[0] == "NothingNew"
    assert len(alias_log(watched.environment.bucket, "digits").history()) == len(history)


def test_labels_alone_show_it_where_no_request_was_answered_by_both(watched: Watched) -> None:
    watched.day(0)
    assert watched.run()[0] == "Healthy"
    genuine = watched.environment.digits
    confused = NearestMean(watched.model.means[[0, 1, 2, 3, 4, 6, 5, 8, 7, 9]])
    monitored_digits.publish(
        watched.environment.bucket, genuine, confused, WORSE, digits.DEFINITION
    )
    rows = slice(12_000, 12_400)
    monitored_digits.record(
        watched.environment.bucket, WORSE, confused, genuine.images[rows], genuine.labels[rows],
        begin=DAY + timedelta(days=1, hours=6),
    )  # fmt: skip

    name, message = watched.run()

    assert name == "RolledBack", message
    assert "on its own requests before" in watched.last().consequence.reason


@pytest.mark.parametrize("manual", ["model", "version", "declared"])
def test_a_person_is_notified_where_versions_do_not_go_back_by_themselves(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, manual: str
) -> None:
    fields: dict[str, Any] = {"approval": "manual"} if manual == "version" else {}
    confused = NearestMean(watched.model.means[[0, 1, 2, 3, 4, 5, 6, 8, 7, 9]])
    monitored_digits.publish(
        watched.environment.bucket,
        watched.environment.digits,
        confused,
        WORSE,
        digits.DEFINITION,
        **fields,
    )
    if manual == "model":
        monkeypatch.setattr(digits, "DEFINITION", replace(digits.DEFINITION, approval="manual"))
    if manual == "declared":
        kept = monitored_digits.watched(rolls_back=False)
        monkeypatch.setattr(digits, "DEFINITION", kept)
    ship_pairs(watched, confused, 0)

    name, message = watched.run()

    assert name == "Drifted", message
    assert watched.last().consequence.action == "notify"
    assert f"overnight rollback digits --to {VERSION}" in message
    assert alias_log(watched.environment.bucket, "digits").history()[-1].version == WORSE
