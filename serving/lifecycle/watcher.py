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
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from overnight.serving.errors import LogRewound
from overnight.serving.host.alias_state import AliasState, FollowerState, SharedGeneration
from overnight.serving.host.workers import ModelReport, living_reports
from overnight.serving.lifecycle import rollout_policy
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.lifecycle.memory_budget import MemoryBudget
from overnight.serving.lifecycle.probe import Probe, RunningProbe
from overnight.serving.lifecycle.rollout_policy import (
    Acknowledge,
    Activate,
    HostState,
    Poll,
    Reject,
)
from overnight.store.errors import (
    BadKey,
    CorruptRecord,
    CorruptVersion,
    OvernightError,
    RejectedVersion,
    StoreDenied,
    UnknownVersion,
    UntrustedVersion,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry import alias_rules
from overnight.store.registry.aliases import (
    CHAMPION,
    Acknowledgement,
    AliasLog,
    AliasRecord,
    Entry,
)
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Trust

logger = logging.getLogger(__name__)

SOON_SECONDS = 0.01
RETRY_UNTRUSTED_SECONDS = 10.0
REMEMBERED_VERSIONS = 20
# How soon a requested refresh is seen, and how often at most such requests reach the store.
REFRESH_SECONDS = 0.05
# How often the log is checked to still hold the last record that was followed.
CHECK_SECONDS = 60.0
# Why a version is refused for good; what is untrusted is tried again.
_REFUSED = (BadKey, CorruptRecord, CorruptVersion, RejectedVersion, UnknownVersion)
_UNFIT = (*_REFUSED, UntrustedVersion)


@dataclass(frozen=True)
class FollowContext:
    """What all watchers of this host share.

    `workers` is the folder of the workers' reports, `replica` the name of the host in the store;
    `signer` signs what the host writes about challengers.
    """

    bucket: Bucket
    cache: DiskCache
    probe: Probe
    load_notes: LoadNotes
    workers: Path
    replica: str
    poll_seconds: float
    memory_budget: MemoryBudget
    trust: Trust
    signer: Callable[[], Signer] | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class _Probing:
    """A record whose version is being loaded by a probe."""

    record: AliasRecord
    run: RunningProbe


@dataclass(frozen=True)
class NewRecords:
    """What was found after the last record: the newest that may be followed, and who else wrote."""

    followed: AliasRecord | None = None
    distrusted: tuple[Entry, ...] = ()


class LogReader:
    """Reads the records of a log after the last one followed here, and only ever forwards.

    A store that was set back, or in which history was rewritten, would have serving follow what was
    rolled back long ago. The last record is on the host's own disk, and the log has to hold it.
    Only a record that a trusted key signed is followed; others are skipped.
    """

    def __init__(
        self, log: AliasLog, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`folder`, in which this host remembers the log, is named in errors."""
        self._log, self._folder, self._clock = log, folder, clock
        self._checked_at: float | None = None
        # The end of what was read and skipped, so that it is not read at each poll.
        self._skipped_to = 0
        # Why an object in the log that is no record at all was skipped; empty without one.
        self.problem = ""

    def read_skipped_again(self) -> None:
        """Read once more what was skipped: it may be signed, or its key be trusted, by now."""
        self._skipped_to, self.problem = 0, ""

    def newest_after(self, last: AliasRecord | None) -> NewRecords:
        """The records after `last`, if there are any: mostly one small GET.

        That the log still holds `last` is checked at first, now and then, and before anything newer
        is returned.

        Raises:
            LogRewound: it does not, or holds another record in its place.
        """
        if last is None and not self._skipped_to:
            return self._first()
        now = self._clock()
        is_due = self._checked_at is None or now - self._checked_at >= CHECK_SECONDS
        if last is not None and is_due:
            self._check(last, now)
        after = max(last.sequence if last else 0, self._skipped_to)
        entries = list(self._log.entries(after=after))
        if entries and last is not None and self._checked_at != now:
            self._check(last, now)
        return self._sorted(entries)

    def _first(self) -> NewRecords:
        """For a host that follows nothing yet: the newest record that counts."""
        # A small GET says that there is no log at all; only one that exists is listed.
        if self._log.entry(1) is None:
            return NewRecords()
        current = self._log.current()
        if current is not None and current.signed is not None:
            return NewRecords(current)
        newest = (self._log.entry(sequence) for sequence in self._log.sequences()[-1:])
        return self._sorted([entry for entry in newest if entry is not None])

    def _sorted(self, entries: list[Entry]) -> NewRecords:
        if not entries:
            return NewRecords()
        unreadable = [str(entry.problem) for entry in entries if entry.record is None]
        self.problem = unreadable[-1] if unreadable else self.problem
        followed = [entry.record for entry in entries if entry.signer is not None]
        # One that may be followed is read again until it is.
        self._skipped_to = self._skipped_to if followed else entries[-1].sequence
        return NewRecords(
            followed[-1] if followed else None,
            tuple(entry for entry in entries if entry.record and entry.problem),
        )

    def _check(self, last: AliasRecord, now: float) -> None:
        try:
            stored = self._log.at(last.sequence)
            actual = f"another one, of {stored.version}" if stored else "none of this number"
        except CorruptRecord as error:
            stored, actual = None, str(error)
        if stored is None or stored.id != last.id:
            self._checked_at = None
            raise LogRewound(
                self._log.name,
                known=f"record {last.sequence} to be that of {last.version} as it was followed",
                found=actual,
                memory=str(self._folder),
            )
        self._checked_at = now


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
        self._challenger, self._is_over = challenger, is_over
        self._signal = refresh_signal or alias_state.shared
        self._seen_requests = self._signal.refresh_requests
        self._polled_at = self._clock() - REFRESH_SECONDS
        self._state = alias_state.follower_state()
        self._reader = LogReader(log, alias_state.folder, context.clock)
        self._probing: _Probing | None = None
        self._is_postponed = False
        self._acknowledged = 0
        self._opened_at = self._due = self._retry_at = self._clock()

    def tick(self) -> float:
        """At most one step forward. Returns how many seconds to rest before the next.

        A failing store is no error here: serving continues, and the sync error is reported.
        """
        self._look_at_probe()
        action = rollout_policy.decide(self._host_state())
        match action:
            case Activate(generation):
                self._activate(generation)
            case Reject(generation, reason):
                self._reject(generation, reason)
            case Acknowledge(generation):
                self._with_store(lambda: self._acknowledge(generation))
                self._is_postponed = self._acknowledged != generation
            case Poll() if self._clock() >= self._due or self._is_refresh_requested():
                self._with_store(self._ask_store)
                self._is_postponed = False
            case Poll():
                rest = min(self._due - self._clock(), self._context.poll_seconds, REFRESH_SECONDS)
                return max(rest, SOON_SECONDS)
            case _ if self._is_open and self._clock() >= self._due:
                # What is newer supersedes a proposal that workers are long in preparing.
                self._with_store(self._ask_store)
            case _:
                pass
        return SOON_SECONDS

    @property
    def _is_open(self) -> bool:
        return self._shared.proposed > self._shared.current

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
        reports = living_reports(self._context.workers) if self._is_open or owed else []
        return HostState(
            current=shared.current,
            proposed=shared.proposed,
            workers=[report.models.get(self._log.name, ModelReport()) for report in reports],
            open_seconds=self._clock() - self._opened_at,
            acknowledged=not owed,
        )

    def _activate(self, generation: int) -> None:
        self._shared.activate(generation)
        self._due = self._clock()
        # Only now: until the activation the generation before is current, and a worker that
        # starts loads it by its record.
        self._alias_state.forget_proposals()
        logger.info("%s: all workers answer with generation %d", self._log.name, generation)

    def _reject(self, generation: int, reason: str) -> None:
        record = self._alias_state.record(generation)
        self._shared.propose(self._shared.current)
        self._due = self._clock()
        if record is not None:
            self._refuse(record, reason)

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
        if sync_error != self._state.sync_error:
            logger.warning("%s: %s", self._log.name, sync_error or "the store answers again")
            self._update_state(sync_error=sync_error)

    def _acknowledge(self, generation: int) -> None:
        record = self._alias_state.record(generation)
        if record is not None:
            self._write_acknowledgement(record.sequence, record.version, serving=True)
            if self._challenger is not None:
                previous = self._note_served(record.version)
                used = {record.version} | previous | self._challenger.active_versions()
                # Challengers are followed in another thread: one that it has staged and not yet
                # proposed is deleted here, and fetched once more by the loaders.
                self._context.cache.keep_only(self._log.model, used)
        self._acknowledged = generation

    def _note_served(self, version: str) -> set[str]:
        """Remember the version that serves; returns the previous ones that workers may hold."""
        previous = [served for served in self._state.served if served != version]
        self._update_state(served=(version, *previous)[:REMEMBERED_VERSIONS])
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
            if self._probing is not None and self._probing.record.id == record.id:
                return
            self._propose_record(record)
            first = last.sequence + 1 if last else record.sequence
            self._acknowledge_overtaken(first, record)
        elif last and tries_again and self._state.is_untrusted(last):
            with suppress(UntrustedVersion):
                self._retry_untrusted(last)
        self._acknowledge_refusals()

    def _last_followed(self) -> AliasRecord | None:
        """The last record followed here, unless it is none that counts.

        An earlier release followed such records, whose removal is no sign of a log that went back.
        """
        last = self._state.last
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
            state = self._state.distrusting(entry.record, str(entry.problem))
            if state is not self._state:
                logger.error("%s: not followed: %s", self._log.name, entry.problem)
                self._save_state(state)

    def _acknowledge_overtaken(self, first: int, record: AliasRecord) -> None:
        for sequence in range(first, record.sequence):
            entry = self._log.entry(sequence)
            if entry is not None and entry.signer and entry.record:
                self._acknowledge_superseded(entry.record, record)

    def _acknowledge_superseded(self, overtaken: AliasRecord, record: AliasRecord) -> None:
        reason = f"superseded by record {record.sequence} before it was loaded"
        self._write_acknowledgement(
            overtaken.sequence, overtaken.version, serving=False, reason=reason
        )

    def _retry_untrusted(self, last: AliasRecord) -> None:
        """Propose a record whose version lacked a trusted signature or decision, if it has one now.

        Raises:
            UntrustedVersion: it still has none.
        """
        with suppress(*_REFUSED):  # for these it is refused below
            self._context.cache.stage(self._context.bucket, last)
        # Killed in between, the refusal is still known, and it is tried once more.
        self._propose_record(last)

    def _propose_record(self, record: AliasRecord) -> None:
        """Stage the version of a record, and propose it, once a probe has loaded it."""
        if self._probing is not None:
            self._probing.run.cancel()
            self._probing = None
        self._close_superseded(record)
        if record.target is None or self._is_over(record):
            self._shared.clear()
            self._save_state(self._state.following(record))
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
            self._conclude(record, reason)

    def _close_superseded(self, record: AliasRecord) -> None:
        """Withdraw an open proposal that was made for another record, and another challenger.

        A champion answers until its successor does. A challenger was stopped before another could
        start, and must not answer while that is probed.
        """
        current = self._alias_state.record(self._shared.current)
        if self._log.alias != CHAMPION and (current is None or current.id != record.id):
            self._shared.activate(0)
        proposed = self._alias_state.record(self._shared.proposed) if self._is_open else None
        if proposed is not None and proposed.id != record.id:
            self._acknowledge_superseded(proposed, record)
            self._shared.propose(self._shared.current)

    def _is_known_fit(self, record: AliasRecord) -> bool:
        """Whether all workers loaded this version before, so that a rollback waits for no probe."""
        deaths = self._context.load_notes.deaths(record.model, record.version)
        return record.version in self._state.served and not deaths

    def _look_at_probe(self) -> None:
        if self._probing is not None and (reason := self._probing.run.outcome()) is not None:
            record, self._probing = self._probing.record, None
            # A refusal is acknowledged by the next poll, which also finds the record again if
            # this fails.
            self._due = self._clock()
            self._with_store(lambda: self._conclude(record, reason))

    def _conclude(self, record: AliasRecord, reason: str) -> None:
        """Propose a version that was probed, or refuse it for a reason."""
        if reason:
            self._refuse(record, reason)
            return
        # It loads now, whatever happened to a worker before: there may be more memory.
        self._context.load_notes.forget(record.model, record.version)
        self._propose(record)

    def _propose(self, record: AliasRecord) -> None:
        self._opened_at = self._clock()
        # Proposed before it is remembered: killed in between, it is followed again under another
        # number; the other way round it would count as followed and never be loaded.
        generation = self._alias_state.propose(record)
        self._save_state(self._state.following(record))
        logger.info("%s: %s proposed as %d", self._log.name, record.version, generation)

    def _refuse(self, record: AliasRecord, reason: str, *, untrusted: bool = False) -> None:
        """Remember why, for ever: the same record is not tried again, unless it is `untrusted`."""
        logger.error("%s: %s refused: %s", self._log.name, record.version, reason)
        self._save_state(self._state.refusing(record, reason, untrusted=untrusted))

    def _acknowledge_refusals(self) -> None:
        refusals = self._state.refused
        for refusal in refusals:
            if not refusal.acknowledged:
                self._write_acknowledgement(
                    refusal.sequence, refusal.version, serving=False, reason=refusal.reason
                )
        done = tuple(refusal.model_copy(update={"acknowledged": True}) for refusal in refusals)
        if done != refusals:
            self._update_state(refused=done)

    def _write_acknowledgement(
        self, sequence: int, version: str, *, serving: bool, reason: str = ""
    ) -> None:
        acknowledgement = Acknowledgement(
            replica=self._context.replica, version=version, serving=serving, reason=reason
        )
        try:
            self._log.acknowledge(sequence, acknowledgement)
        except (BadKey, StoreDenied) as error:
            # Reading is enough to serve; only a run that waits for the acknowledgement misses it.
            logger.warning("%s: record %d not acknowledged: %s", self._log.name, sequence, error)

    def _update_state(self, **changes: object) -> None:
        self._save_state(self._state.model_copy(update=changes))

    def _save_state(self, state: FollowerState) -> None:
        self._state = state
        self._alias_state.save_follower_state(state)
