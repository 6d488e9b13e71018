"""Claim: reading CSV in blocks is faster than pandas' default, in bounded memory.

A file of sales-like lines is generated from a seed, and read by each side in a child process,
in turn: CPU and elapsed seconds, and peak resident memory.

- `pandas`: `pandas.read_csv` and `to_parquet`, with their defaults;
- `convert`: the same by `models/sources/csv_stream.py`: typed columns to one Parquet file;
- `land`: the first step of `overnight ingest`: a sha256 of each row, pieces, delivered to S3;
- `ingest`: the step of its flow: deduplication, one commit to the Delta table.

pandas writes a file; the last two write a dataset without duplicates, so together they cost more
than `convert`, and the table says how much.

    python -m benchmarks.ingest.csv_files --rows 5000000 --rounds 3
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.support.s3_server import ACCESS, SECRET, seaweed

SIDES = ("pandas", "convert", "land", "ingest")
_CHUNK_ROWS = 250_000
Figures = Mapping[str, list[tuple[float, float, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as folder:
        place = Path(folder)
        generate(place / "sales.csv", arguments.rows)
        size = (place / "sales.csv").stat().st_size / 1e6
        print(f"{arguments.rows:,} rows, {size:,.0f} MB of CSV, {arguments.rounds} rounds")
        (place / "store").mkdir()
        with seaweed(place / "store") as endpoint:
            figures = measure(place, endpoint, arguments.sides, arguments.rounds)
    print_table(figures)


def generate(path: Path, rows: int) -> None:
    """Lines of one chain's sales: id, date, store, item, units, family, promotion."""
    rng = np.random.default_rng(7)
    families = np.array(["GROCERY I", "BEVERAGES", "PRODUCE", "CLEANING", "DAIRY", "BREAD/BAKERY"])
    days = np.datetime64("2016-01-01") + np.arange(366)
    with path.open("w") as file:
        file.write("id,date,store_nbr,item_nbr,unit_sales,family,onpromotion\n")
        for start in range(0, rows, _CHUNK_ROWS):
            n = min(_CHUNK_ROWS, rows - start)
            columns = zip(
                range(start, start + n),
                days[(np.arange(start, start + n) * 366) // rows].astype(str).tolist(),
                rng.integers(1, 55, n).tolist(),
                rng.integers(96_995, 2_127_114, n).tolist(),
                np.round(rng.gamma(1.2, 6, n), 3).tolist(),
                families[rng.integers(0, len(families), n)].tolist(),
                rng.integers(0, 2, n).tolist(),
                strict=True,
            )
            file.writelines("%d,%s,%d,%d,%s,%s,%d\n" % line for line in columns)  # noqa: UP031


def measure(place: Path, endpoint: str, sides: Sequence[str], rounds: int) -> Figures:
    """CPU seconds, elapsed seconds and resident MB of each side in each round."""
    figures: dict[str, list[tuple[float, float, float]]] = {side: [] for side in sides}
    for number in range(rounds):
        parameters = {
            "csv": str(place / "sales.csv"),
            "out": str(place / "out.parquet"),
            "endpoint": endpoint,
            "bucket": f"round-{number}",
            "access": ACCESS,
            "secret": SECRET,
        }
        for side in sides:
            figures[side].append(_run(side, parameters))
        shutil.rmtree(place / "out", ignore_errors=True)
    return figures


def _run(side: str, parameters: Mapping[str, str]) -> tuple[float, float, float]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.ingest.sides", side, json.dumps(parameters)]
    with subprocess.Popen(command, env=environment) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    elapsed = time.monotonic() - began
    if child.returncode != 0:
        sys.exit(f"{side} ended with {child.returncode}")
    figures = (used.ru_utime + used.ru_stime, elapsed, used.ru_maxrss / 1024)
    print(f"  {side}: {figures[0]:.1f} CPU s, {figures[1]:.1f} s, {figures[2]:.0f} MB", flush=True)
    return figures


def print_table(figures: Figures) -> None:
    """The median of each side with its range, and its ratio to pandas in the same round."""
    print("\n| side | CPU s | elapsed s | resident MB | CPU / pandas | elapsed | memory |")
    print("|---|---|---|---|---|---|---|")
    sides = dict(figures)
    if {"land", "ingest"} <= set(sides):
        both = zip(sides["land"], sides["ingest"], strict=True)
        sides["into the dataset"] = [
            (land[0] + ingest[0], land[1] + ingest[1], max(land[2], ingest[2]))
            for land, ingest in both
        ]
    for side, rounds in sides.items():
        cells = [_spread([values[kind] for values in rounds], ".1f") for kind in (0, 1)]
        cells.append(_spread([values[2] for values in rounds], ".0f"))
        for kind in (0, 1, 2) if "pandas" in sides else ():
            pairs = zip(rounds, sides["pandas"], strict=True)
            cells.append(_spread([mine[kind] / theirs[kind] for mine, theirs in pairs], ".2f"))
        print(f"| {side} | " + " | ".join(cells) + " |")


def _spread(values: Sequence[float], form: str) -> str:
    low, high = min(values), max(values)
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({low:{form}}–{high:{form}})"


if __name__ == "__main__":
    main()
