"""How fast segments of the prediction log become rows of a table, and in how much memory.

    python -m benchmarks.monitoring.collect 100000 1000000

Each row is a digit: 784 bytes of pixels, ten probabilities, and a request of its own. Segments are
of the size that serving closes them at, and are made as they are read, so that the memory measured
is that of the collector. Tables are in a folder, so no network is measured. The claim: memory does
not grow with the number of rows.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.segment_format import SEGMENT_BYTES, AnswerColumns
from overnight.store.predictions.segments import AnsweredBatch, encode_answers, segment_name
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.tasks.monitoring.collect import collect

_MODEL, _VERSION = "digits", "20261122T020000-0123456789ab"
_IN_A_FRAME = 64


class MadeSpool(MemoryBucket):
    """A spool whose segments are the same body under many names."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._body, self._rows = _segment()
        names = (segment_name("a" * 32, number) for number in range(-(-rows // self._rows)))
        self._left = {keys.spool_segment(_MODEL, "host-1", name) for name in names}

    def sizes_below(self, prefix: str) -> dict[str, int]:
        below = (key for key in sorted(self._left) if key.startswith(prefix))
        return dict.fromkeys(below, len(self._body))

    def read(self, key: str, limit: int) -> bytes:
        assert key in self._left
        return self._body[: limit + 1]

    def remove(self, key: str) -> None:
        self._left.discard(key)


def _segment() -> tuple[bytes, int]:
    """A segment of digits, and the number of its rows."""
    random = np.random.default_rng(7)
    frames: list[bytes] = []
    now = int(time.time() * 1e6)
    while sum(map(len, frames)) < SEGMENT_BYTES:
        # As in a digit, about four of five pixels are black.
        ink = random.random((_IN_A_FRAME, 28, 28)) < 0.2
        pixels = (random.integers(1, 256, ink.shape) * ink).astype(np.uint8)
        shares = random.dirichlet(np.ones(10), _IN_A_FRAME).astype(np.float32)
        columns = AnswerColumns(
            requests=[random.bytes(16).hex() for _ in range(_IN_A_FRAME)],
            callers=("",),
            at_us=[now] * _IN_A_FRAME,
            routes=("champion",),
            clients=("c" * 64,),
            latency_us=[900] * _IN_A_FRAME,
            counts=(1,),
            digests=("",),
        )
        inputs = {"image": [each[None] for each in pixels]}
        outputs = {"probabilities": [each[None] for each in shares]}
        frames.append(
            encode_answers(AnsweredBatch(_MODEL, _VERSION, 1.0, columns, inputs, outputs))
        )
    return b"".join(frames), len(frames) * _IN_A_FRAME


def measure(rows: int) -> None:
    """Collect rows, and print rows per second, bytes in the table, and the peak of memory."""
    with tempfile.TemporaryDirectory() as folder:
        spool = MadeSpool(rows)
        predictions = PredictionTable.in_folder(Path(folder), _MODEL)
        before = _peak_mb()
        began, cpu = time.perf_counter(), time.process_time()
        done = collect(spool, _MODEL, predictions, LabelTable.in_folder(Path(folder), _MODEL))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        peak = _peak_mb()
        assert sum(predictions.days().values()) == done.answers >= rows
        stored = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
        print(
            f"{done.answers:>9,} rows  {done.segments:>4} segments  "
            f"{done.answers / seconds:>8,.0f} rows/s  {cpu / done.answers * 1e6:>5.1f} CPU µs/row  "
            f"{stored / done.answers:>5.0f} bytes/row stored  "
            f"peak {peak:>4.0f} MB ({before:.0f} before)"
        )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


def main() -> None:
    """Measure each number of rows in a process of its own, whose peak is its own."""
    sizes = sys.argv[1:] or ["100000", "1000000"]
    if len(sizes) == 1:
        measure(int(sizes[0]))
        return
    for size in sizes:
        subprocess.run([sys.executable, "-m", "benchmarks.monitoring.collect", size], check=True)


if __name__ == "__main__":
    main()
