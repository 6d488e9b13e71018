"""Wait for what the replicas say of a challenger."""

import time
from dataclasses import dataclass

from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHALLENGER, AliasLog, AliasRecord
from overnight.tasks.release.confirm import Confirmation, look

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class ChallengerConfirmation:
    """Who runs a challenger, and who would not, and why."""

    confirmation: Confirmation

    @property
    def is_complete(self) -> bool:
        """Whether everybody who was expected has spoken."""
        found = self.confirmation
        return len(found.serving) + len(found.refusals) >= found.expected

    @property
    def is_refused(self) -> bool:
        """Whether it runs nowhere."""
        return bool(self.confirmation.refusals) and not self.confirmation.serving

    def __str__(self) -> str:
        found = self.confirmation
        told = f"{len(found.serving)} of {found.expected} replicas run {found.record.version}"
        said = "; ".join(f"{refusal.replica}: {refusal.reason}" for refusal in found.refusals)
        return f"{told}; refused by {said}" if said else told


def await_challenger(
    bucket: Bucket, record: AliasRecord, *, replicas: int, seconds: float
) -> ChallengerConfirmation:
    """Wait until `replicas` hosts have said whether they run a challenger, or the time is up.

    A refusal undoes nothing: the champion answers there, and the others go on.
    """
    log = AliasLog(bucket, record.model, CHALLENGER)
    deadline = time.monotonic() + seconds
    while True:
        heard = ChallengerConfirmation(look(log, record, replicas))
        if heard.is_complete or time.monotonic() > deadline:
            return heard
        time.sleep(_LOOK_SECONDS)
