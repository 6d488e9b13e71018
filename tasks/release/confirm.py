"""Confirm a promotion: wait until the replicas say that they serve it, or that they will not."""

import http.client
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from overnight.store.errors import PromotionConflict
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import Acknowledgement, AliasLog, AliasRecord

_LOOK_SECONDS = 0.2
_TELL_SECONDS = 2.0


@dataclass(frozen=True)
class Confirmation:
    """What became of a record: who serves it, who refused it and why, and whether it was undone."""

    record: AliasRecord
    serving: tuple[str, ...] = ()
    refusals: tuple[Acknowledgement, ...] = ()
    rolled_back_to: str | None = None
    superseded_by: str | None = None
    expected: int = 0

    @property
    def confirmed(self) -> bool:
        return not self.refusals and len(self.serving) >= self.expected

    def __str__(self) -> str:
        if self.superseded_by:
            return f"{self.superseded_by} was promoted before {self.record.version} was confirmed"
        if self.refusals:
            said = "; ".join(f"{refusal.replica}: {refusal.reason}" for refusal in self.refusals)
            then = (
                f"back to {self.rolled_back_to}" if self.rolled_back_to else "nothing to go back to"
            )
            return f"{self.record.version} was refused by {said}; {then}"
        return f"{len(self.serving)} of {self.expected} replicas serve {self.record.version}"


def notify(url: str, model: str) -> str | None:
    """Tell serving at `url` that the log has moved, or why it could not be told.

    It only saves waiting: a replica that hears nothing finds out at its next poll.
    """
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.netloc, timeout=_TELL_SECONDS)
    try:
        connection.request(
            "POST", f"{address.path.rstrip('/')}/api/models/{model}/refresh", body=b""
        )
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} could not be told of the promotion: {error!r}"
    finally:
        connection.close()
    if status == http.HTTPStatus.ACCEPTED:
        return None
    return f"{url} was told of the promotion and answered {status}"


def look(log: AliasLog, record: AliasRecord, expected: int) -> Confirmation:
    """What the replicas have said so far."""
    said = log.acknowledgements(record.sequence)
    return Confirmation(
        record=record,
        serving=tuple(sorted(word.replica for word in said if word.serving)),
        refusals=tuple(word for word in said if not word.serving),
        expected=expected,
    )


def confirm(bucket: Bucket, record: AliasRecord, *, replicas: int, seconds: float) -> Confirmation:
    """Wait for `replicas` acknowledgements; the first refusal undoes the promotion.

    Returns what is known when the time is up: the caller decides whether silence is a failure.
    """
    log = AliasLog(bucket, record.model, record.alias)
    deadline = time.monotonic() + seconds
    while True:
        confirmation = look(log, record, replicas)
        if confirmation.confirmed:
            return confirmation
        if (later := log.at(record.sequence + 1)) is not None:
            return replace(confirmation, superseded_by=later.version)
        if confirmation.refusals:
            return _undone(log, confirmation)
        if time.monotonic() > deadline:
            return confirmation
        time.sleep(_LOOK_SECONDS)


def _undone(log: AliasLog, confirmation: Confirmation) -> Confirmation:
    record = confirmation.record
    if record.previous is None:
        return confirmation
    try:
        undone = log.append(
            record.previous,
            expected=record.version,
            actor=Actor("confirm", str(confirmation)),
            action="rolled back",
        )
    except PromotionConflict as conflict:
        # Somebody moved it on meanwhile; their word is newer than ours.
        return replace(confirmation, superseded_by=conflict.found)
    return replace(confirmation, rolled_back_to=undone.version)
