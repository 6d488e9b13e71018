"""Watcher: follows one alias of a model, its champion or challenger, for all workers of a host.

Only the leader runs it. It asks the store for the next record of the alias' log; a new version is
staged in the disk cache once for the host and proposed on the board, and every worker loads it.
When all have reported it prepared, one store to shared memory flips all of them; when one refuses
it, it is withdrawn and the old version goes on. The store is told of either.
All logic is in `look`; what it does next is decided by a pure function, `decision.decide`.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from overnight.serving.errors import LogRewound
from overnight.serving.host.alias_state import AliasState, FollowerState
from overnight.serving.host.shared_memory import SharedGeneration
from overnight.serving.host.workers import ModelReport, living
from overnight.serving.lifecycle import rollout_policy
from overnight.serving.lifecycle.disk_cache import Cache
from overnight.serving.lifecycle.memory_budget import MemoryBudget
from overnight.serving.lifecycle.rollout_policy import (
    Acknowledge,
    Activate,
    HostState,
    Poll,
    Reject,
)
from overnight.store.errors import (
    BadKey,
    CorruptVersion,
    OvernightError,
    StoreDenied,
    UnknownVersion,
    UntrustedVersion,
)
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHAMPION, Acknowledgement, AliasLog, AliasRecord

logger = logging.getLogger(__name__)

SOON_SECONDS = 0.01
RETRY_UNTRUSTED_SECONDS = 10.0
REMEMBERED_VERSIONS = 20
# How soon an ask for a look is seen, and how often at most such asks reach the store.
ASKED_SECONDS = 0.05
# How often the log is checked to still hold the last record that was followed.
CHECK_SECONDS = 60.0


@dataclass(frozen=True)
class FollowContext:
    """What everything that follows the store on this host has in common.

    `workers` is the folder of their reports, `replica` the name of the host in the store.
    """

    bucket: Bucket
    cache: Cache
    workers: Path
    replica: str
    poll_seconds: float
    room: MemoryBudget
    clock: Callable[[], float] = time.monotonic


class Followed:
    """A log as a host reads it: from the last record that it knows, and only ever forwards.

    A store that was set back, or in which somebody rewrote history, would have serving take up what
    was rolled back long ago. The last record is on the host's own disk, and the log has to hold it.
    """

    def __init__(
        self, log: AliasLog, memory: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`memory` is the folder in which this host remembers the log; it is told to people."""
        self._log, self._memory, self._clock = log, memory, clock
        self._checked_at: float | None = None

    def newer(self, last: AliasRecord | None) -> AliasRecord | None:
        """The newest record after `last`, if there is one: mostly one small GET.

        That the log still holds `last` is asked at first, now and then, and before anything newer
        is taken from it.

        Raises:
            LogWentBack: it does not, or holds another record in its place.
        """
        if last is None:
            return self._log.current() if self._log.at(1) is not None else None
        now = self._clock()
        if self._checked_at is None or now - self._checked_at >= CHECK_SECONDS:
            self._check(last, now)
        following = self._log.at(last.sequence + 1)
        if following is None:
            return None
        if self._checked_at != now:
            self._check(last, now)
        return self._log.current(since=following.sequence)

    def _check(self, last: AliasRecord, now: float) -> None:
        found = self._log.at(last.sequence)
        if found is None or found.id != last.id:
            self._checked_at = None
            raise LogRewound(
                self._log.name,
                known=f"record {last.sequence} to be that of {last.version} as it was followed",
                found=f"another one, of {found.version}" if found else "none of this number",
                memory=str(self._memory),
            )
        self._checked_at = now


