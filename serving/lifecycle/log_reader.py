"""Log reader: which record of an alias' log a host follows next, and which it does not follow."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overnight.serving.errors import LogRewound
from overnight.store.errors import CorruptRecord
from overnight.store.registry.alias_log import AliasLog, Entry
from overnight.store.registry.alias_record import AliasRecord

# How often the log is checked to still hold the last record that was followed.
CHECK_SECONDS = 60.0


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
