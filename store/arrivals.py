"""Arrivals: what a person said of data that waits, or of data that should not have come in.

What waits is told once, create-only; the words about it are a log, create-only each, of which the
last counts. An arrival that is excluded stays in the dataset and in no snapshot.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from store import keys
from store.bucket import Bucket
from store.errors import AlreadyExists
from store.manifest import Finding
from store.records import read
from store.values import Value

Verdict = Literal["accepted", "excluded"]


class Held(Value):
    """An arrival that waits for a person: what was found, compared with which champion."""

    model: str
    arrival: str
    findings: tuple[Finding, ...]
    compared_with: str | None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class ArrivalDecision(Value):
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


def hold(
    bucket: Bucket,
    model: str,
    arrival: str,
    findings: Sequence[Finding],
    *,
    compared_with: str | None,
) -> None:
    """Let an arrival wait for a person; what was found first stands."""
    held = Held(model=model, arrival=arrival, findings=tuple(findings), compared_with=compared_with)
    try:
        bucket.create(keys.arrival_held(model, arrival), held.model_dump_json(indent=2).encode())
    except AlreadyExists:
        return


def decide(
    bucket: Bucket,
    model: str,
    arrival: str,
    *,
    verdict: Verdict,
    by: str,
    reason: str,
    proved: bool = False,
) -> ArrivalDecision:
    """Say a word about an arrival, or find that it was said already; it may be taken back."""
    while True:
        last = decision(bucket, model, arrival)
        if last is not None and last.verdict == verdict:
            return last
        word = ArrivalDecision(
            model=model,
            arrival=arrival,
            verdict=verdict,
            by=by,
            reason=reason,
            sequence=last.sequence + 1 if last else 1,
            proved=proved,
        )
        key = keys.arrival_decision(model, arrival, word.sequence)
        try:
            bucket.create(key, word.model_dump_json(indent=2).encode())
        except AlreadyExists:
            # Somebody spoke at the same moment: hear them first.
            continue
        return word


def decision(bucket: Bucket, model: str, arrival: str) -> ArrivalDecision | None:
    """The last word about an arrival, or None while nobody spoke."""
    sequence, last = 1, None
    while True:
        key = keys.arrival_decision(model, arrival, sequence)
        following = read(ArrivalDecision, bucket, key)
        if following is None:
            return last
        last, sequence = following, sequence + 1


def decisions(bucket: Bucket, model: str) -> Mapping[str, ArrivalDecision]:
    """The last word about each arrival of which anybody spoke, by its name."""
    names = bucket.names_below(keys.arrivals(model))
    found = {name: decision(bucket, model, name) for name in names}
    return {name: last for name, last in found.items() if last is not None}


def excluded(bucket: Bucket, model: str) -> tuple[str, ...]:
    """The arrivals that no snapshot holds, in order of their names."""
    spoken = decisions(bucket, model)
    return tuple(sorted(name for name, last in spoken.items() if last.verdict == "excluded"))


def waiting(bucket: Bucket, model: str) -> list[Held]:
    """The arrivals that wait for a person, in order of their names."""
    found = []
    for name in sorted(bucket.names_below(keys.arrivals(model))):
        held = read(Held, bucket, keys.arrival_held(model, name))
        if held is not None and decision(bucket, model, name) is None:
            found.append(held)
    return found
