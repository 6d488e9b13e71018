"""Sequence numbers of append-only logs, whose records are `<prefix>/<sequence>.json`.

A log is the numbers from 1 without a gap. A name beyond a gap is none of its records: everybody who
may write below a log can add any name to it. Nor is a folder of a record's name, which a listing by
name does not distinguish.
"""

from collections.abc import Callable

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket


def named(bucket: Bucket, prefix: str) -> list[int]:
    """Every number in a listing by name, ascending: cheap, but some may have no record."""
    sequences = (keys.alias_sequence(name) for name in bucket.names_below(prefix))
    return sorted(sequence for sequence in sequences if sequence is not None)


def last(bucket: Bucket, prefix: str, exists: Callable[[int], bool]) -> int:
    """The last number of a log, 0 when it is empty; `exists` is a single read.

    A listing may be stale; single reads from its end to the first gap are not.
    """
    listed = frozenset(named(bucket, prefix))
    sequence = 0
    while sequence + 1 in listed:
        sequence += 1
    while sequence and not exists(sequence):
        sequence -= 1
    while exists(sequence + 1):
        sequence += 1
    return sequence
