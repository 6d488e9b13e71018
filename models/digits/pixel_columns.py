"""Which columns of a table are the label and the pixels, and in which order the pixels are.

The order follows from the numbers in the names and never from the order of the columns, which may
be that of the alphabet: pixel0, pixel1, pixel10, pixel100. Any other columns may be there, too.
"""

import re
from collections.abc import Mapping, Sequence

from overnight.models.digits.rows import PIXELS, SIDE
from overnight.store.errors import BadFile

LABEL = "label"
_NUMBER = re.compile(r"\d+")
_Numbers = tuple[int, ...]
# Pixel by pixel, or by row and column; from 0 or from 1.
_NUMBERINGS: tuple[tuple[_Numbers, ...], ...] = (
    tuple((number,) for number in range(PIXELS)),
    tuple((number,) for number in range(1, PIXELS + 1)),
    tuple((row, column) for row in range(SIDE) for column in range(SIDE)),
    tuple((row, column) for row in range(1, SIDE + 1) for column in range(1, SIDE + 1)),
)
_EXPECTED = f"{PIXELS} columns of pixels that are numbered, such as pixel0 to pixel{PIXELS - 1}"


def label_column(file: str, names: Sequence[str]) -> str:
    """The name of the column of labels, in letters of any case.

    Raises:
        BadFile: there is none, or more than one.
    """
    labels = [name for name in names if name.strip().lower() == LABEL]
    if len(labels) == 1:
        return labels[0]
    problem = f"{len(names)} columns, first {', '.join(names[:3])!r}"
    if labels:
        problem = f"{' and '.join(labels)}, which are {len(labels)}"
    raise BadFile(file, expected=f"a column {LABEL}", found=problem)


def pixel_columns(file: str, names: Sequence[str]) -> list[str]:
    """The names of the columns of pixels, row by row.

    Raises:
        BadFile: no columns are numbered as pixels are, or more than one set of them; names the
            column that is missing, there twice, or too many.
    """
    series: dict[str, dict[_Numbers, str]] = {}
    for name in names:
        same = series.setdefault(_NUMBER.sub("#", name.strip().lower()), {})
        numbers = tuple(map(int, _NUMBER.findall(name)))
        if numbers and numbers in same:
            raise BadFile(file, expected=_EXPECTED, found=f"{name} twice")
        same[numbers] = name
    whole = [order for named in series.values() if (order := _ordered(named))]
    if len(whole) == 1:
        return whole[0]
    if whole:
        problem = (
            f"{len(whole)} sets of them, which begin with {', '.join(order[0] for order in whole)}"
        )
    else:
        problem = _problem(max(series.items(), key=lambda item: len(item[1])))
    raise BadFile(file, expected=_EXPECTED, found=problem)


def _ordered(named: Mapping[_Numbers, str]) -> list[str] | None:
    for numbering in _NUMBERINGS:
        if named.keys() == set(numbering):
            return [named[numbers] for numbers in numbering]
    return None


def _problem(series: tuple[str, Mapping[_Numbers, str]]) -> str:
    """What is wrong with the longest series of columns: a pixel that is missing or too many."""
    pattern, named = series
    nearest = max(_NUMBERINGS, key=lambda numbering: len(named.keys() & set(numbering)))
    count = f"{len(named)} like {next(iter(named.values()))}"
    if len(named) < PIXELS // 2 or not named.keys() & set(nearest):
        return count
    for numbers in nearest:
        if numbers not in named:
            parts = zip(pattern.split("#"), [*map(str, numbers), ""], strict=True)
            return f"{count} (no {''.join(map(''.join, parts))})"
    too_many = next(name for numbers, name in named.items() if numbers not in set(nearest))
    return f"{count} ({too_many} is one too many)"
