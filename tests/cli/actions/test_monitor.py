"""`overnight monitor --last`, and what `overnight status` says of the newest record."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from overnight.cli.actions import status
from overnight.cli.actions.monitoring import monitor
from overnight.cli.runs import exit_codes, listing
from overnight.cli.version_names import ShortNames
from overnight.infra.settings import load
from overnight.store.errors import BadKey, ConfigurationError
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import (
    Alarm,
    Consequence,
    DetectorState,
    LiveQuality,
    MonitorLog,
    MonitorRecord,
)
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER

AT = datetime(2026, 12, 1, 1, tzinfo=UTC)


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    measured = (Measurement(metric="accuracy", value=0.99, n=10_000),)
    made = manifest().model_copy(update={"measurements": measured})
    ModelRegistry(bucket, "digits").publish(made, FILES, SIGNER)
    return bucket


def write(bucket: MemoryBucket, *, alarmed: bool) -> MonitorRecord:
    alarm = Alarm(
        kind="quality", feature="", message="9.0% of 310 labelled answers wrong", value=0.09,
        expected=0.012, since=AT,
    )  # fmt: skip
    measured = Measurement(metric="accuracy", value=0.91, n=310, low=0.87, high=0.94)
    whole = LiveQuality(
        version=VERSION, answers=1_240, labels=310, coverage=0.25, measurements=(measured,),
        estimated=0.98,
    )  # fmt: skip
    return MonitorLog(bucket, "digits").append(
        MonitorRecord(
            model="digits", sequence=1, champion=VERSION, since=None, until=AT, at=AT,
            quality=(whole,), alarms=(alarm,) if alarmed else (),
            detectors=(DetectorState(name="quality", value=3, level=9, observations=310,
                                     details={"parts": {}}),),
            consequence=Consequence(action="retrain", reason="9.0% wrong")
            if alarmed
            else Consequence(action="nothing", reason="no alarm"),
            labels={"first": 310, "repeat": 2, "late": 0},
        )
    )  # fmt: skip


def test_the_newest_record_is_about_ten_lines(
    bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    write(bucket, alarmed=True)

    code = monitor._print_newest(bucket, "digits", as_json=False)

    lines = capsys.readouterr().out.splitlines()
    assert code == exit_codes.REFUSED
    assert 8 <= len(lines) <= 12
    text = "\n".join(lines)
    for part in (
        "digits: drifted, record 1",
        "accuracy 0.91 (0.87 to 0.94); 0.99 on the holdout",
        "labels of 310 of 1,240 answers (25.0%)",
        "first 310, repeat 2",
        "9.0% of 310 labelled answers wrong, since 2026-12-01 01:00 UTC",
        "follows      retrain: 9.0% wrong",
    ):
        assert part in text


def test_below_a_healthy_record_is_the_alarm_before_it(
    bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    alarmed = write(bucket, alarmed=True)
    healthy = {"sequence": 2, "alarms": (), "consequence": Consequence(action="nothing", reason="")}
    MonitorLog(bucket, "digits").append(alarmed.model_copy(update=healthy))

    code = monitor._print_newest(bucket, "digits", as_json=False)

    lines = capsys.readouterr().out.splitlines()
    assert code == exit_codes.DONE
    assert lines[0].startswith("digits: healthy, record 2")
    assert lines[-3] == f"the newest alarm: record 1 of 2026-12-01 01:00 UTC, champion {VERSION}"
    assert lines[-1] == "follows      retrain: 9.0% wrong"


def test_a_model_that_does_not_exist_is_named_as_such(bucket: MemoryBucket) -> None:
    with pytest.raises(ConfigurationError, match="no model is called nosuch"):
        monitor._print_newest(bucket, "nosuch", as_json=False)


def test_as_json_it_is_one_document_without_the_states_of_detectors(
    bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    write(bucket, alarmed=False)

    assert monitor._print_newest(bucket, "digits", as_json=True) == exit_codes.DONE

    document = json.loads(capsys.readouterr().out)
    assert document["consequence"]["action"] == "nothing"
    assert document["detectors"] == [
        {"name": "quality", "value": 3.0, "level": 9.0, "observations": 310, "since": None}
    ]


def test_without_a_record_there_is_nothing_to_do_and_the_command_is_named(
    bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    code = monitor._print_newest(bucket, "digits", as_json=True)

    printed = capsys.readouterr()
    assert code == exit_codes.NOTHING_TO_DO == 4
    assert printed.out == ""
    assert "`overnight monitor digits` writes the first" in printed.err


def test_where_every_record_is_damaged_they_are_named_and_it_fails(
    bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.create(keys.monitor_record("digits", 1), b'{"format": 7}')

    assert monitor._print_newest(bucket, "digits", as_json=False) == exit_codes.FAILED
    assert "monitoring/00000001.json" in capsys.readouterr().err


def test_a_name_that_is_no_model_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(BadKey, match="lower-case letters"):
        monitor.run("No Model", last=True, wait=True, as_json=False)


@pytest.mark.parametrize(
    ("alarmed", "line"),
    [
        (False, "digits: healthy, says record 1 of 2026-12-01 01:00 UTC"),
        (True, "digits: alarm since 2026-12-01 01:00 UTC, says record 1"),
    ],
)
def test_the_status_says_healthy_or_alarm_since(
    bucket: MemoryBucket, line: str, *, alarmed: bool
) -> None:
    write(bucket, alarmed=alarmed)

    document = status.of_model(bucket, load(), "digits", [])

    assert document["monitoring"]["healthy"] is not alarmed
    assert next(status.notices("digits", document, ShortNames(None))).startswith(line)


def test_a_damaged_record_is_a_problem_of_the_status_and_hides_nothing(
    bucket: MemoryBucket,
) -> None:
    write(bucket, alarmed=True)
    bucket.create(keys.monitor_record("digits", 2), b'{"format": 7}')
    problems: list[str] = []

    document = status.of_model(bucket, load(), "digits", problems)

    assert document["monitoring"]["sequence"] == 1
    assert any("monitoring/00000002.json" in problem for problem in problems)


@pytest.mark.parametrize(("state", "seconds"), [("RUNNING", 90.0), ("COMPLETED", 12.3)])
def test_a_run_that_is_running_has_the_seconds_since_it_began(state: str, seconds: float) -> None:
    # Prefect has counted nothing of it yet, or the time before it was started again.
    run = {"state_type": state, "start_time": AT.isoformat(), "total_run_time": 12.3}

    assert listing.duration(run, AT + timedelta(seconds=90)) == seconds


def test_a_drifted_run_ends_the_command_with_three() -> None:
    drifted = {"type": "COMPLETED", "name": "Drifted"}
    rolled_back = {"type": "COMPLETED", "name": "RolledBack"}

    assert exit_codes.exit_code(drifted, "monitor") == exit_codes.REFUSED
    assert exit_codes.exit_code(rolled_back, "monitor") == exit_codes.DONE
    assert exit_codes.exit_code(rolled_back, "retrain") == exit_codes.FAILED
