"""The card of a monitor run: what alarms, how far and since when, and what not to trust."""

from datetime import UTC, datetime

import pytest

from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import (
    Alarm,
    Consequence,
    LiveDistance,
    LiveQuality,
    MonitorRecord,
)
from overnight.tasks.reporting.monitor_card import MonitorSection, monitor_sections

AT = datetime(2026, 12, 1, 1, tzinfo=UTC)
VERSION = "20261201T020000-0123456789ab"


def card(alarm: Alarm | None, *, action: str = "nothing", **fields: object) -> str:
    whole = LiveQuality(
        version=VERSION, answers=1_240, labels=310, coverage=0.25, estimated=0.981,
        measurements=(Measurement(metric="accuracy", value=0.91, n=310, low=0.87, high=0.94),),
    )  # fmt: skip
    distance = LiveDistance(
        kind="inputs", feature="width", against="training", distance=0.312, n=900, e=40.0
    )
    record = MonitorRecord(
        model="digits", sequence=3, champion=VERSION, since=None, until=AT, quality=(whole,),
        distances=(distance,), alarms=(alarm,) if alarm else (),
        consequence=Consequence(action=action, reason="as labels say"),  # type: ignore[arg-type]
    )  # fmt: skip
    return "\n\n".join(monitor_sections(MonitorSection(record, **fields)))  # type: ignore[arg-type]


def alarm(kind: str, feature: str) -> Alarm:
    return Alarm(
        kind=kind, feature=feature, message="distance 0.31, expected at most 0.05", value=0.31,
        expected=0.05, since=AT,
    )  # type: ignore[arg-type]  # fmt: skip


def test_an_alarm_names_what_how_far_and_since_when_and_what_follows() -> None:
    text = card(alarm("inputs", "width"), action="retrain", problems=("one version is damaged",))

    assert "**What follows: retrain.** as labels say" in text
    assert "| inputs | width | distance 0.31, expected at most 0.05 | 2026-12-01 01:00 |" in text
    assert "accuracy 0.91 (0.87 to 0.94)" in text
    assert "25.0% of 1,240" in text
    assert "| inputs | width | 0.312 |" in text
    assert "- one version is damaged" in text


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("inputs", "~~0.9810~~"),
        ("confidence", "~~0.9810~~"),
        ("quality", "*0.9810*"),
        ("", "*0.9810*"),
    ],
)
def test_the_estimate_without_labels_is_struck_out_while_drift_alarms(
    kind: str, shown: str
) -> None:
    text = card(alarm(kind, "") if kind else None)

    assert shown in text
    assert ("the probabilities promise nothing" in text) is shown.startswith("~~")
