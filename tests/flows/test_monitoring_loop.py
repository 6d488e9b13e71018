"""The whole loop in miniature: a champion that knows Census writers only meets students.

Everything is real but the size: an S3 server, a serving process that answers over HTTP, the flows
with a Prefect server, a network of two layers that is trained. A day is what lies between two runs
of the monitor.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.monitoring.demo.project_copy import Size, Writers, copy_project, writers_of
from benchmarks.monitoring.demo.spool import waiting
from benchmarks.monitoring.demo.traffic import MODEL, Answers, Digits, send, send_labels
from overnight.flows.monitor import monitor
from overnight.flows.retrain import retrain
from overnight.infra.stack.alarm_trigger import retrain_on_alarm
from overnight.models.definition import Places
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import outcome
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import registry
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(600)]

SIZE = Size(
    census_rows=1_000,
    holdout_every=4,
    network="forms.plain_network",
    epochs=10,
    learning_rate=0.005,
    least_accuracy=0.8,
    # So few rows of a holdout bound the error loosely, and a miniature should not take a thousand.
    labels_per_false_alarm=5_000,
)
A_DAY = 400


@dataclass
class Loop:
    """The bucket and the host of one model, and whose digits are sent to it."""

    environment: FlowEnvironment
    serving: Serving
    writers: Writers

    def champion(self) -> str:
        version = registry(self.environment.bucket, MODEL).champion_version()
        assert version is not None
        return version

    def follow(self) -> str:
        """Wait until the host answers with the champion."""
        version = self.champion()
        until(lambda: self.serving.version() == version, what=f"{version} answers")
        return version

    def day(self, digits: Digits) -> tuple[Answers, str, MonitorRecord]:
        """A day of requests and labels, and the run of the monitor after it."""
        answers = send(self.serving.port, digits)
        assert send_labels(self.serving.port, answers.requests, digits.labels) == len(digits)
        both = (len(digits), len(digits))
        until(lambda: waiting(self.environment.bucket, MODEL) == both, what="all was shipped")
        state = monitor(MODEL, return_state=True)
        record = MonitorLog(self.environment.bucket, MODEL).last()
        assert record is not None
        return answers, outcome(state), record


@pytest.fixture
def loop(
    flow_environment: FlowEnvironment,
    s3_address: S3Address,
    digits_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Loop]:
    project = tmp_path / "forms"
    copy_project(project, SIZE)
    monkeypatch.chdir(project)
    ended = retrain(MODEL, return_state=True)
    assert outcome(ended) == "Promoted", ended.message
    settings = follow_settings(s3_address, serving_workers="1", prediction_log_segment_seconds="1")
    with run_serving(place=tmp_path / "host", folder=tmp_path, **settings) as serving:
        yield Loop(
            flow_environment,
            serving,
            writers_of(Places(folder=digits_folder, cache=tmp_path), SIZE),
        )


def test_drift_is_noticed_named_retrained_for_and_learned_and_no_drift_is_not(loop: Loop) -> None:
    # Given a day of writers as the champion knows them, nothing follows.
    first = loop.follow()
    first_day = datetime.now(UTC)
    _, state, record = loop.day(loop.writers.census.part(0, A_DAY))
    assert (state, record.alarms, record.consequence.action) == ("Healthy", (), "nothing")

    # When students write, it is noticed on their first day, and named with its beginning.
    _, state, record = loop.day(loop.writers.students.part(0, A_DAY))
    alarm = record.alarms[0]
    assert (state, alarm.kind) == ("Drifted", "quality")
    assert first_day <= alarm.since <= datetime.now(UTC)
    assert alarm.value > alarm.expected
    assert record.consequence.action == "retrain"
    assert alarm.message in record.consequence.reason

    # Then the run that the automation starts has that reason, and learns what was labelled.
    ended = retrain(**parameters(record), return_state=True)
    assert outcome(ended) == "Promoted", ended.message
    second = loop.follow()
    manifest = registry(loop.environment.bucket, MODEL).manifest(second)
    assert manifest.compared_with == first
    assert manifest.run.reason == record.consequence.reason
    assert manifest.data.rows > SIZE.census_rows + A_DAY

    # And the next students are read better, by the new version than by the old one.
    students = loop.writers.students.part(A_DAY, A_DAY)
    before = send(loop.serving.port, students, version=first)
    after = send(loop.serving.port, students)
    assert set(after.versions) == {second}
    assert after.wrong(students.labels) < 0.8 * before.wrong(students.labels)


def parameters(record: MonitorRecord) -> Mapping[str, Any]:
    """Those with which the automation of the model starts its retraining after a record."""
    given = retrain_on_alarm(MODEL)["parameters"]
    assert isinstance(given, dict)
    return given | {"reason": record.consequence.reason}
