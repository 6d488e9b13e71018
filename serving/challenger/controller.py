"""Controller of a shadow or canary challenge, for all workers of a host.

It follows the challenger's alias and ends the challenge when its error bounds are exceeded. Only
the leader runs it. A challenge ends here the moment that its counters exceed their bounds, whether
or not the store is there; the withdrawal is written to the store, where all other hosts read it, as
soon as the store takes it.
"""

import logging
from datetime import UTC, datetime

from pydantic import ValidationError

from overnight.serving.host.alias_state import AliasState, EndedChallenge, Outcome
from overnight.serving.host.workers import read_counters
from overnight.serving.lifecycle.follow_context import FollowContext
from overnight.serving.lifecycle.watcher import SOON_SECONDS, Watcher
from overnight.serving.telemetry.challenge_stats import ChallengeStats, reason_to_withdraw, total
from overnight.store.errors import CorruptRecord, OvernightError, UntrustedRecord
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenges import Challenges, Withdrawal

logger = logging.getLogger(__name__)

JUDGE_SECONDS = 0.5


class ChallengeController:
    """One model's challenge, from its start to its end on this host."""

    def __init__(
        self, model: str, alias_state: AliasState, champion: AliasState, context: FollowContext
    ) -> None:
        """Follow the challenger into `alias_state`; `champion` is the state of its opponent."""
        self._model, self._alias_state, self._champion = model, alias_state, champion
        self._context, self._clock = context, context.clock
        self._challenges = Challenges(context.bucket, model, context.trust, context.signer)
        self._ended = alias_state.ended_challenge()
        self._due = self._judge_at = self._clock()
        self._started = ""
        # The challenge, and the champion's record up to which promotions were looked for.
        self._checked = ("", 0)
        self._watcher = Watcher(
            alias_state,
            self._challenges.log,
            context,
            refresh_signal=champion.shared,
            is_over=self._is_over,
        )

    def tick(self) -> float:
        """Follow the alias, then judge the active challenge. Returns seconds to rest."""
        rest = self._watcher.tick()
        if self._clock() < self._judge_at and rest > SOON_SECONDS:
            return rest
        self._judge_at = self._clock() + min(JUDGE_SECONDS, self._context.poll_seconds)
        record = self._active_record()
        if record is not None and (ended := self._end_of(record)) is not None:
            self._end(ended)
        if self._ended is not None and not self._ended.recorded and self._is_due():
            self._write_withdrawal(self._ended)
        return min(rest, JUDGE_SECONDS)

    def _active_record(self) -> AliasRecord | None:
        """The record that is current or proposed, provided the alias still points at it."""
        shared = self._alias_state.shared
        if not (shared.current or shared.proposed):
            return None
        last = self._alias_state.follower_state().last
        last_id = last.id if last is not None else ""
        if shared.current:
            current = self._alias_state.record(shared.current)
            if current is None or current.id != last_id:
                # Its successor is being loaded, or was refused, or the store has another log.
                if shared.proposed > shared.current:
                    shared.activate(0)
                else:
                    shared.clear()
                logger.info("%s: the previous challenger is deactivated", self._model)
        record = self._alias_state.record(max(shared.current, shared.proposed))
        if record is None:
            return None
        if record.id != self._started and shared.current:
            self._note_start(record)
        return record

    def _note_start(self, record: AliasRecord) -> None:
        self._started, self._due = record.id, self._clock()
        terms = record.terms.model_dump(mode="json") if record.terms else {}
        fields = {"event": "challenge started", "model": self._model, "version": record.version}
        logger.info("%s: %s challenges", self._model, record.version, extra=fields | terms)

    def _is_over(self, record: AliasRecord) -> bool:
        """Whether a record that is new to this host is a challenge that ended already."""
        if self._ended is not None and self._ended.record.id == record.id:
            return True
        ended = self._end_in_store(record)
        if ended is not None:
            self._remember(ended)
        return ended is not None

    def _end_of(self, record: AliasRecord) -> EndedChallenge | None:
        """The end of a challenge, if its counters, a promotion or another host ended it."""
        if self._ended is not None and self._ended.record.id == record.id:
            # The process died between remembering it and clearing the shared memory.
            return self._ended
        terms, stats = record.terms, self._stats(record)
        if terms and stats and (reason := reason_to_withdraw(terms, stats)):
            return self._ended_as(record, "withdrawn", reason)
        champion = self._champion.follower_state().last
        if (
            self._is_settled()
            and champion is not None
            and champion.version == record.version
            and champion.sequence > record.champion_sequence
        ):
            return self._ended_as(record, "became champion", champion.reason, recorded=True)
        return self._poll_end(record) if self._is_due() else None

    def _stats(self, record: AliasRecord) -> ChallengeStats | None:
        workers = read_counters(self._context.workers).values()
        return total(record.id, (stats for worker in workers for stats in worker.challenges))

    def _poll_end(self, record: AliasRecord) -> EndedChallenge | None:
        self._due = self._clock() + self._context.poll_seconds
        try:
            return self._end_in_store(record, promoted=self._is_settled())
        except (OvernightError, ValidationError) as error:
            logger.debug("%s: the challenge cannot be checked: %s", self._model, error)
            return None

    def _is_settled(self) -> bool:
        """Whether no champion is proposed.

        While one is, requests for it by name or as a canary are answered by the challenger, which
        therefore stays until the champion is activated.
        """
        shared = self._champion.shared
        return shared.proposed <= shared.current

    def _end_in_store(self, record: AliasRecord, *, promoted: bool = True) -> EndedChallenge | None:
        """Another host's withdrawal, or a promotion that may have been over before this poll.

        `promoted`: whether to look for promotions at all.
        """
        withdrawal = self._trusted_withdrawal(record)
        if withdrawal is not None:
            reason = f"{withdrawal.reason} (at {withdrawal.replica})"
            return self._ended_as(record, "withdrawn", reason, recorded=True)
        champion = self._champion.follower_state().last
        sequence = champion.sequence if champion is not None else 0
        if promoted and self._checked != (record.id, sequence):
            since = self._checked[1] if self._checked[0] == record.id else record.champion_sequence
            if self._challenges.became_champion(record, since=since):
                return self._ended_as(record, "became champion", "it was promoted", recorded=True)
            self._checked = (record.id, sequence)
        return None

    def _trusted_withdrawal(self, record: AliasRecord) -> Withdrawal | None:
        try:
            return self._challenges.withdrawal(record)
        except (CorruptRecord, UntrustedRecord) as error:
            # Write access to the bucket must not be enough to end a challenge.
            logger.warning("%s: a withdrawal does not count: %s", self._model, error)
            return None

    def _ended_as(
        self, record: AliasRecord, outcome: Outcome, reason: str, *, recorded: bool = False
    ) -> EndedChallenge:
        return EndedChallenge(
            record=record,
            outcome=outcome,
            reason=reason,
            replica=self._context.replica,
            at=datetime.now(UTC),
            stats=self._stats(record),
            recorded=recorded,
        )

    def _end(self, ended: EndedChallenge) -> None:
        # Remembered before it is cleared: a process that starts again finds at least the first,
        # and clears it.
        self._remember(ended)
        self._alias_state.shared.clear()
        self._due = self._clock()

    def _remember(self, ended: EndedChallenge) -> None:
        if self._ended is None or ended.record.id != self._ended.record.id:
            version, outcome = ended.record.version, ended.outcome
            fields = {"event": f"challenge {outcome}", "model": self._model, "version": version}
            logger.warning(
                "%s: the challenge of %s is over, %s: %s",
                *(self._model, version, outcome, ended.reason),
                extra=fields | {"reason": ended.reason},
            )
        self._save(ended)

    def _write_withdrawal(self, ended: EndedChallenge) -> None:
        """Withdraw in the store, for ever and for every host; until then retry at each poll."""
        self._due = self._clock() + self._context.poll_seconds
        withdrawal = Withdrawal(
            replica=ended.replica, version=ended.record.version, reason=ended.reason, at=ended.at
        )
        sync_error = ""
        try:
            self._challenges.withdraw(ended.record, withdrawal)
        except (OvernightError, ValidationError) as error:
            # A store that is away comes back; one that denies us the write is shown to people.
            sync_error = str(error)
        if sync_error != ended.sync_error or not sync_error:
            if sync_error:
                logger.warning("%s: the withdrawal is not written: %s", self._model, sync_error)
            self._save(
                ended.model_copy(update={"sync_error": sync_error, "recorded": not sync_error})
            )

    def _save(self, ended: EndedChallenge) -> None:
        self._ended = ended
        try:
            self._alias_state.save_ended_challenge(ended)
        except OSError as error:
            # The disk is full: the challenger has to go all the same.
            logger.warning("%s: the end of a challenge is not saved: %s", self._model, error)

    def _is_due(self) -> bool:
        return self._clock() >= self._due
