"""`Watermark`: how far a table has been read, and the name of the arrival that read so far."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Self

import numpy as np
import pyarrow as pa

from overnight.store.errors import BadFile, ConfigurationError

_PREFIX = "until-"
_NUMBER = re.compile(r"-?\d+")
# `Z`: the column has a time zone, and the text is in UTC.
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d\.\d\d\.\d\d(\.\d+)?Z?)?")
Kind = Literal["number", "date", "time", "time with zone"]
Overlap = timedelta | int


@dataclass(frozen=True)
class Watermark:
    """The highest value of a column: a whole number, a day, or a time as ISO 8601 writes it."""

    text: str
    kind: Kind

    @classmethod
    def of(cls, value: pa.Scalar, *, what: str) -> Self | None:
        """The watermark of a column's highest value; None when there is none.

        Raises:
            BadFile: the column has another type than an integer, a date or a timestamp.
        """
        kind = value.type
        if isinstance(kind, pa.BaseExtensionType) or not (
            pa.types.is_integer(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)
        ):
            name = kind.type_name if isinstance(kind, pa.OpaqueType) else kind
            raise BadFile(
                what,
                expected="a watermark that is a whole number, a date or a timestamp",
                found=f"{name}; cast it in the query, for example to bigint",
            )
        if not value.is_valid:
            return None
        if pa.types.is_timestamp(kind) and kind.tz:
            value = value.cast(pa.timestamp(kind.unit, "UTC"))
        text = str(value.cast(pa.string()).as_py())
        if pa.types.is_integer(kind):
            return cls(text, "number")
        if pa.types.is_date(kind):
            return cls(text[:10], "date")
        return cls(text.removesuffix("Z"), "time with zone" if kind.tz else "time")

    @classmethod
    def of_arrival(cls, name: str) -> Self | None:
        """The watermark that an arrival is named by; None for other names."""
        text = name.removeprefix(_PREFIX)
        if text == name:
            return None
        if _NUMBER.fullmatch(text):
            return cls(text, "number")
        if not _TIME.fullmatch(text):
            return None
        if "T" not in text:
            return cls(text, "date")
        day, _, clock = text.removesuffix("Z").partition("T")
        time = f"{day} {clock.replace('.', ':', 2)}"
        return cls(time, "time with zone" if text.endswith("Z") else "time")

    @property
    def arrival(self) -> str:
        """The name of the arrival that has the rows until here."""
        text = self.text.replace(" ", "T").replace(":", ".")
        return f"{_PREFIX}{text}{'Z' * (self.kind == 'time with zone')}"

    @property
    def literal(self) -> str:
        """The value in SQL, whose type follows from what it is compared with."""
        if self.kind == "number":
            return self.text
        return f"'{self.text}{'+00:00' * (self.kind == 'time with zone')}'"

    def is_after(self, other: "Watermark") -> bool:
        """Whether this one is higher than another of its kind."""
        if self.kind == "number":
            return int(self.text) > int(other.text)
        return bool(np.datetime64(self.text) > np.datetime64(other.text))

    def minus(self, overlap: Overlap) -> Self:
        """The watermark so far before this one.

        Raises:
            ConfigurationError: numbers have no duration between them, and times no number.
        """
        if (self.kind == "number") != isinstance(overlap, int):
            expected = "a whole number" if self.kind == "number" else "a timedelta"
            raise ConfigurationError(
                f"overlap: the watermark is a {self.kind}, so expected {expected}, found "
                f"{overlap!r}"
            )
        if isinstance(overlap, int):
            return type(self)(str(int(self.text) - overlap), self.kind)
        microseconds = np.timedelta64(overlap // timedelta(microseconds=1), "us")
        earlier = np.datetime64(self.text) - microseconds
        text = str(earlier).replace("T", " ")
        return type(self)(text[:10] if self.kind == "date" else text, self.kind)


def highest(arrivals: "list[Watermark]", kind: Kind) -> Watermark | None:
    """The highest watermark of one kind; those of others are of a column that was replaced."""
    last: Watermark | None = None
    for each in arrivals:
        if each.kind == kind and (last is None or each.is_after(last)):
            last = each
    return last