class Watcher:
    """Follows one alias of a model: from a record in its log to a flip of the board."""

    def __init__(
        self,
        ledger: AliasState,
        log: AliasLog,
        context: FollowContext,
        *,
        bell: SharedGeneration | None = None,
        challenger: AliasState | None = None,
        is_over: Callable[[AliasRecord], bool] = lambda _: False,
    ) -> None:
        """Follow `log` into `ledger`.

        What is on the board of the champion's `challenger` stays cached. A record that `is_over`
        is remembered and not taken up. Whoever has news of the log rings at `bell`.
        """
        self._ledger, self._board, self._log = ledger, ledger.board, log
        self._context, self._clock = context, context.clock
        self._challenger, self._is_over = challenger, is_over
        self._bell = bell or ledger.board
        self._asks, self._looked_at = self._bell.asks, self._clock() - ASKED_SECONDS
        self._known = ledger.known()
        self._followed = Followed(log, ledger.folder, context.clock)
        self._is_postponed = False
        self._acknowledged = 0
        self._opened_at = self._due = self._retry_at = self._clock()

    def look(self) -> float:
        """One tick: at most one step forward. Returns how many seconds to rest before the next.

        Nothing that the store does is an error here: answering goes on, and the trouble is told.
        """
        action = rollout_policy.decide(self._situation())
        match action:
            case Activate(generation):
                self._flip(generation)
            case Reject(generation, reason):
                self._withdraw(generation, reason)
            case Acknowledge(generation):
                self._asking(lambda: self._acknowledge(generation))
                self._is_postponed = self._acknowledged != generation
            case Poll() if self._clock() >= self._due or self._is_asked():
                self._asking(self._follow)
                self._is_postponed = False
            case Poll():
                rest = min(self._due - self._clock(), self._context.poll_seconds, ASKED_SECONDS)
                return max(rest, SOON_SECONDS)
            case _:
                pass
        return SOON_SECONDS

    def _is_asked(self) -> bool:
        """Whether somebody says that the log has moved, and the last look was not just now."""
        return self._bell.asks != self._asks and self._clock() - self._looked_at >= ASKED_SECONDS

    def _situation(self) -> HostState:
        board = self._board
        is_open = board.proposed > board.current
        # A store that takes no acknowledgement must not keep us from following it: having failed,
        # we first ask for news again.
        owed = board.current not in {0, self._acknowledged} and not self._is_postponed
        reports = living(self._context.workers) if is_open or owed else []
        return HostState(
            current=board.current,
            proposed=board.proposed,
            workers=[report.models.get(self._log.name, ModelReport()) for report in reports],
            open_seconds=self._clock() - self._opened_at,
            acknowledged=not owed,
        )

    def _flip(self, generation: int) -> None:
        self._board.flip(generation)
        self._due = self._clock()
        # Only now: until the flip the generation before is current, and a worker that starts
        # loads it by its record.
        self._ledger.forget_proposals()
        logger.info("%s: all workers answer with generation %d", self._log.name, generation)

    def _withdraw(self, generation: int, reason: str) -> None:
        record = self._ledger.record(generation)
        self._board.propose(self._board.current)
        self._due = self._clock()
        if record is not None:
            self._refuse(record, reason)

    def _asking(self, step: Callable[[], None]) -> None:
        """Do what needs the store; when it fails, say so and try again a poll later."""
        try:
            step()
        except (OvernightError, OSError, ValidationError, MemoryError) as error:
            # The store is away, our disk or memory is full, or a record is not ours to read: none
            # of them ends following, of this model or of any other.
            self._due = self._clock() + self._context.poll_seconds
            self._note_trouble(str(error) or "no memory is left to fetch a version")
        else:
            if self._board.current in {0, self._acknowledged}:
                self._note_trouble("")

    def _note_trouble(self, trouble: str) -> None:
        if trouble != self._known.trouble:
            logger.warning("%s: %s", self._log.name, trouble or "the store answers again")
            self._note(trouble=trouble)

    def _acknowledge(self, generation: int) -> None:
        record = self._ledger.record(generation)
        if record is not None:
            self._say(record.sequence, record.version, serving=True)
            if self._challenger is not None:
                used = {record.version} | ({record.previous} if record.previous else set())
                used |= self._served(record.version) | self._challenger.on_board()
                self._context.cache.keep_only(self._log.model, used)
        self._acknowledged = generation

    def _served(self, version: str) -> set[str]:
        """Remember what serves now; the versions that workers may still hold besides it."""
        before = [one for one in self._known.served if one != version]
        self._note(served=(version, *before)[:REMEMBERED_VERSIONS])
        found = [self._context.cache.manifest(self._log.model, one) for one in before]
        return set(self._context.room.kept([one for one in found if one is not None]))

    def _follow(self) -> None:
        """Ask for the next record; take up the newest, and tell those it overtook."""
        # Read before the store is asked: who asks meanwhile may know of something newer.
        tries_again = self._bell.asks != self._asks or self._clock() >= self._retry_at
        self._asks, self._looked_at = self._bell.asks, self._clock()
        last = self._known.last
        try:
            record = self._followed.newer(last)
        except LogRewound:
            if self._log.alias != CHAMPION:
                self._board.clear()  # a challenger can be done without
            raise
        self._board.looked(int(time.time() * 1000))
        self._due = self._clock() + self._context.poll_seconds
        if record is not None:
            self._take_up(record)
            self._tell_overtaken(last.sequence + 1 if last else record.sequence, record)
        elif last and tries_again and self._known.is_untrusted(last):
            with suppress(UntrustedVersion):
                self._try_again(last)
        self._tell_refusals()

    def _tell_overtaken(self, first: int, record: AliasRecord) -> None:
        reason = f"superseded by record {record.sequence} before it was loaded"
        for sequence in range(first, record.sequence):
            if (overtaken := self._log.at(sequence)) is not None:
                self._say(sequence, overtaken.version, serving=False, reason=reason)

    def _try_again(self, last: AliasRecord) -> None:
        """Take up what was refused because nobody trusted had signed it, if somebody has now."""
        self._retry_at = self._clock() + RETRY_UNTRUSTED_SECONDS
        with suppress(CorruptVersion, UnknownVersion):  # for these it is refused below
            self._context.cache.stage(self._context.bucket, last.model, last.version)
        # Killed in between, the refusal is still known, and it is tried once more.
        self._take_up(last)

    def _take_up(self, record: AliasRecord) -> None:
        if record.target is None or self._is_over(record):
            self._board.clear()
            self._remember(self._known.taking(record))
            return
        try:
            self._context.cache.stage(self._context.bucket, record.model, record.version)
        except (BadKey, CorruptVersion, UnknownVersion, UntrustedVersion) as error:
            self._refuse(record, str(error), untrusted=isinstance(error, UntrustedVersion))
            return
        self._opened_at = self._clock()
        # Proposed before it is remembered: killed in between, it is followed again under another
        # number; the other way round it would count as followed and never be loaded.
        generation = self._ledger.propose(record)
        self._remember(self._known.taking(record))
        logger.info("%s: %s proposed as %d", self._log.name, record.version, generation)

    def _refuse(self, record: AliasRecord, reason: str, *, untrusted: bool = False) -> None:
        """Remember why, for ever: the same record is not tried again, unless it is `untrusted`."""
        logger.error("%s: %s refused: %s", self._log.name, record.version, reason)
        self._remember(self._known.refusing(record, reason, untrusted=untrusted))

    def _tell_refusals(self) -> None:
        for refused in self._known.refused:
            if not refused.acknowledged:
                self._say(refused.sequence, refused.version, serving=False, reason=refused.reason)
        told = tuple(one.model_copy(update={"acknowledged": True}) for one in self._known.refused)
        if told != self._known.refused:
            self._note(refused=told)

    def _say(self, sequence: int, version: str, *, serving: bool, reason: str = "") -> None:
        acknowledgement = Acknowledgement(
            replica=self._context.replica, version=version, serving=serving, reason=reason
        )
        try:
            self._log.acknowledge(sequence, acknowledgement)
        except (BadKey, StoreDenied) as error:
            # Reading is enough to serve; only whoever waits for the acknowledgement misses it.
            logger.warning("%s: record %d not acknowledged: %s", self._log.name, sequence, error)

    def _note(self, **changes: object) -> None:
        self._remember(self._known.model_copy(update=changes))

    def _remember(self, known: FollowerState) -> None:
        self._known = known
        self._ledger.remember(known)
