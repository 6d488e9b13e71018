"""State of one alias on this host, shared by its workers in a folder.

In shared memory are the generations that answer and that are proposed; in files the record of each
generation, what was followed and refused, and how a challenge ended.
"""

import mmap
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, ValidationError

from overnight.serving.host.shared_memory import NUMBER_BYTES, map_numbers
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.local_files import write_atomically
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.values import Value

REMEMBERED_REFUSALS = 20
# Files of earlier releases hold one less, and are extended.
_NUMBERS = 5


class RefusedVersion(Value):
    """A record that this host would not follow. `acknowledged`: it is written to the store.

    One that is `untrusted` is tried again: it may be signed, or its key be trusted, later.
    """

    sequence: int
    version: str
    reason: str
    at: datetime
    acknowledged: bool = False
    untrusted: bool = False


class FollowerState(Value):
    """The last record followed here, the versions that served, newest first, and refusals."""

    last: AliasRecord | None = None
    served: tuple[str, ...] = ()
    refused: tuple[RefusedVersion, ...] = ()
    sync_error: str = ""

    def refusing(self, record: AliasRecord, reason: str, *, untrusted: bool) -> "FollowerState":
        """The state once a record was followed and refused."""
        refusal = RefusedVersion(
            sequence=record.sequence,
            version=record.version,
            reason=reason,
            at=datetime.now(UTC),
            untrusted=untrusted,
        )
        kept = (*self._refusals_but(record), refusal)[-REMEMBERED_REFUSALS:]
        return self.model_copy(update={"last": record, "refused": kept})

    def distrusting(self, record: AliasRecord, reason: str) -> "FollowerState":
        """The state once a record was refused that is not followed: the last one stays."""
        known = [refusal for refusal in self.refused if refusal.sequence == record.sequence]
        if any((each.version, each.reason) == (record.version, reason) for each in known):
            return self
        refused = self.refusing(record, reason, untrusted=True).refused
        return self.model_copy(update={"refused": refused})

    def following(self, record: AliasRecord) -> "FollowerState":
        """The state once a record was followed; an earlier refusal of it is void."""
        return self.model_copy(update={"last": record, "refused": self._refusals_but(record)})

    def is_untrusted(self, record: AliasRecord) -> bool:
        """Whether a record was refused because no trusted key had signed its version."""
        return any(
            refusal.untrusted for refusal in self.refused if refusal.sequence == record.sequence
        )

    def _refusals_but(self, record: AliasRecord) -> tuple[RefusedVersion, ...]:
        return tuple(refusal for refusal in self.refused if refusal.sequence != record.sequence)


Outcome = Literal["withdrawn", "became champion"]


class EndedChallenge(Value):
    """A challenge that is over on this host, and why.

    `recorded`: the store has it; until then `sync_error` says why not.
    """

    # The names before are read as well: a withdrawal that an upgrade forgot would start again.
    record: AliasRecord
    outcome: Outcome = Field(validation_alias=AliasChoices("outcome", "how"))
    reason: str
    replica: str
    at: datetime
    stats: ChallengeStats | None = Field(None, validation_alias=AliasChoices("stats", "tally"))
    recorded: bool = Field(False, validation_alias=AliasChoices("recorded", "told"))
    sync_error: str = ""


