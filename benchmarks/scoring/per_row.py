"""Claim: per row, batch scoring costs little more than LiteRT in process at its best batch size.

    python -m benchmarks.scoring.per_row [ROWS] [ROUNDS] [LONG_ROWS]

Both examples are scored from one Parquet file to another: digits, of which the network takes some
40 µs a row, and the forecast of the sales, whose network takes less than 1 µs. In turns, in one
process and one thread, CPU time is counted of

- LiteRT: arrays that are in memory, through one interpreter at each batch size; the best counts;
- the engine: the same arrays, checked and encoded and cut into batches by `BatchPredictor`;
- the whole run: rows read, checked, predicted, written as Parquet, with nothing recorded; once
  with the first output alone, once with all of them, of which digits has a picture a row;
- the last with every row in the prediction log as well.

A run has some tenths of a second of its own, which fewer rows share.

Then LONG_ROWS are scored by a process of its own, which prints its greatest resident memory.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.tables import PredictionTable
from overnight.store.registry.manifest import LogPolicy, Manifest, decode
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import NUMPY_TYPES
from overnight.tasks.scoring.batch_predictor import BATCH_SIZES, BatchPredictor, _Interpreter
from overnight.tasks.scoring.batch_score import ScoreRequest, batch_score
from overnight.tasks.scoring.places import RowsPlace
from tests.support.signing_keys import SIGNER, registry

_VERSIONS = Path("tests/goldens/versions/0.1.0/models")
_POLICY = LogPolicy(share=1, inputs="values", clients="none", feedback=False)
_PIECE = 20_000


def version(model: str, *, logged: bool) -> tuple[ModelRegistry, Manifest, bytes]:
    """A genuine version of an example, published in memory under our key."""
    folder = next((_VERSIONS / model / "versions").iterdir())
    made = decode((folder / "manifest.json").read_bytes(), where=model)
    made = made.model_copy(update={"logged": _POLICY if logged else None, "signed_by": None})
    files = {name: (folder / name).read_bytes() for name in made.files}
    bucket = MemoryBucket()
    ModelRegistry(bucket, model).publish(made, files, SIGNER)
    return registry(bucket, model), made, files["predictor.tflite"]


def arrays(manifest: Manifest, rows: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Published values within the schema, by chance."""
    rng = np.random.default_rng(seed)
    values = {}
    for spec in manifest.tensors.inputs:
        low, high = spec.minimum or 0, min(spec.maximum or 100, 25_000)
        kind = NUMPY_TYPES[spec.datatype]
        values[spec.name] = rng.integers(max(low, 0), high + 1, (rows, *spec.shape)).astype(kind)
    return values


