"""Every end of a run leaves a record in the bucket, by the hooks of its flow."""

import pytest

from overnight.store.registry.runs import RunRecord, Runs, latest
from tests.support.flow_environment import FlowEnvironment

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def records(environment: FlowEnvironment) -> list[RunRecord]:
    runs = Runs(environment.bucket, "digits")
    return [record for key in runs.newest_keys() if (record := runs.read(key)) is not None]


def test_a_run_leaves_its_start_its_outcome_and_its_reason(flow_environment):
    # Late: Prefect takes a second to import, and every worker collects this file.
    from overnight.flows.monitor import monitor

    monitor("digits", return_state=True)

    started, ended = sorted(records(flow_environment), key=lambda record: record.event)[::-1]
    assert (started.event, ended.event, started.run) == ("started", "ended", ended.run)
    assert ended.flow == "monitor"
    assert ended.outcome
    assert not ended.failed


def test_a_run_that_failed_says_so(flow_environment):
    from overnight.flows.reproduce import reproduce

    reproduce("digits", "20200101T000000-0123456789ab", return_state=True)

    (last,) = latest(records(flow_environment))
    assert (last.event, last.outcome, last.failed) == ("ended", "Failed", True)
    assert "20200101T000000-0123456789ab" in last.message


def test_a_request_that_is_denied_has_ended(flow_environment):
    from overnight.flows.retrain import retrain

    retrain("digits", override_gates=True, return_state=True)

    (last,) = latest(records(flow_environment))
    assert (last.event, last.outcome, last.failed) == ("ended", "InvalidRequest", False)
    assert "requested_by" in last.message
