"""Out-of-core deduplication of rows by their digests.

Digests are partitioned into files by their first byte, so equal ones are in one file, and only one
file is in memory at a time.
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
# Half of the values of a byte: with known rows that is 256 open files, within the usual limit.
_PARTITIONS = 128
_HEXADECIMAL = 64
_DIGEST = "S32"
_RECORD = np.dtype([("digest", _DIGEST), ("row", "<i8")])


@dataclass(frozen=True)
class Repeats:
    """How many of `n` rows equal another of them; that of digest `most_frequent` occurs `most`."""

    n: int = 0
    repeated: int = 0
    most: int = 0
    most_frequent: str = ""

    def __add__(self, more: "Repeats") -> "Repeats":
        """The repeats among both, which have no row in common."""
        first = self if self.most >= more.most else more
        return Repeats(
            self.n + more.n, self.repeated + more.repeated, first.most, first.most_frequent
        )


@dataclass(frozen=True)
class DedupResult:
    """Which rows of an arrival are new, and counts of the others by kind."""

    is_new: NDArray[np.bool_]
    kept_out: int
    repeats: Repeats


class Deduplicator:
    """Collects the rows of an arrival in order, and the known rows in any order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()
        self._open: dict[str, IO[bytes]] = {}
        self._rows = 0

    def add(self, digests: Digests) -> None:
        """Add the next rows of the arrival."""
        records = np.empty(len(digests), _RECORD)
        records["digest"] = digests
        records["row"] = np.arange(self._rows, self._rows + len(digests))
        self._rows += len(digests)
        self._partition("row", records, digests)

    def add_known(self, digests: Digests) -> None:
        """Add rows that are in the dataset already."""
        self._partition("known", digests, digests)

    def deduplicate(self, held_out: Digests) -> DedupResult:
        """Find the new rows: the first of equal ones, unless it is known or `held_out`."""
        self._files.close()
        is_new = np.zeros(self._rows, np.bool_)
        kept_out, repeats = 0, Repeats()
        for partition in range(_PARTITIONS):
            records = self._read("row", partition, _RECORD)
            distinct, first, counts = np.unique(
                records["digest"], return_index=True, return_counts=True
            )
            is_held_out = _is_in(distinct, held_out)
            is_new_digest = ~is_held_out & ~_is_in(
                distinct, self._read("known", partition, np.dtype(_DIGEST))
            )
            is_new[records["row"][first[is_new_digest]]] = True
            kept_out += int(counts[is_held_out].sum())
            repeats += _repeats(distinct, counts)
        return DedupResult(is_new, kept_out, repeats)

    def _partition(self, kind: str, records: NDArray[np.void] | Digests, digests: Digests) -> None:
        if not len(digests):
            return
        partitions = digests.view(np.uint8).reshape(len(digests), -1)[:, 0] % _PARTITIONS
        # Stable: rows stay in order, so that of equal ones the first is new.
        order = np.argsort(partitions, kind="stable")
        ends = np.cumsum(np.bincount(partitions, minlength=_PARTITIONS))
        for partition, chunk in enumerate(np.split(records[order], ends[:-1])):
            if len(chunk):
                self._file(kind, partition).write(chunk.tobytes())

    def _file(self, kind: str, partition: int) -> IO[bytes]:
        name = f"{kind}-{partition}"
        if name not in self._open:
            self._open[name] = self._files.enter_context((self._folder / name).open("wb"))
        return self._open[name]

    def _read(self, kind: str, partition: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        path = self._folder / f"{kind}-{partition}"
        return np.fromfile(path, dtype) if path.exists() else np.empty(0, dtype)


def count_repeats(digests: Digests) -> Repeats:
    """The repeats among rows whose digests fit into memory."""
    return _repeats(*np.unique(digests, return_counts=True))


def pack_digests(digests: pa.Array | pa.ChunkedArray) -> Digests:
    """Hexadecimal digests as 32 bytes each.

    Raises:
        ConfigurationError: they are not sha256 digests, as a source must give them.
    """
    return np.concatenate([np.empty(0, _DIGEST), *_pack_chunks(digests)])


def _pack_chunks(digests: pa.Array | pa.ChunkedArray) -> Iterator[Digests]:
    chunks = digests.chunks if isinstance(digests, pa.ChunkedArray) else [digests]
    for chunk in chunks:
        texts = chunk.cast(pa.string())
        # Reads Arrow's buffers directly: Python strings of millions of digests would not fit.
        lengths = np.diff(np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :])[: len(texts)]
        if texts.null_count or (lengths != _HEXADECIMAL).any():
            raise ConfigurationError(
                "the source gave a row without a sha256 as its digest; expected 64 hexadecimal "
                "characters for each row"
            )
        if len(texts):
            start = texts.offset * _HEXADECIMAL
            text = memoryview(texts.buffers()[2])[start : start + len(texts) * _HEXADECIMAL]
            yield np.frombuffer(binascii.unhexlify(text), _DIGEST)


def _repeats(distinct: Digests, counts: NDArray[np.int64]) -> Repeats:
    """The repeats by distinct digests and their counts."""
    if not len(counts):
        return Repeats()
    n, first = int(counts.sum()), int(counts.argmax())
    return Repeats(n, n - len(counts), int(counts[first]), bytes(distinct[first]).hex())


def _is_in(digests: Digests, others: Digests) -> NDArray[np.bool_]:
    """Which of some sorted digests occur in `others`."""
    is_in = np.zeros(len(digests), np.bool_)
    if len(digests) and len(others):
        positions = np.searchsorted(digests, others)
        in_range = positions < len(digests)
        positions, others = positions[in_range], others[in_range]
        is_in[positions[digests[positions] == others]] = True
    return is_in
