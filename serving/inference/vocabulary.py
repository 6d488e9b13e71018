"""Vocabulary words and dates, encoded as numbers by the schema of the version.

The encoding is part of the version's manifest, so a word has the same number in every request.
An encoder fitted to each request would not: its numbers depend on the other rows.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache

from overnight.serving.errors import BadInput
from overnight.serving.inference.error_text import kind_of
from overnight.store.schema import TensorSpec

# The datatype by which the Open Inference Protocol v2 sends texts.
TEXTS = "BYTES"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = date(1970, 1, 1).toordinal()
_TOLD_WORDS = 12
_LISTED_VALUES = 20
_VALUE_CHARACTERS = 100
_VOCABULARIES = 64


class OutOfVocabulary:
    """Values of a request that are not in their tensor's vocabulary; its length counts them all.

    `entries` lists {tensor, row, value}: at most 20 of each tensor, with long values cut off, so
    that a response cannot repeat the whole request.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, str | int]] = []
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def note(self, tensor: str, row: int, value: str) -> None:
        self._counts[tensor] += 1
        if self._counts[tensor] <= _LISTED_VALUES:
            self.entries.append({"tensor": tensor, "row": row, "value": value[:_VALUE_CHARACTERS]})


def number_of(
    spec: TensorSpec, text: str, *, field: str, unknown: OutOfVocabulary, row: int
) -> int:
    """The number of a word or a date; a word out of vocabulary is noted in `unknown`.

    Raises:
        BadInput: it is no date, or out of a vocabulary without a fallback.
    """
    if spec.date:
        return _day(text, field=field)
    known = _numbers(spec.vocabulary)
    found = known.get(text)
    if found is None:
        if not spec.otherwise:
            raise BadInput(field, expected=_told(spec.vocabulary), found=kind_of(text))
        unknown.note(spec.name, row, text)
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
