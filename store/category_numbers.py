"""The numbers of categories in two vocabularies, matched by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.errors import IncomparableVersions
from overnight.store.schema import TensorSpec

Array = NDArray[Any]
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Renumbering:
    """The number of each category in another vocabulary; -1 where that has neither it nor other."""

    tensor: str
    vocabulary: tuple[str, ...]
    numbers: NDArray[np.int64]

    def known(self, rows: Array) -> NDArray[np.bool_]:
        """Which of the values have a number in the other vocabulary, in the shape of `rows`."""
        inside = (rows >= 0) & (rows < len(self.numbers))
        return np.asarray(inside & (self.numbers[np.where(inside, rows, 0)] >= 0))

    def applied(self, rows: Array) -> Array:
        """The rows with the numbers of the other vocabulary.

        Raises:
            IncomparableVersions: it has no such category.
        """
        known = self.known(rows)
        if not known.all():
            missing = [self._name(int(number)) for number in np.unique(rows[~known])]
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise IncomparableVersions(
                f"{self.tensor!r} has no category {', '.join(missing[:_SHOWN])}{more} there, and "
                "no other category that stands for it"
            )
        return self.numbers[rows].astype(rows.dtype)

    def _name(self, number: int) -> str:
        inside = 0 <= number < len(self.vocabulary)
        return repr(self.vocabulary[number]) if inside else str(number)


def renumbering(ours: TensorSpec, theirs: TensorSpec, *, exact: bool = False) -> Renumbering | None:
    """How the categories of one tensor are numbered in the other; None where they agree.

    `exact`: both must have the same categories.

    Raises:
        IncomparableVersions: only one has categories, or `exact` and they are others.
    """
    before, after = ours.vocabulary, theirs.vocabulary
    if (before, ours.otherwise) == (after, theirs.otherwise):
        return None
    if not before or not after:
        raise IncomparableVersions(f"{ours.name!r} has categories in only one of them")
    if exact and set(before) != set(after):
        raise IncomparableVersions(
            f"the output {ours.name!r} has other categories: {names_apart(before, after)}"
        )
    number_of = {name: number for number, name in enumerate(after)}
    other = number_of.get(theirs.otherwise, -1)
    numbers = [number_of.get(name, other) for name in before]
    # What stands for all others need not have the same name.
    if ours.otherwise and ours.otherwise not in number_of:
        numbers[before.index(ours.otherwise)] = other
    return Renumbering(ours.name, before, np.array(numbers, np.int64))


def names_apart(before: Sequence[str], after: Sequence[str]) -> str:
    """The names that only one of two lists has."""
    only = [
        f"{', '.join(map(repr, names[:_SHOWN]))} only in {where}"
        for names, where in (
            ([name for name in before if name not in after], "one"),
            ([name for name in after if name not in before], "the other"),
        )
        if names
    ]
    return "; ".join(only)
