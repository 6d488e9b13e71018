"""How published inputs become numbers: declarations that a tensor of the schema may carry."""

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from overnight.store.values import Value

# What a published value may be declared as: a number, a text, or a row of numbers.
Published = int | float | str | tuple[float, ...]

_EPOCH = date(1970, 1, 1).toordinal()
# Numbers of a text that stand for no piece: what it is padded with, and whatever is no piece.
PADDING, UNKNOWN = 0, 1
RESERVED_NUMBERS = 2
_BYTES = 256


def day_number(text: str) -> int:
    """The days from 1970-01-01 to a date such as 2026-11-22.

    Raises:
        ValueError: it is no such date.
    """
    # Python also reads 20261122 and 2026-W47-7, which other readers do not.
    if len(text) != len("2026-11-22") or text[4] != "-" or text[7] != "-":
        raise ValueError(f"{text!r} is no date such as 2026-11-22")
    return date.fromisoformat(text).toordinal() - _EPOCH


def as_date(days: float) -> str:
    """A day number as an ISO date; a number beyond all dates as it is."""
    try:
        return date.fromordinal(int(days) + _EPOCH).isoformat()
    except (ValueError, OverflowError):
        return f"{days:g}"


class TextEncoding(Value):
    """How a text becomes `length` numbers: 0 pads, 1 is unknown, and piece i is the number i + 2.

    `whitespace`: the words between white space. `wordpiece`: words and punctuation are cut into
    the longest pieces from the left (Devlin et al. 2019); a piece that continues a word begins with
    `##`. `bytes`: each byte of UTF-8 is a piece of its own, and `pieces` stay empty. What is longer
    than `length` is cut off. `lower_case`: before that, letters become small, and of `wordpiece`
    they lose their accents too.
    """

    tokenizer: Literal["whitespace", "wordpiece", "bytes"]
    length: int = Field(ge=1)
    pieces: tuple[str, ...] = ()
    lower_case: bool = False

    @model_validator(mode="after")
    def _pieces_are_distinct(self) -> Self:
        if self.tokenizer == "bytes" and self.pieces:
            raise ValueError("the tokenizer 'bytes' has no pieces of its own; leave them out")
        if len(set(self.pieces)) != len(self.pieces) or "" in self.pieces:
            raise ValueError("the pieces of a tokenizer must be distinct and not empty")
        return self

    @property
    def is_learned(self) -> bool:
        """Whether texts can be encoded: all but `bytes` needs pieces."""
        return self.tokenizer == "bytes" or bool(self.pieces)

    @property
    def size(self) -> int:
        """How many numbers there are, those of padding and of unknown pieces included."""
        return RESERVED_NUMBERS + (_BYTES if self.tokenizer == "bytes" else len(self.pieces))


class Missing(Value):
    """What a missing value is replaced by; `flag`: an input `<name>_missing` says where it was.

    `value` is a number, a text, or the name of a category. None is learned with the model.
    """

    value: Published | None = None
    flag: bool = False
