"""Acknowledger: reports to the store which records of an alias this host serves or refuses."""

import logging

from overnight.serving.lifecycle.follower_memory import FollowerMemory
from overnight.store.errors import BadKey, StoreDenied
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord

logger = logging.getLogger(__name__)


class Acknowledger:
    """Writes the acknowledgements of one host to one log, each at most once."""

    def __init__(self, log: AliasLog, replica: str, memory: FollowerMemory) -> None:
        """`replica`: the name of the host in the store; refusals are those in `memory`."""
        self._log, self._replica, self._memory = log, replica, memory

    def serving(self, record: AliasRecord) -> None:
        """Report that every request here is answered by the version of a record."""
        self._write(record.sequence, record.version, serving=True)

    def overtaken(self, first: int, record: AliasRecord) -> None:
        """Report the records from `first` on that were followed by another before they loaded."""
        for sequence in range(first, record.sequence):
            entry = self._log.entry(sequence)
            if entry is not None and entry.signer and entry.record:
                self.superseded(entry.record, record)

    def superseded(self, overtaken: AliasRecord, record: AliasRecord) -> None:
        """Report that a record is not served, because `record` came before it was loaded."""
        reason = f"superseded by record {record.sequence} before it was loaded"
        self._write(overtaken.sequence, overtaken.version, serving=False, reason=reason)

    def refusals(self) -> None:
        """Report every refusal that is not acknowledged yet."""
        refusals = self._memory.state.refused
        for refusal in refusals:
            if not refusal.acknowledged:
                self._write(refusal.sequence, refusal.version, serving=False, reason=refusal.reason)
        done = tuple(refusal.model_copy(update={"acknowledged": True}) for refusal in refusals)
        if done != refusals:
            self._memory.update(refused=done)

    def _write(self, sequence: int, version: str, *, serving: bool, reason: str = "") -> None:
        acknowledgement = Acknowledgement(
            replica=self._replica, version=version, serving=serving, reason=reason
        )
        try:
            self._log.acknowledge(sequence, acknowledgement)
        except (BadKey, StoreDenied) as error:
            # Reading is enough to serve; only a run that waits for the acknowledgement misses it.
            logger.warning("%s: record %d not acknowledged: %s", self._log.name, sequence, error)
