"""Sequence numbers of append-only logs, whose records are `<prefix>/<sequence>.json`.

A listing by name does not distinguish a record from a folder of the same name, so anyone who may
write below a log (a serving host) can add names to it. Only the keys decide what a log holds.
"""

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket


def named(bucket: Bucket, prefix: str) -> list[int]:
    """Every number in a listing by name, ascending: cheap, but some may have no record."""
    return _numbers(bucket.names_below(prefix))


def recorded(bucket: Bucket, prefix: str) -> list[int]:
    """Every number that has a record, ascending: lists every key below the log."""
    names = (key.removeprefix(f"{prefix}/") for key in bucket.keys_below(prefix))
    return _numbers([name for name in names if "/" not in name])


def _numbers(names: list[str]) -> list[int]:
    sequences = (keys.alias_sequence(name) for name in names)
    return sorted(sequence for sequence in sequences if sequence is not None)
