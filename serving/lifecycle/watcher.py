"""Watcher: follows one alias of a model, its champion or challenger, for all workers of a host.

Only the leader runs it. It asks the store for the next record of the alias' log; a new version is
staged in the disk cache once for the host, loaded by a process that is thrown away, and proposed in
shared memory; then every worker loads it. When all have reported it prepared, one store to shared
memory switches all of them; when one refuses it, the proposal is rejected and the old version
stays. Either is acknowledged in the store. All logic is in `tick`; the next step is chosen by a
pure function, `rollout_policy.decide`.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from pydantic import ValidationError

from overnight.serving.errors import LogRewound
from overnight.serving.host.alias_state import AliasState, SharedGeneration
from overnight.serving.host.workers import ModelReport, living_reports
from overnight.serving.lifecycle import rollout_policy
from overnight.serving.lifecycle.acknowledger import Acknowledger
from overnight.serving.lifecycle.follow_context import FollowContext
from overnight.serving.lifecycle.follower_memory import FollowerMemory
from overnight.serving.lifecycle.log_reader import LogReader
from overnight.serving.lifecycle.proposer import Proposer
from overnight.serving.lifecycle.rollout_policy import (
    Acknowledge,
    Activate,
    HostState,
    Poll,
    Reject,
)
from overnight.store.errors import BadKey, CorruptRecord, OvernightError, UntrustedVersion
from overnight.store.objects import keys
from overnight.store.registry import alias_rules
from overnight.store.registry.alias_log import AliasLog, Entry
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION

logger = logging.getLogger(__name__)

SOON_SECONDS = 0.01
RETRY_UNTRUSTED_SECONDS = 10.0
REMEMBERED_VERSIONS = 20
# How soon a requested refresh is seen, and how often at most such requests reach the store.
REFRESH_SECONDS = 0.05


class Watcher:
    """Follows one alias of a model: from a record in its log to the version that answers."""

    def __init__(
        self,
        alias_state: AliasState,
        log: AliasLog,
        context: FollowContext,
        *,
        refresh_signal: SharedGeneration | None = None,
        challenger: AliasState | None = None,
        is_over: Callable[[AliasRecord], bool] = lambda _: False,
    ) -> None:
        """Follow `log` into `alias_state`.

        The active versions of the champion's `challenger` stay cached. A record that `is_over` is
        remembered and not loaded. Refreshes are requested in `refresh_signal`, by default in the
        alias' own shared memory.
        """
        self._alias_state, self._shared, self._log = alias_state, alias_state.shared, log
        self._context, self._clock = context, context.clock
        self._challenger = challenger
        self._signal = refresh_signal or alias_state.shared
        self._seen_requests = self._signal.refresh_requests
        self._polled_at = self._clock() - REFRESH_SECONDS
        self._memory = FollowerMemory(alias_state)
        self._reader = LogReader(log, alias_state.folder, context.clock)
        self._acknowledger = Acknowledger(log, context.replica, self._memory)
        self._proposer = Proposer(
            alias_state,
            log,
            context,
            memory=self._memory,
            acknowledger=self._acknowledger,
            is_over=is_over,
        )
        self._is_postponed = False
        self._acknowledged = 0
        self._due = self._retry_at = self._clock()

    def tick(self) -> float:
        """At most one step forward. Returns how many seconds to rest before the next.

        A failing store is no error here: serving continues, and the sync error is reported.
        """
        self._look_at_probe()
        action = rollout_policy.decide(self._host_state())
        match action:
            case Activate(generation):
                self._due = self._clock()
                self._proposer.activate(generation)
            case Reject(generation, reason):
                self._due = self._clock()
                self._proposer.reject(generation, reason)
            case Acknowledge(generation):
                self._with_store(lambda: self._acknowledge(generation))
                self._is_postponed = self._acknowledged != generation
            case Poll() if self._clock() >= self._due or self._is_refresh_requested():
                self._with_store(self._ask_store)
                self._is_postponed = False
            case Poll():
                rest = min(self._due - self._clock(), self._context.poll_seconds, REFRESH_SECONDS)
                return max(rest, SOON_SECONDS)
            case _ if self._proposer.is_open and self._clock() >= self._due:
                # What is newer supersedes a proposal that workers are long in preparing.
                self._with_store(self._ask_store)
            case _:
                pass
        return SOON_SECONDS

    def _is_refresh_requested(self) -> bool:
        # However many requests come, the store is read at most every REFRESH_SECONDS.
        return (
            self._signal.refresh_requests != self._seen_requests
            and self._clock() - self._polled_at >= REFRESH_SECONDS
        )

    def _host_state(self) -> HostState:
        shared = self._shared
        # A store that takes no acknowledgement must not keep us from following it: after a failure
        # the next step is a poll.
        owed = shared.current not in {0, self._acknowledged} and not self._is_postponed
        reports = living_reports(self._context.workers) if self._proposer.is_open or owed else []
        return HostState(
            current=shared.current,
            proposed=shared.proposed,
            workers=[report.models.get(self._log.name, ModelReport()) for report in reports],
            open_seconds=self._clock() - self._proposer.opened_at,
            acknowledged=not owed,
        )

    def _look_at_probe(self) -> None:
        if (ended := self._proposer.take_outcome()) is not None:
            # A refusal is acknowledged by the next poll, which also finds the record again if
            # this fails.
            self._due = self._clock()
            self._with_store(lambda: self._proposer.conclude(*ended))

    def _with_store(self, step: Callable[[], None]) -> None:
        """Do a step that needs the store; when it fails, report it and try again a poll later."""
        try:
            step()
        except (OvernightError, OSError, ValidationError, MemoryError) as error:
            # The store is away, our disk or memory is full, or a record is not ours to read: none
            # of them ends following, of this model or of any other.
            self._due = self._clock() + self._context.poll_seconds
            self._note_sync_error(str(error) or "no memory is left to fetch a version")
        else:
            if self._shared.current in {0, self._acknowledged}:
                self._note_sync_error(self._reader.problem)

    def _note_sync_error(self, sync_error: str) -> None:
        if sync_error != self._memory.state.sync_error:
            logger.warning("%s: %s", self._log.name, sync_error or "the store answers again")
            self._memory.update(sync_error=sync_error)

    def _acknowledge(self, generation: int) -> None:
        record = self._alias_state.record(generation)
        if record is not None:
            self._acknowledger.serving(record)
            if self._challenger is not None:
                previous = self._note_served(record.version)
                used = {record.version} | previous | self._challenger.active_versions()
                # Challengers are followed in another thread: one that it has staged and not yet
                # proposed is deleted here, and fetched once more by the loaders.
                self._context.cache.keep_only(self._log.model, used)
        self._acknowledged = generation

    def _note_served(self, version: str) -> set[str]:
        """Remember the version that serves; returns the previous ones that workers may hold."""
        previous = [served for served in self._memory.state.served if served != version]
        self._memory.update(served=(version, *previous)[:REMEMBERED_VERSIONS])
        manifests = [self._context.cache.manifest(self._log.model, name) for name in previous]
        staged = [manifest for manifest in manifests if manifest is not None]
        return set(self._context.memory_budget.retained(staged))

    def _ask_store(self) -> None:
        try:
            self._poll()
        finally:
            self._shared.note_poll(int(time.time() * 1000))

    def _poll(self) -> None:
        """Ask for the next record; propose the newest, and acknowledge those it overtook."""
        # Read before the store is asked: a request that comes meanwhile may be for a newer record.
        requests = self._signal.refresh_requests
        tries_again = requests != self._seen_requests or self._clock() >= self._retry_at
        self._seen_requests, self._polled_at = requests, self._clock()
        last = self._last_followed()
        try:
            if tries_again:
                self._reader.read_skipped_again()
            records = self._reader.newest_after(last)
        except LogRewound:
            if self._log.alias != CHAMPION:
                self._shared.clear()  # a host can do without a challenger
            raise
        self._shared.note_sync(int(time.time() * 1000))
        self._due = self._clock() + self._context.poll_seconds
        if tries_again:
            self._retry_at = self._clock() + RETRY_UNTRUSTED_SECONDS
        for entry in records.distrusted:
            self._distrust(entry)
        if (record := records.followed) is not None:
            if self._proposer.is_probing(record):
                return
            self._proposer.follow(record)
            first = last.sequence + 1 if last else record.sequence
            self._acknowledger.overtaken(first, record)
        elif last and tries_again and self._memory.state.is_untrusted(last):
            with suppress(UntrustedVersion):
                self._proposer.retry_untrusted(last)
        self._acknowledger.refusals()

    def _last_followed(self) -> AliasRecord | None:
        """The last record followed here, unless it is none that counts.

        An earlier release followed such records, whose removal is no sign of a log that went back.
        """
        last = self._memory.state.last
        if last is not None:
            try:
                alias_rules.check(
                    last, keys.alias_record(last.model, self._log.alias, last.sequence)
                )
            except (BadKey, CorruptRecord):
                return None
        return last

    def _distrust(self, entry: Entry) -> None:
        if entry.record is not None and entry.problem is not None:
            state = self._memory.state.distrusting(entry.record, str(entry.problem))
            if state is not self._memory.state:
                logger.error("%s: not followed: %s", self._log.name, entry.problem)
                self._memory.save(state)
