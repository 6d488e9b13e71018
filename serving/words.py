"""Words and dates in place of numbers: what applications know, encoded as a version's schema says.

The encoding is carried in the manifest of the version that answers, so a word has the same number
in every request, whichever other words stand beside it.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache

from serving.errors import BadInput
from serving.telling import kind_of
from store.schema import TensorSpec

# The datatype by which the Open Inference Protocol v2 sends texts.
TEXTS = "BYTES"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = date(1970, 1, 1).toordinal()
_TOLD_WORDS = 12
_TOLD_PLACES = 20
_VOCABULARIES = 64


class Unknown:
    """Which elements of a request were no words of their vocabularies, and answered as another."""

    def __init__(self) -> None:
        self._places: dict[str, list[int]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def __str__(self) -> str:
        told = [f"{name}[{place}]" for name, places in self._places.items() for place in places]
        more = self._count - len(told)
        return ", ".join(told) + (f" and {more} more" if more else "")

    def note(self, name: str, place: int) -> None:
        """One more; of each tensor many are only counted: an answer is not to repeat a request."""
        self._count += 1
        places = self._places.setdefault(name, [])
        if len(places) < _TOLD_PLACES:
            places.append(place)


def number_of(spec: TensorSpec, text: str, *, field: str, unknown: Unknown, place: int) -> int:
    """The number that a word or a date stands for.

    Raises:
        BadInput: it is no date, or no word of a vocabulary that has none for all others.
    """
    if spec.date:
        return _day(text, field=field)
    known = _numbers(spec.vocabulary)
    found = known.get(text)
    if found is None:
        if not spec.otherwise:
            raise BadInput(field, expected=_told(spec.vocabulary), found=kind_of(text))
        unknown.note(spec.name, place)
        return known[spec.otherwise]
    return found


def split(raw: memoryview, *, field: str) -> Iterator[str]:
    """The texts of a raw tensor: each is preceded by its length, four bytes little-endian.

    Raises:
        BadInput: a length goes beyond the bytes, or a text is not UTF-8.
    """
    start = 0
    while start < len(raw):
        head = raw[start : start + 4]
        end = start + 4 + (struct.unpack("<I", head)[0] if len(head) == 4 else len(raw))
        if end > len(raw):
            expected = "texts, each after its length in four bytes"
            raise BadInput(field, expected=expected, found=f"{len(raw) - start} bytes at the end")
        try:
            yield bytes(raw[start + 4 : end]).decode()
        except UnicodeDecodeError:
            raise BadInput(field, expected="texts in UTF-8", found="other bytes") from None
        start = end


def as_date(days: float) -> str:
    """A day as people write it; a number that is none, as it is."""
    try:
        return date.fromordinal(int(days) + _EPOCH).isoformat()
    except (ValueError, OverflowError):
        return f"{days:g}"


@lru_cache(maxsize=_VOCABULARIES)
def _numbers(vocabulary: tuple[str, ...]) -> Mapping[str, int]:
    return {word: place for place, word in enumerate(vocabulary)}


def _day(text: str, *, field: str) -> int:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        pass
    expected = "a date such as 2026-11-22, or days since 1970-01-01"
    raise BadInput(field, expected=expected, found=kind_of(text))


def _told(vocabulary: Sequence[str]) -> str:
    few = ", ".join(repr(word) for word in vocabulary[:_TOLD_WORDS])
    more = len(vocabulary) - _TOLD_WORDS
    return f"one of {few}{f' and {more} more' if more > 0 else ''}"
