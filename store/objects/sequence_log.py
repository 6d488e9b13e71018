"""The numbers of append-only logs, whose records are `<prefix>/<sequence>.json`.

A listing by name tells keys and what only stands below them by the same names, so that whoever may
write below a log can add names to it. What a log holds is decided by keys alone.
"""

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket


def named(bucket: Bucket, prefix: str) -> list[int]:
    """Every number that a listing names, ascending: cheap, and perhaps more than there are."""
    return _numbers(bucket.names_below(prefix))


def recorded(bucket: Bucket, prefix: str) -> list[int]:
    """Every number under which there is a record, ascending: lists all that is below the log."""
    names = (key.removeprefix(f"{prefix}/") for key in bucket.keys_below(prefix))
    return _numbers([name for name in names if "/" not in name])


def _numbers(names: list[str]) -> list[int]:
    found = (keys.alias_sequence(name) for name in names)
    return sorted(number for number in found if number is not None)
