"""Claim: a verified snapshot of 60,000 images takes less than two seconds of CPU.

    python -m benchmarks.data.snapshots [ROUNDS]

Justifies that every run takes a snapshot of all rows and verifies the bytes of each row against
its digest: both take less than a second of CPU. Prints the fewest CPU seconds of all rounds.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from overnight.models.digits.rows import Digits, as_rows
from overnight.store.datasets.delta_table import Dataset
from overnight.tasks.data import integrity
from overnight.tasks.data.snapshot import snapshot

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
ROWS = 60_000


def images() -> pa.Table:
    """Images of noise, stamped as ingest stamps the rows of an arrival."""
    pixels = np.random.default_rng(1).integers(0, 256, (ROWS, 28, 28)).astype(np.uint8)
    rows = as_rows(Digits(pixels, np.zeros(ROWS, np.int8)))
    arrived_at = pa.array([datetime(2026, 11, 22, tzinfo=UTC)] * ROWS, pa.timestamp("us", "UTC"))
    rows = rows.append_column("arrival", pa.array(["one"] * ROWS, pa.string()))
    rows = rows.append_column("arrived_at", arrived_at)
    return rows.append_column("arrival_row", pa.array(range(ROWS), pa.int64()))


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Dataset.in_folder(Path(folder), "digits", "rows")
        holdout = Dataset.in_folder(Path(folder), "digits", "holdout")
        table.append(images(), "one")
        # As a table gives them back: before that, images are of fixed size and not verified.
        rows = table.read()
        holdout.append(rows.slice(0, 100), "holdout")
        works = {
            "snapshot": lambda: snapshot(table, holdout),
            "verify digests": lambda: integrity.check(rows, "here"),
        }
        for name, work in works.items():
            print(f"{name:15} {min(cpu_seconds(work) for _ in range(ROUNDS)):.2f} CPU s")


if __name__ == "__main__":
    main()
