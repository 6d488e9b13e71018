"""State of one alias on this host, on its disk: proposals by generation, refusals, how it ended."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from overnight.serving.host.shared_memory import SharedGeneration
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.local_files import write_atomically
from overnight.store.registry.aliases import AliasRecord
from overnight.store.values import Value

REMEMBERED_REFUSALS = 20


class RefusedVersion(Value):
    """A record that this host would not follow. `acknowledged`: the store knows.

    One that is `untrusted` is tried again: it may be signed, or its key be trusted, later.
    """

    sequence: int
    version: str
    reason: str
    at: datetime
    acknowledged: bool = False
    untrusted: bool = False


class FollowerState(Value):
    """The last record taken up here, the versions that served, newest first, and refusals."""

    last: AliasRecord | None = None
    served: tuple[str, ...] = ()
    refused: tuple[RefusedVersion, ...] = ()
    trouble: str = ""

    def refusing(self, record: AliasRecord, reason: str, *, untrusted: bool) -> "FollowerState":
        """What is known, and that a record was taken up and refused."""
        sequence, version, now = record.sequence, record.version, datetime.now(UTC)
        one = RefusedVersion(
            sequence=sequence, version=version, reason=reason, at=now, untrusted=untrusted
        )
        others = (it for it in self.refused if it.sequence != sequence)
        kept = (*others, one)[-REMEMBERED_REFUSALS:]
        return self.model_copy(update={"last": record, "refused": kept})

    def taking(self, record: AliasRecord) -> "FollowerState":
        """What is known, and that a record was taken up; no refusal of it holds any longer."""
        kept = tuple(one for one in self.refused if one.sequence != record.sequence)
        return self.model_copy(update={"last": record, "refused": kept})

    def is_untrusted(self, record: AliasRecord) -> bool:
        """Whether a record was refused because nobody trusted had signed its version."""
        return any(one.untrusted for one in self.refused if one.sequence == record.sequence)


How = Literal["withdrawn", "became champion"]


class EndedChallenge(Value):
    """A challenge that is over here, and why. `told`: the store knows; `trouble`: why not."""

    record: AliasRecord
    how: How
    reason: str
    replica: str
    at: datetime
    tally: ChallengeStats | None = None
    told: bool = False
    trouble: str = ""


class AliasState:
    """The folder of one alias of a model, shared by all workers; only the leader writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board = SharedGeneration.at(folder / "board")

    def record(self, generation: int) -> AliasRecord | None:
        """What was proposed under a number, if it is still remembered."""
        try:
            body = (self.folder / "proposals" / f"{generation}.json").read_bytes()
            return AliasRecord.model_validate_json(body)
        except (FileNotFoundError, ValidationError):
            return None

    def propose(self, record: AliasRecord) -> int:
        """Put a record before the workers under the next number, which is never used twice."""
        board = self.board
        generation = 1 + max([board.current, board.proposed, *self._generations()])
        path = self.folder / "proposals" / f"{generation}.json"
        # The record before its number: a worker that reads the number finds what it stands for.
        write_atomically(path, record.model_dump_json().encode())
        board.propose(generation)
        return generation

    def forget_proposals(self) -> None:
        """Remove proposals that are neither open, current nor the newest number."""
        generations = self._generations()
        keep = {self.board.current, self.board.proposed, max(generations, default=0)}
        for generation in set(generations) - keep:
            (self.folder / "proposals" / f"{generation}.json").unlink(missing_ok=True)

    def known(self) -> FollowerState:
        try:
            return FollowerState.model_validate_json((self.folder / "known.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return FollowerState()

    def remember(self, known: FollowerState) -> None:
        write_atomically(self.folder / "known.json", known.model_dump_json().encode())

    def ended(self) -> EndedChallenge | None:
        """The last challenge that ended by itself here."""
        try:
            return EndedChallenge.model_validate_json((self.folder / "ended.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def note_end(self, ended: EndedChallenge) -> None:
        write_atomically(self.folder / "ended.json", ended.model_dump_json().encode())

    def on_board(self) -> set[str]:
        """The versions that answer here, or may next."""
        records = (self.record(one) for one in {self.board.current, self.board.proposed} - {0})
        return {record.version for record in records if record is not None}

    def _generations(self) -> list[int]:
        found = (self.folder / "proposals").glob("*.json")
        return [int(path.stem) for path in found if path.stem.isdigit()]
