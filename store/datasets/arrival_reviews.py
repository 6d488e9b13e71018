"""Arrivals: what a person said of data that waits, or of data that should not have come in.

What waits is told once, create-only; the words about it are a log, create-only each, of which the
last counts. An arrival that is excluded stays in the dataset and in no snapshot.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.errors import AlreadyExists
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Finding
from overnight.store.values import Value

Verdict = Literal["accepted", "excluded"]


class PendingReview(Value):
    """An arrival that waits for a person: what was found, compared with which champion."""

    model: str
    arrival: str
    findings: tuple[Finding, ...]
    compared_with: str | None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class ArrivalReview(Value):
    """A person's word about an arrival: learn from it, or leave it out of every snapshot.

    `proved`: a token showed that it was `by` who said so.
    """

    model: str
    arrival: str
    verdict: Verdict
    by: str
    reason: str
    sequence: int
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    proved: bool = False


@dataclass(frozen=True)
class ArrivalReviews:
    """What was found and decided about the arrivals of one model."""

    bucket: Bucket
    model: str

    def hold(self, arrival: str, findings: Sequence[Finding], *, compared_with: str | None) -> None:
        """Let an arrival wait for a person; what was found first stands."""
        held = PendingReview(
            model=self.model, arrival=arrival, findings=tuple(findings), compared_with=compared_with
        )
        with suppress(AlreadyExists):
            self.bucket.create(keys.arrival_held(self.model, arrival), held.encoded())

    def decide(self, arrival: str, verdict: Verdict, actor: Actor) -> ArrivalReview:
        """Accept or exclude an arrival, or find that it was done already; it may be taken back."""
        while True:
            last = self.decision(arrival)
            if last is not None and last.verdict == verdict:
                return last
            decision = ArrivalReview(
                model=self.model,
                arrival=arrival,
                verdict=verdict,
                by=actor.name,
                reason=actor.reason,
                sequence=last.sequence + 1 if last else 1,
                proved=actor.authenticated,
            )
            key = keys.arrival_decision(self.model, arrival, decision.sequence)
            try:
                self.bucket.create(key, decision.encoded())
            except AlreadyExists:
                # Somebody decided at the same moment: read that decision first.
                continue
            return decision

    def decision(self, arrival: str) -> ArrivalReview | None:
        """The last decision about an arrival, or None while there is none."""
        sequence, last = 1, None
        while True:
            key = keys.arrival_decision(self.model, arrival, sequence)
            following = read(ArrivalReview, self.bucket, key)
            if following is None:
                return last
            last, sequence = following, sequence + 1

    def decisions(self) -> Mapping[str, ArrivalReview]:
        """The last decision about each arrival that was decided about, by its name."""
        names = self.bucket.names_below(keys.arrivals(self.model))
        found = {name: self.decision(name) for name in names}
        return {name: last for name, last in found.items() if last is not None}

    def excluded(self) -> tuple[str, ...]:
        """The arrivals that no snapshot holds, in order of their names."""
        decided = self.decisions()
        return tuple(sorted(name for name, last in decided.items() if last.verdict == "excluded"))

    def waiting(self) -> list[PendingReview]:
        """The arrivals that wait for a person, in order of their names."""
        found = []
        for name in sorted(self.bucket.names_below(keys.arrivals(self.model))):
            held = read(PendingReview, self.bucket, keys.arrival_held(self.model, name))
            if held is not None and self.decision(name) is None:
                found.append(held)
        return found
