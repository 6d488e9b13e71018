"""Reviews of arrivals: data parked for a person to review, and the decisions about it.

An arrival is parked once; the decisions about it form an append-only log, whose last entry counts.
An excluded arrival stays in the dataset but is in no snapshot.
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
    """An arrival that awaits review: the findings, and the champion it was compared with."""

    model: str
    arrival: str
    findings: tuple[Finding, ...]
    compared_with: str | None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class ArrivalReview(Value):
    """A person's decision about an arrival: train on it, or leave it out of every snapshot.

    `authenticated`: a token authenticated the actor `by`; otherwise the name is a claim.
    """

    model: str
    arrival: str
    verdict: Verdict
    by: str
    reason: str
    sequence: int
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    authenticated: bool = Field(default=False, alias="proved")


@dataclass(frozen=True)
class ArrivalReviews:
    """The reviews of the arrivals of one model."""

    bucket: Bucket
    model: str

    def park(self, arrival: str, findings: Sequence[Finding], *, compared_with: str | None) -> None:
        """Park an arrival for review; the findings that were written first stand."""
        review = PendingReview(
            model=self.model, arrival=arrival, findings=tuple(findings), compared_with=compared_with
        )
        with suppress(AlreadyExists):
            self.bucket.create(keys.pending_review(self.model, arrival), review.encoded())

    def decide(self, arrival: str, verdict: Verdict, actor: Actor) -> ArrivalReview:
        """Accept or exclude an arrival; repeating changes nothing, the opposite reverses it."""
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
                authenticated=actor.authenticated,
            )
            key = keys.arrival_review(self.model, arrival, decision.sequence)
            try:
                self.bucket.create(key, decision.encoded())
            except AlreadyExists:
                # Another decision won this number: start over from it.
                continue
            return decision

    def decision(self, arrival: str) -> ArrivalReview | None:
        """The last decision about an arrival, or None while there is none."""
        # Single reads: a listing may be stale, and a decision must hold as soon as it is made.
        sequence, last = 1, None
        while True:
            key = keys.arrival_review(self.model, arrival, sequence)
            following = read(ArrivalReview, self.bucket, key)
            if following is None:
                return last
            last, sequence = following, sequence + 1

    def decisions(self) -> Mapping[str, ArrivalReview]:
        """The last decision about each decided arrival, by the arrival's name."""
        names = self.bucket.names_below(keys.arrivals(self.model))
        decisions = {name: self.decision(name) for name in names}
        return {name: last for name, last in decisions.items() if last is not None}

    def excluded(self) -> tuple[str, ...]:
        """Names of the arrivals that are left out of every snapshot, sorted."""
        decided = self.decisions()
        return tuple(sorted(name for name, last in decided.items() if last.verdict == "excluded"))

    def pending(self) -> list[PendingReview]:
        """The arrivals that await review, sorted by name."""
        pending = []
        for name in sorted(self.bucket.names_below(keys.arrivals(self.model))):
            review = read(PendingReview, self.bucket, keys.pending_review(self.model, name))
            if review is not None and self.decision(name) is None:
                pending.append(review)
        return pending
