"""`Streaming`: the optional interface of sources that read files of any length in batches."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

import pyarrow as pa


@dataclass(frozen=True)
class BadLine:
    """An invalid line: its number in the file from one, the reason, and its bytes."""

    number: int
    why: str
    text: bytes

    def __str__(self) -> str:
        return f"line {self.number:,}: {self.why}"


Rejected = Callable[[BadLine], None]


def ignore_rejected(_line: BadLine) -> None:
    """For rows that somebody else reads again and reports."""


@runtime_checkable
class Streaming(Protocol):
    """A source that reads some files in batches of bounded size."""

    def batches(
        self, name: str, file: BinaryIO, rejected: Rejected
    ) -> Iterator[pa.RecordBatch] | None:
        """The rows of a file, some at a time, in the columns that `Source.read` gives.

        Each line is one row or is handed to `rejected`. None when a file of this name or this
        header can only be read whole.

        Raises:
            BadFile: too many lines are invalid, or a column is missing.
        """


def digests(texts: pa.Array) -> pa.Array:
    """The sha256 of each text, in hexadecimal."""
    sha256 = hashlib.sha256
    binary = texts.cast(pa.binary()).to_pylist()
    return pa.array([sha256(text).hexdigest() for text in binary], pa.string())
