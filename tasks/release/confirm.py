"""Confirm a promotion or a challenge: wait for the acknowledgements of the serving replicas."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from overnight.store.errors import PromotionConflict
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord

# Short against a load of seconds, and at most five reads of the store a second.
_POLL_SECONDS = 0.2
# Serving only sets a flag on a refresh, so one that takes longer is not answering at all.
_NOTIFY_SECONDS = 2.0


@dataclass(frozen=True)
class Confirmation:
    """The state of an alias record: who serves it, who refused it and why, whether it was undone.

    `expected` is the number of replicas that have to serve it.
    """

    record: AliasRecord
    serving: tuple[str, ...] = ()
    refusals: tuple[Acknowledgement, ...] = ()
    rolled_back_to: str | None = None
    superseded_by: str | None = None
    expected: int = 0

    @property
    def confirmed(self) -> bool:
        return not self.refusals and len(self.serving) >= self.expected

    @property
    def reasons(self) -> str:
        """Each replica that refused, with its reason."""
        return "; ".join(f"{refusal.replica}: {refusal.reason}" for refusal in self.refusals)

    def __str__(self) -> str:
        if self.superseded_by:
            return f"{self.superseded_by} was promoted before {self.record.version} was confirmed"
        if self.refusals:
            then = (
                f"back to {self.rolled_back_to}" if self.rolled_back_to else "nothing to go back to"
            )
            return f"{self.record.version} was refused by {self.reasons}; {then}"
        return f"{len(self.serving)} of {self.expected} replicas serve {self.record.version}"


@dataclass(frozen=True)
class ChallengerConfirmation:
    """The state of a challenge. A refusal undoes nothing: the champion answers on that replica."""

    confirmation: Confirmation

    @property
    def is_complete(self) -> bool:
        """Whether every expected replica runs the challenger or has refused it."""
        state = self.confirmation
        return len(state.serving) + len(state.refusals) >= state.expected

    @property
    def is_refused(self) -> bool:
        """Whether it runs nowhere."""
        return bool(self.confirmation.refusals) and not self.confirmation.serving

    def __str__(self) -> str:
        state = self.confirmation
        running = f"{len(state.serving)} of {state.expected} replicas run {state.record.version}"
        return f"{running}; refused by {state.reasons}" if state.refusals else running


def notify(url: str, model: str) -> str | None:
    """Ask serving at `url` to poll the alias log at once; returns why it could not be asked.

    This only saves time: a replica that is not notified reads the log at its next poll.
    """
    try:
        # Our own servers, which are reached without the proxies of the environment.
        status = httpx.post(
            f"{url.rstrip('/')}/api/models/{model}/refresh",
            timeout=_NOTIFY_SECONDS,
            trust_env=False,
        ).status_code
    except httpx.HTTPError as error:
        return f"{url} could not be notified of the promotion: {error!r}"
    if status == httpx.codes.ACCEPTED:
        return None
    return f"{url} was notified of the promotion and answered {status}, expected 202"


def confirm(log: AliasLog, record: AliasRecord, *, replicas: int, seconds: float) -> Confirmation:
    """Wait until `replicas` serve a promotion; the first refusal rolls it back.

    Returns the state at the time-out: the caller decides whether silence is a failure.
    """

    def later() -> AliasRecord | None:
        return next(log.after(record.sequence), None)

    def is_settled(state: Confirmation) -> bool:
        return state.confirmed or bool(state.refusals) or later() is not None

    state = _wait(log, record, replicas=replicas, seconds=seconds, until=is_settled)
    if state.confirmed:
        return state
    # Before any rollback: a later record is somebody's newer decision and stands.
    if (newer := later()) is not None:
        return replace(state, superseded_by=newer.version)
    return _roll_back(log, state) if state.refusals else state


def await_challenger(
    log: AliasLog, record: AliasRecord, *, replicas: int, seconds: float
) -> ChallengerConfirmation:
    """Wait until `replicas` run a challenger or refuse it, or until the time-out."""
    state = _wait(
        log,
        record,
        replicas=replicas,
        seconds=seconds,
        until=lambda state: ChallengerConfirmation(state).is_complete,
    )
    return ChallengerConfirmation(state)


def _wait(
    log: AliasLog,
    record: AliasRecord,
    *,
    replicas: int,
    seconds: float,
    until: Callable[[Confirmation], bool],
) -> Confirmation:
    """Poll the acknowledgements of a record until they satisfy `until`, or until the time-out."""
    deadline = time.monotonic() + seconds
    while True:
        statements = log.acknowledgements(record.sequence)
        state = Confirmation(
            record=record,
            serving=tuple(sorted(each.replica for each in statements if each.serving)),
            refusals=tuple(each for each in statements if not each.serving),
            expected=replicas,
        )
        # Read first, then the clock: with a time-out of nothing there is still one answer.
        if until(state) or time.monotonic() > deadline:
            return state
        time.sleep(_POLL_SECONDS)


def _roll_back(log: AliasLog, state: Confirmation) -> Confirmation:
    record = state.record
    if record.previous is None:
        return state
    try:
        rollback = log.append(
            record.previous,
            expected=record.version,
            actor=Actor("confirm", str(state)),
            action="rolled back",
        )
    except PromotionConflict as conflict:
        # The alias was moved meanwhile; that decision is newer than this rollback.
        return replace(state, superseded_by=conflict.found)
    return replace(state, rolled_back_to=rollback.version)