def write(manifest: Manifest, path: Path, rows: int) -> None:
    """The same values as a Parquet file: categories by name, tensors as lists."""
    writer = None
    for start in range(0, rows, _PIECE):
        values = arrays(manifest, min(_PIECE, rows - start), seed=start + 1)
        columns = {"id": pa.array(range(start, start + len(next(iter(values.values())))))}
        for spec in manifest.tensors.inputs:
            column = pa.array(values[spec.name].reshape(-1))
            if spec.vocabulary:
                column = pa.array(spec.vocabulary).take(column)
            size = int(np.prod(spec.shape, dtype=int))
            columns[spec.name] = (
                pa.FixedSizeListArray.from_arrays(column, size) if spec.shape else column
            )
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def litert(manifest: Manifest, network: bytes, values: dict[str, np.ndarray]) -> Callable[[], None]:
    """LiteRT alone at the batch size that is best for it here."""
    interpreter = _Interpreter(manifest, network)
    n = len(next(iter(values.values())))
    outputs = [spec.name for spec in manifest.tensors.outputs]
    specs = {spec.name: spec for spec in manifest.tensors.outputs}

    def run(size: int) -> None:
        into = {
            name: np.empty((size, *specs[name].shape), NUMPY_TYPES[specs[name].datatype])
            for name in outputs
        }
        for start in range(0, n - size + 1, size):
            part = {name: rows[start : start + size] for name, rows in values.items()}
            interpreter.run(part, size, into)

    seconds = {
        size: min(cpu(lambda size=size: run(size)) for _ in range(3)) for size in BATCH_SIZES
    }
    best = min(seconds, key=seconds.__getitem__)
    print(f"  LiteRT is best at batches of {best}")
    return lambda: run(best)


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def variants(model: str, rows: int, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is compared, by name."""
    quiet, manifest, network = version(model, logged=False)
    recorded, _, _ = version(model, logged=True)
    values = arrays(manifest, rows)
    write(manifest, folder / "rows.parquet", rows)
    yield "LiteRT in process", litert(manifest, network, values)
    engine = BatchPredictor(manifest, network)
    names = [spec.name for spec in manifest.tensors.outputs]
    yield "the engine, arrays to arrays", lambda: engine.predict(values, names)
    yield "file to file, the first output", lambda: run(quiet, manifest, folder, None, names[:1])
    yield "file to file, all outputs", lambda: run(quiet, manifest, folder, None)
    log = PredictionTable.in_folder(folder / "log", model)
    yield "the same, and the prediction log", lambda: run(recorded, manifest, folder, log)


def run(
    registry: ModelRegistry,
    manifest: Manifest,
    folder: Path,
    log: PredictionTable | None,
    outputs: Sequence[str] = (),
) -> None:
    """One run from a file to a file."""
    for path in (folder / "out.parquet", folder / "out.parquet.scored.json"):
        with suppress(FileNotFoundError):
            path.unlink()
    place = RowsPlace.parse(str(folder / "out.parquet"), None, written=True)
    request = ScoreRequest(
        manifest.model,
        RowsPlace.parse(str(folder / "rows.parquet"), None),
        place,
        folder / "parts",
        version=manifest.version,
        keep=["id"],
        outputs=outputs,
    )
    batch_score(registry, log, request)


def compare(model: str, rows: int, rounds: int) -> None:
    print(f"{model}, {rows:,} rows, {rounds} rounds in turns, CPU time")
    with tempfile.TemporaryDirectory() as place:
        works = dict(variants(model, rows, Path(place)))
        measured: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                measured[name].append(cpu(work))
        # The medians of ratios within a round, which a busy machine slows down as a whole.
        first = measured["LiteRT in process"]
        for name, seconds in measured.items():
            ratio = statistics.median(a / b for a, b in zip(seconds, first, strict=True))
            print(f"  {name:34} {min(seconds) / rows * 1e6:8.2f} µs a row   {ratio:5.2f} times")


def long_run(model: str, rows: int) -> None:
    """Score many rows in this process, and print its memory before and at its greatest."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recorded, manifest, _ = version(model, logged=True)
        write(manifest, folder / "rows.parquet", rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.monotonic()
        run(recorded, manifest, folder, PredictionTable.in_folder(folder / "log", model))
        seconds = time.monotonic() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = (folder / "rows.parquet").stat().st_size
        print(
            f"{model}: {rows:,} rows ({size / 1e6:,.0f} MB) to a file and the log in "
            f"{seconds:,.0f} s, at most {peak / 1e3:,.0f} MB resident ({before / 1e3:,.0f} before)"
        )


def main() -> None:
    if sys.argv[1:2] == ["long"]:
        long_run(sys.argv[2], int(sys.argv[3]))
        return
    given = [int(each) for each in sys.argv[1:]]
    rows, rounds, many = (*given, *(20_000, 5, 1_000_000)[len(given) :])
    for model in ("digits", "sales"):
        compare(model, rows if model == "digits" else rows * 10, rounds)
    for model, count in (("sales", many), ("digits", many // 10)):
        command = [sys.executable, "-m", "benchmarks.scoring.per_row", "long", model, str(count)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
