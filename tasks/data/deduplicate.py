"""A sieve for rows of any number: which are new is found with a part of their digests in memory.

Digests are dealt out over files by their first byte, so equal ones meet in one file, and each file
is sorted by itself.
"""

import binascii
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight.store.errors import ConfigurationError

Digests = NDArray[np.bytes_]
_PARTS = 128
_HEXADECIMAL = 64
_DIGEST = "S32"
_DEALT = np.dtype([("digest", _DIGEST), ("row", "<i8")])


@dataclass(frozen=True)
class DedupResult:
    """`fresh` says of each row of an arrival whether it is new; the others by their kind.

    `repeated` rows are equal to another of the arrival itself, whether that is new or not.
    """

    fresh: NDArray[np.bool_]
    duplicates: int
    kept_out: int
    repeated: int


class Deduplicator:
    """Hears of an arrival's rows in order, and of those that are known, in any order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()
        self._open: dict[str, IO[bytes]] = {}
        self._rows = 0

    def add(self, digests: Digests) -> None:
        """The next rows of the arrival."""
        dealt = np.empty(len(digests), _DEALT)
        dealt["digest"] = digests
        dealt["row"] = np.arange(self._rows, self._rows + len(digests))
        self._rows += len(digests)
        self._deal("row", dealt, digests)

    def know(self, digests: Digests) -> None:
        """Rows that are there already."""
        self._deal("known", digests, digests)

    def sift(self, held_out: Digests) -> DedupResult:
        """Of equal rows the first is new, unless it is known or `held_out`."""
        self._files.close()
        fresh = np.zeros(self._rows, np.bool_)
        kept_out = distinct = 0
        for part in range(_PARTS):
            dealt = self._read("row", part, _DEALT)
            told, first, counts = np.unique(dealt["digest"], return_index=True, return_counts=True)
            held = _among(told, held_out)
            new = ~held & ~_among(told, self._read("known", part, np.dtype(_DIGEST)))
            fresh[dealt["row"][first[new]]] = True
            kept_out += int(counts[held].sum())
            distinct += len(told)
        duplicates = self._rows - kept_out - int(fresh.sum())
        return DedupResult(fresh, duplicates, kept_out, repeated=self._rows - distinct)

    def _deal(self, kind: str, records: NDArray[np.void] | Digests, digests: Digests) -> None:
        if not len(digests):
            return
        parts = digests.view(np.uint8).reshape(len(digests), -1)[:, 0] % _PARTS
        order = np.argsort(parts, kind="stable")
        ends = np.cumsum(np.bincount(parts, minlength=_PARTS))
        for part, dealt in enumerate(np.split(records[order], ends[:-1])):
            if len(dealt):
                self._file(kind, part).write(dealt.tobytes())

    def _file(self, kind: str, part: int) -> IO[bytes]:
        name = f"{kind}-{part}"
        if name not in self._open:
            self._open[name] = self._files.enter_context((self._folder / name).open("wb"))
        return self._open[name]

    def _read(self, kind: str, part: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        path = self._folder / f"{kind}-{part}"
        return np.fromfile(path, dtype) if path.exists() else np.empty(0, dtype)


def packed(digests: pa.Array | pa.ChunkedArray) -> Digests:
    """Digests in hexadecimal as 32 bytes each.

    Raises:
        ConfigurationError: they are no sha256, which is what a source promises.
    """
    return np.concatenate([np.empty(0, _DIGEST), *_packed(digests)])


def _packed(digests: pa.Array | pa.ChunkedArray) -> Iterator[Digests]:
    chunks = digests.chunks if isinstance(digests, pa.ChunkedArray) else [digests]
    for chunk in chunks:
        texts = chunk.cast(pa.string())
        lengths = np.diff(np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :])[: len(texts)]
        if texts.null_count or (lengths != _HEXADECIMAL).any():
            raise ConfigurationError("a source must give each row a sha256, in 64 characters")
        if len(texts):
            start = texts.offset * _HEXADECIMAL
            text = memoryview(texts.buffers()[2])[start : start + len(texts) * _HEXADECIMAL]
            yield np.frombuffer(binascii.unhexlify(text), _DIGEST)


def _among(digests: Digests, others: Digests) -> NDArray[np.bool_]:
    """Which of some sorted digests are among others."""
    found = np.zeros(len(digests), np.bool_)
    if len(digests) and len(others):
        places = np.searchsorted(digests, others)
        inside = places < len(digests)
        places, others = places[inside], others[inside]
        found[places[digests[places] == others]] = True
    return found
