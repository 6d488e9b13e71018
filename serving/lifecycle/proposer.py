"""Proposer: brings the version of a record to the workers of a host, or refuses it.

The version is staged in the disk cache, loaded by a probe, and only then proposed in shared memory.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from overnight.serving.host.alias_state import AliasState
from overnight.serving.lifecycle.acknowledger import Acknowledger
from overnight.serving.lifecycle.follow_context import FollowContext
from overnight.serving.lifecycle.follower_memory import FollowerMemory
from overnight.serving.lifecycle.probe import RunningProbe
from overnight.store.errors import (
    BadKey,
    CorruptRecord,
    CorruptVersion,
    RejectedVersion,
    UnknownVersion,
    UntrustedVersion,
)
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION

logger = logging.getLogger(__name__)

# Why a version is refused for good; what is untrusted is tried again.
_REFUSED = (BadKey, CorruptRecord, CorruptVersion, RejectedVersion, UnknownVersion)
_UNFIT = (*_REFUSED, UntrustedVersion)


@dataclass(frozen=True)
class _Probing:
    """A record whose version is being loaded by a probe."""

    record: AliasRecord
    run: RunningProbe


class Proposer:
    """Proposes versions of one alias; at most one is probed or open at a time."""

    def __init__(
        self,
        alias_state: AliasState,
        log: AliasLog,
        context: FollowContext,
        *,
        memory: FollowerMemory,
        acknowledger: Acknowledger,
        is_over: Callable[[AliasRecord], bool],
    ) -> None:
        """A record that `is_over` is remembered in `memory` and not loaded."""
        self._alias_state, self._shared, self._log = alias_state, alias_state.shared, log
        self._context, self._clock = context, context.clock
        self._memory, self._acknowledger, self._is_over = memory, acknowledger, is_over
        self._probing: _Probing | None = None
        # When the proposal was opened that is open, if one is.
        self.opened_at = self._clock()

    @property
    def is_open(self) -> bool:
        """Whether workers are loading a proposal."""
        return self._shared.proposed > self._shared.current

    def is_probing(self, record: AliasRecord) -> bool:
        """Whether the version of this very record is being probed."""
        return self._probing is not None and self._probing.record.id == record.id

    def follow(self, record: AliasRecord) -> None:
        """Stage the version of a record, and propose it, once a probe has loaded it."""
        if self._probing is not None:
            self._probing.run.cancel()
            self._probing = None
        self._close_superseded(record)
        if record.target is None or self._is_over(record):
            self._shared.clear()
            self._memory.save(self._memory.state.following(record))
            return
        try:
            self._context.cache.stage(self._context.bucket, record)
        except _UNFIT as error:
            self._refuse(record, str(error), untrusted=isinstance(error, UntrustedVersion))
            return
        if self._is_known_fit(record):
            self._propose(record)
            return
        run = self._context.probe.start(record.model, record.version)
        if (reason := run.outcome()) is None:
            self._probing = _Probing(record, run)
        else:
            self.conclude(record, reason)

    def retry_untrusted(self, last: AliasRecord) -> None:
        """Propose a record whose version lacked a trusted signature or decision, if it has one now.

        Raises:
            UntrustedVersion: it still has none.
        """
        with suppress(*_REFUSED):  # for these it is refused below
            self._context.cache.stage(self._context.bucket, last)
        # Killed in between, the refusal is still known, and it is tried once more.
        self.follow(last)

    def take_outcome(self) -> tuple[AliasRecord, str] | None:
        """The record whose probe has ended, once, and why it is refused, empty if it is not."""
        if self._probing is None or (reason := self._probing.run.outcome()) is None:
            return None
        record, self._probing = self._probing.record, None
        return record, reason

    def conclude(self, record: AliasRecord, reason: str) -> None:
        """Propose a version that was probed, or refuse it for a reason."""
        if reason:
            self._refuse(record, reason)
            return
        # It loads now, whatever happened to a worker before: there may be more memory.
        self._context.load_notes.forget(record.model, record.version)
        self._propose(record)

    def activate(self, generation: int) -> None:
        """Let all workers answer with a generation that each of them has loaded."""
        self._shared.activate(generation)
        # Only now: until the activation the generation before is current, and a worker that
        # starts loads it by its record.
        self._alias_state.forget_proposals()
        logger.info("%s: all workers answer with generation %d", self._log.name, generation)

    def reject(self, generation: int, reason: str) -> None:
        """Close a proposal that a worker cannot load, and refuse its record."""
        record = self._alias_state.record(generation)
        self._shared.propose(self._shared.current)
        if record is not None:
            self._refuse(record, reason)

    def _close_superseded(self, record: AliasRecord) -> None:
        """Withdraw an open proposal that was made for another record, and another challenger.

        A champion answers until its successor does. A challenger was stopped before another could
        start, and must not answer while that is probed.
        """
        current = self._alias_state.record(self._shared.current)
        if self._log.alias != CHAMPION and (current is None or current.id != record.id):
            self._shared.activate(0)
        proposed = self._alias_state.record(self._shared.proposed) if self.is_open else None
        if proposed is not None and proposed.id != record.id:
            self._acknowledger.superseded(proposed, record)
            self._shared.propose(self._shared.current)

    def _is_known_fit(self, record: AliasRecord) -> bool:
        """Whether all workers loaded this version before, so that a rollback waits for no probe."""
        deaths = self._context.load_notes.deaths(record.model, record.version)
        return record.version in self._memory.state.served and not deaths

    def _propose(self, record: AliasRecord) -> None:
        self.opened_at = self._clock()
        # Proposed before it is remembered: killed in between, it is followed again under another
        # number; the other way round it would count as followed and never be loaded.
        generation = self._alias_state.propose(record)
        self._memory.save(self._memory.state.following(record))
        logger.info("%s: %s proposed as %d", self._log.name, record.version, generation)

    def _refuse(self, record: AliasRecord, reason: str, *, untrusted: bool = False) -> None:
        """Remember why, for ever: the same record is not tried again, unless it is `untrusted`."""
        logger.error("%s: %s refused: %s", self._log.name, record.version, reason)
        self._memory.save(self._memory.state.refusing(record, reason, untrusted=untrusted))
