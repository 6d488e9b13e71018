"""Controller of a shadow or canary challenge, for all workers of a host.

It follows the challenger's alias and ends the challenge when its error bounds are exceeded.

Only the leader runs it. A challenge ends here the moment that its tally leaves its bounds, whether
or not the store is there; the store is told as soon as it takes it, and tells every other host.
"""

import logging
from datetime import UTC, datetime

from pydantic import ValidationError

from overnight.serving.host.alias_state import AliasState, EndedChallenge, How
from overnight.serving.host.workers import counted
from overnight.serving.lifecycle.watcher import SOON_SECONDS, FollowContext, Watcher
from overnight.serving.telemetry.challenge_stats import ChallengeStats, reason_to_withdraw, total
from overnight.store.errors import OvernightError
from overnight.store.registry.aliases import CHALLENGER, AliasLog, AliasRecord
from overnight.store.registry.challenges import Challenges, Withdrawal

logger = logging.getLogger(__name__)

JUDGE_SECONDS = 0.5


class ChallengeController:
    """One model's challenge, from its start to its end on this host."""

    def __init__(
        self, model: str, ledger: AliasState, champion: AliasState, context: FollowContext
    ) -> None:
        """Follow the challenger's `ledger`, beside that of the `champion`."""
        self._model, self._ledger, self._champion = model, ledger, champion
        self._context, self._clock = context, context.clock
        self._ended = ledger.ended()
        self._due = self._judge_at = self._clock()
        self._began = ""
        # Of which challenge, and up to which of the champion's records, the store was asked.
        self._asked = ("", 0)
        self._watcher = Watcher(
            ledger,
            AliasLog(context.bucket, model, CHALLENGER),
            context,
            bell=champion.board,
            is_over=self._is_over,
        )

    def look(self) -> float:
        """One tick: follow the alias, then see whether what challenges here still may.

        Returns how many seconds to rest before the next.
        """
        rest = self._watcher.look()
        if self._clock() < self._judge_at and rest > SOON_SECONDS:
            return rest
        self._judge_at = self._clock() + min(JUDGE_SECONDS, self._context.poll_seconds)
        record = self._challenging()
        if record is not None and (ended := self._end_of(record)) is not None:
            self._end(ended)
        if self._ended is not None and not self._ended.told and self._is_due():
            self._tell(self._ended)
        return min(rest, JUDGE_SECONDS)

    def _challenging(self) -> AliasRecord | None:
        """What is on the board, provided the alias still points at it."""
        board = self._ledger.board
        if not (board.current or board.proposed):
            return None
        last = self._ledger.known().last
        last_id = last.id if last is not None else ""
        if board.current:
            current = self._ledger.record(board.current)
            if current is None or current.id != last_id:
                # Its successor is being loaded, or was refused, or the store has another log.
                if board.proposed > board.current:
                    board.flip(0)
                else:
                    board.clear()
                logger.info("%s: the challenger before steps down", self._model)
        record = self._ledger.record(max(board.current, board.proposed))
        if record is None:
            return None
        if record.id != self._began and board.current:
            self._note_beginning(record)
        return record

    def _note_beginning(self, record: AliasRecord) -> None:
        self._began, self._due = record.id, self._clock()
        terms = record.terms.model_dump(mode="json") if record.terms else {}
        told = {"event": "challenge started", "model": self._model, "version": record.version}
        logger.info("%s: %s challenges", self._model, record.version, extra=told | terms)

    def _is_over(self, record: AliasRecord) -> bool:
        """Whether a record that is news here is a challenge of the past."""
        if self._ended is not None and self._ended.record.id == record.id:
            return True
        ended = self._told_by_the_store(record)
        if ended is not None:
            self._remember(ended)
        return ended is not None

    def _end_of(self, record: AliasRecord) -> EndedChallenge | None:
        """What ends a challenge, if anything does: its tally, a promotion, another host's word."""
        if self._ended is not None and self._ended.record.id == record.id:
            # We died between remembering it and clearing the board.
            return self._ended
        if (reason := self._reason_to_withdraw(record)) is not None:
            return self._ended_as(record, "withdrawn", reason)
        champion = self._champion.known().last
        if (
            self._is_settled()
            and champion is not None
            and champion.version == record.version
            and champion.sequence > record.champion_sequence
        ):
            return self._ended_as(record, "became champion", champion.reason, told=True)
        return self._ask_the_store(record) if self._is_due() else None

    def _reason_to_withdraw(self, record: AliasRecord) -> str | None:
        tally = self._tally(record)
        terms = record.terms
        return reason_to_withdraw(terms, tally) if terms is not None and tally is not None else None

    def _tally(self, record: AliasRecord) -> ChallengeStats | None:
        snapshots = counted(self._context.workers).values()
        return total(record.id, (one for said in snapshots for one in said.challenges))

    def _ask_the_store(self, record: AliasRecord) -> EndedChallenge | None:
        self._due = self._clock() + self._context.poll_seconds
        try:
            return self._told_by_the_store(record, promoted=self._is_settled())
        except (OvernightError, ValidationError) as error:
            logger.debug("%s: nothing is known of the challenge: %s", self._model, error)
            return None

    def _is_settled(self) -> bool:
        """Whether the champion's board says what its log says.

        While a champion is only proposed, whoever asks for it by name or as a canary is answered
        by the challenger, which therefore stays until the flip.
        """
        board = self._champion.board
        return board.proposed <= board.current

    def _told_by_the_store(
        self, record: AliasRecord, *, promoted: bool = True
    ) -> EndedChallenge | None:
        """Another host's withdrawal, or a promotion that may have been over before we looked.

        `promoted`: whether to ask for promotions at all.
        """
        withdrawal = Challenges(self._context.bucket, record.model).withdrawal(record)
        if withdrawal is not None:
            said = f"{withdrawal.reason} (at {withdrawal.replica})"
            return self._ended_as(record, "withdrawn", said, told=True)
        champion = self._champion.known().last
        sequence = champion.sequence if champion is not None else 0
        if promoted and self._asked != (record.id, sequence):
            since = self._asked[1] if self._asked[0] == record.id else record.champion_sequence
            if Challenges(self._context.bucket, record.model).became_champion(record, since=since):
                return self._ended_as(record, "became champion", "it was promoted", told=True)
            self._asked = (record.id, sequence)
        return None

    def _ended_as(
        self, record: AliasRecord, how: How, reason: str, *, told: bool = False
    ) -> EndedChallenge:
        return EndedChallenge(
            record=record,
            how=how,
            reason=reason,
            replica=self._context.replica,
            at=datetime.now(UTC),
            tally=self._tally(record),
            told=told,
        )

    def _end(self, ended: EndedChallenge) -> None:
        """First remembered, then off the board: whoever starts again finds at least the first."""
        self._remember(ended)
        self._ledger.board.clear()
        self._due = self._clock()

    def _remember(self, ended: EndedChallenge) -> None:
        if self._ended is None or ended.record.id != self._ended.record.id:
            version = ended.record.version
            told = {"event": f"challenge {ended.how}", "model": self._model, "version": version}
            message = "%s: the challenge of %s is over, %s: %s"
            words = (self._model, version, ended.how, ended.reason)
            logger.warning(message, *words, extra=told | {"reason": ended.reason})
        self._keep(ended)

    def _tell(self, ended: EndedChallenge) -> None:
        """Say it in the store, for ever and for every host; until then try again at each poll."""
        self._due = self._clock() + self._context.poll_seconds
        said = Withdrawal(
            replica=ended.replica, version=ended.record.version, reason=ended.reason, at=ended.at
        )
        trouble = ""
        try:
            Challenges(self._context.bucket, ended.record.model).withdraw(ended.record, said)
        except (OvernightError, ValidationError) as error:
            # A store that is away comes back; one that denies it to us is for people to see.
            trouble = str(error)
        if trouble != ended.trouble or not trouble:
            if trouble:
                logger.warning("%s: the withdrawal is not told yet: %s", self._model, trouble)
            self._keep(ended.model_copy(update={"trouble": trouble, "told": not trouble}))

    def _keep(self, ended: EndedChallenge) -> None:
        self._ended = ended
        try:
            self._ledger.note_end(ended)
        except OSError as error:
            # Our disk is full: the challenger has to go all the same.
            logger.warning("%s: the end of a challenge is not kept: %s", self._model, error)

    def _is_due(self) -> bool:
        return self._clock() >= self._due
