"""`Csv`: how the CSV files of a source are written."""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from overnight.store.errors import ConfigurationError

Packing = Literal["gzip", "bzip2", "zstd"]
# What separates columns in files that people have; `_detected` tries them in this order.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class Csv:
    """The dialect of CSV files with a header.

    Attributes:
        separator: one character between columns; None for the one of comma, semicolon, tab and
            vertical bar under which the header has every declared column.
        quote: the character around values that contain separators; empty where there is none.
        decimal: what stands before the fraction of a number. Nothing tells 1,234 from 1.234, so it
            is declared and never guessed.
        encoding: as Python calls it; None for what the file's byte-order mark says, or else UTF-8.
        missing: cells that have no value, beside empty ones.
        packed: the compressions that files may have.
        rename: the declared column for a name in the header.
    """

    separator: str | None = None
    quote: str = '"'
    decimal: str = "."
    encoding: str | None = None
    missing: Sequence[str] = ()
    packed: Sequence[Packing] = ("gzip", "bzip2", "zstd")
    rename: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that a parser can follow this.

        Raises:
            ConfigurationError: naming the attribute, and what is expected of it.
        """
        characters = {
            "separator": self.separator or ",",
            "quote": self.quote or '"',
            "decimal": self.decimal,
        }
        for name, value in characters.items():
            if len(value) != 1 or not value.isascii() or value in "\r\n\0":
                raise ConfigurationError(
                    f"Csv: expected one ASCII character as {name}, found {value!r}"
                )
        if len({self.separator, self.quote, self.decimal}) < 3:
            raise ConfigurationError(
                f"Csv: expected separator, quote and decimal to differ, found {self.separator!r}, "
                f"{self.quote!r} and {self.decimal!r}"
            )
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError:
            raise ConfigurationError(
                f"Csv: expected an encoding that Python knows, such as 'cp1252', found "
                f"{self.encoding!r}"
            ) from None

    @cached_property
    def null_values(self) -> list[str]:
        return ["", *self.missing]

    @cached_property
    def quote_byte(self) -> bytes:
        """Empty where there are no quotes."""
        return self.quote.encode()

    def row_ends(self, separator: str) -> re.Pattern[bytes]:
        """Line ends, or quoted values, which may have some.

        A quote elsewhere in a value is a character.
        """
        if not self.quote:
            return re.compile(rb"\n")
        each, quote = re.escape(separator.encode()), re.escape(self.quote_byte)
        return re.compile(
            rb"(?:\A|(?<=[" + each + rb"\n]))" + quote + rb"(?:[^" + quote + rb"]|" + quote * 2
            + rb")*+" + quote + rb"(?=[" + each + rb"\r\n]|\Z)|\n"
        )  # fmt: skip


# Files of unknown origin: nothing about them is guessed.
COMMAS = Csv(separator=",", encoding="utf-8", packed=("gzip",))
