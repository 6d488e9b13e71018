"""Refusals: a candidate that failed its gates is remembered, so that no run repeats it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from overnight.store.errors import AlreadyExists, CorruptRecord
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.manifest import Finding, Measurement
from overnight.store.values import Value


class Refusal(Value):
    """The findings of the gates about a candidate that was never published.

    Then what pages show of it: its metrics on the holdout, the number of training rows, what the
    gates of the data found, the run, and the seconds of training. Earlier releases recorded none.
    """

    model: str
    fingerprint: str
    findings: tuple[Finding, ...]
    compared_with: str | None = None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    measurements: tuple[Measurement, ...] = ()
    data_findings: tuple[Finding, ...] = ()
    rows: int | None = None
    run: str = ""
    run_url: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class ListedRefusals:
    """The refusals of a model, the newest first, and why others cannot be read."""

    refusals: tuple[Refusal, ...]
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class Refusals:
    """The refusals of candidates of one model."""

    bucket: Bucket
    model: str

    def refuse(
        self, fingerprint: str, findings: Sequence[Finding], *, compared_with: str | None
    ) -> None:
        """Record that a candidate was refused; compared with another champion it may pass."""
        self.keep(
            Refusal(
                model=self.model,
                fingerprint=fingerprint,
                findings=tuple(findings),
                compared_with=compared_with,
            )
        )

    def keep(self, refusal: Refusal) -> None:
        """Write a refusal; an earlier one of the same candidate and champion stands."""
        # The same inputs compared with the same champion: the first findings are as good.
        with suppress(AlreadyExists):
            key = keys.refusal(self.model, refusal.fingerprint, refusal.compared_with)
            self.bucket.create(key, refusal.encoded())

    def find(self, fingerprint: str, *, compared_with: str | None) -> Refusal | None:
        """The refusal of this fingerprint when compared with this champion, if there is one."""
        return read(Refusal, self.bucket, keys.refusal(self.model, fingerprint, compared_with))

    def newest_first(self) -> ListedRefusals:
        """Every refusal; one that is damaged hides no other."""
        refusals, damaged = [], []
        for key in self.bucket.keys_below(keys.refusals(self.model)):
            try:
                if refusal := read(Refusal, self.bucket, key):
                    refusals.append(refusal)
            except CorruptRecord as error:
                damaged.append(str(error))
        ordered = sorted(refusals, key=lambda refusal: refusal.at, reverse=True)
        return ListedRefusals(tuple(ordered), tuple(damaged))
