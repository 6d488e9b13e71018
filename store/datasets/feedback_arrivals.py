"""Names of arrivals with labelled rows: `feedback-<day>-<number of the monitor record>`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

ORIGIN = "feedback"
_NAME = re.compile(rf"{ORIGIN}-\d{{4}}-\d\d-\d\d-(\d{{8}})(-doubtful)?")


@dataclass(frozen=True)
class FeedbackName:
    """The parts of a name: the monitor record, and whether a person decides about the rows."""

    sequence: int
    doubtful: bool


def feedback_name(until: datetime, sequence: int, *, doubtful: bool = False) -> str:
    """The name of the arrival with the labelled rows of a monitor record that ends at `until`."""
    suffix = "-doubtful" if doubtful else ""
    return f"{ORIGIN}-{until.astimezone(UTC):%Y-%m-%d}-{sequence:08d}{suffix}"


def parse_feedback_name(arrival: str) -> FeedbackName | None:
    """The parts of the name of an arrival with labelled rows; None of any other."""
    match = _NAME.fullmatch(arrival)
    return FeedbackName(int(match[1]), bool(match[2])) if match else None