class SharedGeneration:
    """For one alias of a model: which generation answers, and which is proposed.

    A generation is a number that only this host uses: each version proposed here gets the next.
    `current` 0 means that nothing answers yet. A proposal is open while `proposed > current`.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._numbers = memoryview(memory).cast("Q")

    @classmethod
    def open(cls, path: Path) -> "SharedGeneration":
        """The numbers in a file, shared by all processes that open it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(map_numbers(path, numbers=_NUMBERS, mode=0o644))

    @classmethod
    def in_process(cls) -> "SharedGeneration":
        """The numbers of a process that serves alone."""
        return cls(mmap.mmap(-1, _NUMBERS * NUMBER_BYTES))

    @property
    def current(self) -> int:
        return self._numbers[0]

    @property
    def proposed(self) -> int:
        return self._numbers[1]

    @property
    def last_sync_age_seconds(self) -> float | None:
        """Seconds since the alias was last read from the store; None when it never was."""
        synced_ms = self._numbers[2]
        return round(max(time.time() - synced_ms / 1000, 0.0), 3) if synced_ms else None

    @property
    def refresh_requests(self) -> int:
        """A counter of requests to read the store at once."""
        return self._numbers[3]

    def request_refresh(self) -> None:
        """Have the leader read the store at once."""
        # Two workers may add at the same moment and one count be lost: the leader only compares
        # the number with the last one it saw, and either request leads to the same poll.
        self._numbers[3] += 1

    def activate(self, generation: int) -> None:
        """Every request that starts from here on is answered by `generation`, on the whole host.

        Call it only when all workers have reported the version as loaded.
        """
        # One aligned store is the whole switch: a worker that reads later gets the new number, one
        # that read before holds a lease on the old version, and none can read a mixture.
        self._numbers[0] = generation
        # For the next start only; other workers see the store through the shared page at once.
        self._memory.flush()

    def clear(self) -> None:
        """From here on nothing answers, and nothing is proposed."""
        # The proposal first: in the other order a worker between the two would see an open
        # proposal, and load a version that is to go.
        self._numbers[1] = 0
        self.activate(0)

    def propose(self, generation: int) -> None:
        self._numbers[1] = generation
        self._memory.flush()

    @property
    def polled_ms(self) -> int:
        """When the leader last tried to read the alias, in milliseconds since 1970; 0 for never."""
        return self._numbers[4]

    def note_poll(self, at_ms: int) -> None:
        """The leader has read the alias from the store, and done as it says, or has failed to."""
        self._numbers[4] = at_ms

    def note_sync(self, at_ms: int) -> None:
        """The alias was read from the store, at a time in milliseconds since 1970."""
        self._numbers[2] = at_ms


class AliasState:
    """The folder of one alias of a model, shared by all workers; only the leader writes.

    The files are named as in the first release: a host that is upgraded continues with what it
    served, also while the store is down.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared = SharedGeneration.open(folder / "board")

    def record(self, generation: int) -> AliasRecord | None:
        """What was proposed under a number, if it is still remembered."""
        try:
            return AliasRecord.model_validate_json(self._proposal_file(generation).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def propose(self, record: AliasRecord) -> int:
        """Propose a record to the workers under the next number, which is never used twice."""
        shared = self.shared
        generation = 1 + max([shared.current, shared.proposed, *self._generations()])
        # The record before its number: a worker that reads the number finds what it stands for.
        write_atomically(self._proposal_file(generation), record.model_dump_json().encode())
        shared.propose(generation)
        return generation

    def forget_proposals(self) -> None:
        """Remove proposals that are neither open, current nor the newest number."""
        generations = self._generations()
        keep = {self.shared.current, self.shared.proposed, max(generations, default=0)}
        for generation in set(generations) - keep:
            self._proposal_file(generation).unlink(missing_ok=True)

    def follower_state(self) -> FollowerState:
        try:
            return FollowerState.model_validate_json((self.folder / "known.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return FollowerState()

    def save_follower_state(self, state: FollowerState) -> None:
        write_atomically(self.folder / "known.json", state.model_dump_json().encode())

    def ended_challenge(self) -> EndedChallenge | None:
        """The last challenge that ended by itself here."""
        try:
            return EndedChallenge.model_validate_json((self.folder / "ended.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def save_ended_challenge(self, ended: EndedChallenge) -> None:
        write_atomically(self.folder / "ended.json", ended.model_dump_json().encode())

    def active_versions(self) -> set[str]:
        """The versions that answer here, or may next."""
        generations = {self.shared.current, self.shared.proposed} - {0}
        records = (self.record(generation) for generation in generations)
        return {record.version for record in records if record is not None}

    def _proposal_file(self, generation: int) -> Path:
        return self.folder / "proposals" / f"{generation}.json"

    def _generations(self) -> list[int]:
        paths = (self.folder / "proposals").glob("*.json")
        return [int(path.stem) for path in paths if path.stem.isdecimal()]
