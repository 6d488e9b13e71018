"""What follows from alarms: retrain, wait, notify, roll back or nothing, each with its reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from overnight.models.watching import Watching
from overnight.store.registry.monitoring import Alarm, AlarmKind, Consequence, MonitorRecord
from overnight.tasks.monitoring.decide import (
    Circumstances,
    WorseVersion,
    alarm_text,
    decide,
    decided_pairs,
    last_request,
)

NOW = datetime(2026, 12, 1, 1, tzinfo=UTC)
CHAMPION, PREDECESSOR = "20261130T020000-0123456789ab", "20261129T020000-0123456789ab"
WORSE = WorseVersion(CHAMPION, PREDECESSOR, "worse on 400 of 9,000 requests in shadow")
PLAIN = Circumstances(
    watching=Watching(),
    approval="automatic",
    nothing_new="",
    requested_at=None,
    worse=None,
    decided=frozenset(),
    now=NOW,
)


def alarm(kind: AlarmKind = "quality", message: str = "12 % wrong, expected at most 4 %") -> Alarm:
    return Alarm(
        kind=kind,
        feature="digit",
        message=message,
        value=0.12,
        expected=0.04,
        since=NOW - timedelta(days=1),
    )


def test_without_an_alarm_nothing_follows():
    assert decide("digits", [], PLAIN).action == "nothing"


@pytest.mark.parametrize("kind", ["quality", "inputs", "answers", "confidence"])
def test_an_alarm_retrains_with_its_text_as_the_reason(kind: AlarmKind):
    consequence = decide("digits", [alarm(kind)], PLAIN)

    assert consequence == Consequence(
        action="retrain", reason="12 % wrong, expected at most 4 %, since 2026-11-30"
    )


def test_skew_alone_notifies_a_person():
    consequence = decide("digits", [alarm("skew")], PLAIN)

    assert consequence.action == "notify"
    assert "no retraining mends" in consequence.reason


def test_skew_together_with_drift_retrains():
    assert decide("digits", [alarm("skew"), alarm("inputs")], PLAIN).action == "retrain"


@pytest.mark.parametrize(
    ("hours", "action"), [(0, "wait"), (23.9, "wait"), (24, "retrain"), (48, "retrain")]
)
def test_a_second_retraining_waits_for_the_declared_pause(
    hours: float, action: Literal["wait", "retrain"]
):
    recently = replace(PLAIN, requested_at=NOW - timedelta(hours=hours))

    consequence = decide("digits", [alarm()], recently)

    assert consequence.action == action
    if action == "wait":
        assert "not before" in consequence.reason


def test_where_nothing_can_be_learned_a_person_is_notified():
    stale = replace(PLAIN, nothing_new="nothing arrived since the champion was trained")

    consequence = decide("digits", [alarm()], stale)

    assert consequence.action == "notify"
    assert consequence.reason.endswith("nothing arrived since the champion was trained")


def test_a_model_that_does_not_retrain_by_itself_names_the_command():
    off = replace(PLAIN, watching=Watching(retrains=False))

    consequence = decide("digits", [alarm()], off)

    assert consequence.action == "notify"
    assert "`overnight retrain digits`" in consequence.reason


def test_a_worse_version_is_rolled_back_even_without_an_alarm():
    consequence = decide("digits", [], replace(PLAIN, worse=WORSE))

    assert consequence == Consequence(
        action="roll back", reason=WORSE.evidence, version=PREDECESSOR
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"approval": "manual"}, "people decide"),
        ({"watching": Watching(rolls_back=False)}, "rolls_back=False"),
    ],
)
def test_a_person_is_notified_of_a_worse_version_that_does_not_go_by_itself(
    changed: dict[str, object], why: str
):
    consequence = decide("digits", [], replace(PLAIN, worse=WORSE, **changed))  # type: ignore[arg-type]

    assert consequence.action == "notify"
    assert why in consequence.reason
    assert f"overnight rollback digits --to {PREDECESSOR}" in consequence.reason


def test_a_pair_is_decided_about_once():
    decided = replace(PLAIN, worse=WORSE, decided=frozenset({(CHAMPION, PREDECESSOR)}))

    assert decide("digits", [], decided).action == "nothing"
    assert decide("digits", [alarm()], decided).action == "retrain"


def test_pairs_and_requests_are_read_from_records():
    def record(sequence: int, consequence: Consequence) -> MonitorRecord:
        return MonitorRecord(
            model="digits",
            sequence=sequence,
            champion=CHAMPION,
            since=None,
            until=NOW,
            consequence=consequence,
            at=NOW + timedelta(days=sequence),
        )

    records = [
        record(1, Consequence(action="retrain", reason="drift")),
        record(2, Consequence(action="roll back", reason="worse", version=PREDECESSOR)),
        record(3, Consequence(action="wait", reason="paused")),
    ]

    assert decided_pairs(records) == {(CHAMPION, PREDECESSOR)}
    assert last_request(records) == NOW + timedelta(days=1)
    assert last_request(records[1:]) is None


def test_the_text_of_many_alarms_begins_with_quality_and_fits_a_line():
    many = [alarm("inputs", f"pixel {number} moved by {'far ' * 30}") for number in range(9)]

    text = alarm_text([*many, alarm()])

    assert text.startswith("12 % wrong")
    assert len(text) <= 400
