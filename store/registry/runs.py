"""Records of runs: when each began, how it ended, and when the schedule starts the next ones.

Two create-only objects a run, in a folder for each month. They are for display: nothing follows
from them, so they are not signed. Serving reads here what its pages show of runs, without Prefect.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import Field

from overnight.store.errors import AlreadyExists, BadKey, CorruptRecord
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.values import Value

LONGEST_MESSAGE = 4_000
# A run that the schedule starts may have to wait for another one of its model.
GRACE = timedelta(hours=1)
# Prefect starts a run a moment before it is due, and clocks differ.
_EARLY = timedelta(minutes=5)


class RunRecord(Value):
    """One end of a run.

    `outcome` is empty in the record of a start; `failed` says that somebody has to act. `due` are
    the next times at which the schedule starts the flow, oldest first; None where that is unknown.
    """

    format: int = 1
    model: str
    flow: str
    run: str
    name: str = ""
    url: str = ""
    event: Literal["started", "ended"]
    outcome: str = ""
    message: str = Field(default="", max_length=LONGEST_MESSAGE)
    failed: bool = False
    by: str = ""
    started: datetime
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    due: tuple[datetime, ...] | None = None


@dataclass(frozen=True)
class Runs:
    """The records of the runs of one model."""

    bucket: Bucket
    model: str

    def keep(self, record: RunRecord) -> None:
        """Write a record; one that was written before stands."""
        with suppress(AlreadyExists):
            key = keys.run_record(self.model, record.at, record.run, record.event)
            self.bucket.create(key, record.encoded())

    def newest_keys(self, months: int = 2) -> list[str]:
        """The keys of the records of the newest months that have any, oldest first."""
        prefix = keys.runs(self.model)
        newest = sorted(self.bucket.names_below(prefix))[-months:]
        return [
            f"{prefix}/{month}/{name}"
            for month in newest
            for name in sorted(self.bucket.names_below(f"{prefix}/{month}"))
        ]

    def read(self, key: str) -> RunRecord | None:
        """The record under a listed key, or None for an object that is no record of ours."""
        try:
            return read(RunRecord, self.bucket, key)
        except (BadKey, CorruptRecord):
            return None


def latest(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The last record of each run, the newest run first.

    A run that crashed and was started again is one run: its last word counts.
    """
    by_run: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda record: record.at):
        by_run[record.run] = record
    return sorted(by_run.values(), key=lambda record: record.started, reverse=True)


def missed(records: Sequence[RunRecord], *, flow: str, now: datetime) -> list[datetime]:
    """The times at which the schedule should have started the flow, and no run began.

    Each record says what was due after it; so a time counts that the newest record before it names.
    """
    own = sorted((each for each in records if each.flow == flow), key=lambda record: record.at)
    started = sorted(record.started for record in own)
    passed: list[datetime] = []
    planned = [record for record in own if record.due is not None]
    for place, record in enumerate(planned):
        until = planned[place + 1].at if place + 1 < len(planned) else now
        latest_due = min(until, now - GRACE)
        passed += [due for due in record.due or () if record.at < due <= latest_due]
    return [
        due for due in passed if not any(due - _EARLY <= began <= due + GRACE for began in started)
    ]


def next_due(records: Iterable[RunRecord], *, flow: str, now: datetime) -> datetime | None:
    """The next time at which the schedule starts the flow, as the newest record knows it."""
    planned = [each for each in records if each.flow == flow and each.due is not None]
    newest = max(planned, key=lambda record: record.at, default=None)
    return next((due for due in (newest.due or () if newest else ()) if due > now), None)
