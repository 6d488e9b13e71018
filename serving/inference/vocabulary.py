"""Vocabulary entries and dates, encoded as numbers by the schema of the version.

The encoding is part of the version's manifest, so an entry has the same number in every request,
whatever the other rows are.
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

# The datatype of texts in the Open Inference Protocol v2.
TEXTS = "BYTES"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = date(1970, 1, 1).toordinal()
_SHOWN_ENTRIES = 12
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

    def add(self, tensor: str, row: int, value: str) -> None:
        self._counts[tensor] += 1
        if self._counts[tensor] <= _LISTED_VALUES:
            self.entries.append({"tensor": tensor, "row": row, "value": value[:_VALUE_CHARACTERS]})


def number_of(
    spec: TensorSpec, text: str, *, field: str, unknown: OutOfVocabulary, row: int
) -> int:
    """The number of an entry or a date; a value out of vocabulary is added to `unknown`.

    Raises:
        BadInput: no date, or out of a vocabulary that has no fallback entry.
    """
    if spec.date:
        return _day(text, field=field)
    numbers = _numbers(spec.vocabulary)
    number = numbers.get(text)
    if number is None:
        if not spec.otherwise:
            raise BadInput(field, expected=_listed(spec.vocabulary), found=kind_of(text))
        unknown.add(spec.name, row, text)
        return numbers[spec.otherwise]
    return number


def split(raw: memoryview, *, field: str) -> Iterator[str]:
    """The texts of a raw tensor: each follows its length in four bytes, little-endian.

    Raises:
        BadInput: a length exceeds the bytes that are left, or a text is not UTF-8.
    """
    for part in split_raw(raw, field=field):
        try:
            yield bytes(part).decode()
        except UnicodeDecodeError:
            raise BadInput(field, expected="texts in UTF-8", found="other bytes") from None


def split_raw(raw: memoryview, *, field: str) -> Iterator[memoryview]:
    """The values of a raw tensor of bytes: each follows its length in four bytes, little-endian.

    Raises:
        BadInput: a length exceeds the bytes that are left.
    """
    start = 0
    while start < len(raw):
        head = raw[start : start + 4]
        end = start + 4 + (struct.unpack("<I", head)[0] if len(head) == 4 else len(raw))
        if end > len(raw):
            expected = "texts, each after its length in four bytes"
            raise BadInput(field, expected=expected, found=f"{len(raw) - start} bytes at the end")
        yield raw[start + 4 : end]
        start = end


# A request may name a vocabulary of thousands of entries; its index is built once.
@lru_cache(maxsize=_VOCABULARIES)
def _numbers(vocabulary: tuple[str, ...]) -> Mapping[str, int]:
    return {entry: number for number, entry in enumerate(vocabulary)}


def _day(text: str, *, field: str) -> int:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        pass
    expected = "a date such as 2026-11-22, or days since 1970-01-01"
    raise BadInput(field, expected=expected, found=kind_of(text))


def _listed(vocabulary: Sequence[str]) -> str:
    few = ", ".join(repr(entry) for entry in vocabulary[:_SHOWN_ENTRIES])
    more = len(vocabulary) - _SHOWN_ENTRIES
    return f"one of {few}{f' and {more} more' if more > 0 else ''}"
