"""Which segments of the prediction log a table has, as application transactions of Delta.

The segments of an incarnation of a host are numbered, and may come in any order, with gaps that are
never filled. Delta keeps one whole number for each application id; here it is a set. Segment n of
an incarnation is bit n mod 62 of the version of `<incarnation>-<n div 62>`. So a commit names
exactly the segments whose rows it adds, none waits for another, and 62 of them take one entry of
the table's log. Bits are only ever added, so versions rise, as Delta expects. Two commits that
touch one id conflict, and the loser looks again.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from deltalake import DeltaTable, Transaction

# A version is a signed number of 64 bits.
_BITS = 62
# How long a segment that was committed is known: a host that comes back later than this with one
# that it had shipped already would count twice. Rows as old as this are not collected at all.
REMEMBERED_DAYS = 400
CONFIGURATION = {"delta.setTransactionRetentionDuration": f"interval {REMEMBERED_DAYS} days"}


class SegmentId(NamedTuple):
    """The incarnation of a host and the number of one of its segments, which is never used again.

    `incarnation` is 32 hexadecimal digits.
    """

    incarnation: str
    number: int

    @property
    def block(self) -> str:
        """The application id among whose bits it is."""
        return f"{self.incarnation}-{self.number // _BITS}"

    @property
    def bit(self) -> int:
        """Its bit in the version of `block`."""
        return 1 << (self.number % _BITS)


def committed(table: DeltaTable, segments: Iterable[SegmentId]) -> frozenset[SegmentId]:
    """Those of some segments whose rows this version of the table has."""
    wanted = list(segments)
    known = _known(table, wanted)
    return frozenset(each for each in wanted if known[each.block] & each.bit)


def transactions(table: DeltaTable, segments: Iterable[SegmentId]) -> list[Transaction]:
    """What a commit on top of this version has to carry to add the rows of these segments."""
    wanted = list(segments)
    sets = _known(table, wanted)
    for each in wanted:
        sets[each.block] |= each.bit
    now = round(time.time() * 1_000)
    return [Transaction(block, bits, now) for block, bits in sorted(sets.items())]


def _known(table: DeltaTable, segments: Iterable[SegmentId]) -> dict[str, int]:
    blocks = {each.block for each in segments}
    return {block: table.transaction_version(block) or 0 for block in blocks}
