"""Scores all rows of an input with one version: read, check, predict, write, record.

Rows are read in batches, each a request of its own to the version, and written in parts. Everything
about a part follows from the run and its number: its rows, the ids of its requests, its commit and
its place in the prediction log. So a part that is done twice is there once.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight.store.errors import BadFile, ConfigurationError, UnencodableValue
from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.predictions.committed_segments import SegmentId
from overnight.store.predictions.records import AnsweredRequest
from overnight.store.predictions.tables import PredictionTable
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import NUMPY_TYPES
from overnight.tasks.scoring import outputs
from overnight.tasks.scoring.answer_columns import OWN, REJECTED, answer_rows, answer_schema
from overnight.tasks.scoring.batch_predictor import BatchPredictor
from overnight.tasks.scoring.places import Kind, RowsPlace
from overnight.tasks.scoring.progress import PartsFolder, RunState, decode, digest_of, inputs_digest
from overnight.tasks.scoring.published_values import input_columns, published
from overnight.tasks.scoring.recording import record_of
from overnight.tasks.scoring.row_reader import RawBatch, RowReader, open_rows

# Bound the memory: rows of a request, and of a part, of which two are held.
_REQUEST_ROWS, _REQUEST_BYTES = 4_096, 4_000_000
_PART_ROWS, _PART_BYTES = 65_536, 32_000_000
# Columns of its own that a row has besides its tensors.
_ROW_BYTES = 100
_HEX = 32

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoreRequest:
    """What is to be scored.

    Attributes:
        version: the one that answers; None for the champion, or the version with which an
            interrupted run of the same input began.
        keep: columns of the input that are carried over; None for all.
        outputs: of the model; none for all.
        client: who asks, for the prediction log.
        record: whether the prediction log has the answers, where the model keeps one.
        overwrite: whether an output of another run is replaced.
        parts: the folder of the run until it is complete.
    """

    model: str
    input: RowsPlace
    output: RowsPlace
    parts: Path
    version: str | None = None
    keep: Sequence[str] | None = None
    outputs: Sequence[str] = ()
    client: str = ""
    record: bool = True
    overwrite: bool = False
    threads: int = 1


@dataclass(frozen=True)
class BatchScored:
    """What came of a run.

    Attributes:
        rejected_file: of the rows that do not fit; empty where all do.
        resumed: how many rows earlier tries had done.
        is_new: whether this try did anything.
    """

    state: RunState
    rejected_file: str = ""
    resumed: int = 0
    is_new: bool = True
    seconds: float = 0.0
    batch_rows: int = 0


@dataclass
class _Scored:
    """One batch: its answers, its record for the log, and the rows that were rejected."""

    rows: pa.RecordBatch | None = None
    record: AnsweredRequest | None = None
    rejected: list[tuple[int, str]] = field(default_factory=list)


def batch_score(
    registry: ModelRegistry,
    log: PredictionTable | None,
    request: ScoreRequest,
    *,
    report: Report = lambda _done, _total: None,
) -> BatchScored:
    """Score an input, or what an interrupted run left of it.

    Raises:
        BadFile: the input cannot be read, lacks a column, or the output is of another kind.
        ConfigurationError: no version to score with, or the output is that of another run.
        UnknownVersion, UntrustedVersion, CorruptVersion: the version may not be loaded.
        StoreUnavailable, StoreDenied, OSError: what is written stays; run it again.
    """
    run = _Run(registry, log, request, report)
    done = run.finished()
    return done if done is not None else run.score()


class _Run:
    """One try of a run."""

    def __init__(
        self,
        registry: ModelRegistry,
        log: PredictionTable | None,
        request: ScoreRequest,
        report: Report,
    ) -> None:
        self._request, self._registry, self._report = request, registry, report
        if request.input.text == request.output.text:
            raise BadFile(request.output.text, expected="another name than the input's", found="it")
        self._parts = PartsFolder(request.parts)
        self._rejected = _rejected_place(request.output)
        self._reader: RowReader = open_rows(request.input)
        self._manifest = self._chosen_manifest()
        self._log = log if request.record and self._manifest.logged is not None else None
        tensors = self._manifest.tensors
        self._columns = input_columns(tensors, self._reader.columns, request.input.text)
        self._outputs = _outputs(request, self._manifest)
        self._kept = _kept(request, self._reader.columns)
        self._schema = answer_schema(
            tensors,
            pa.schema(self._kept),
            self._outputs,
            flags=self._manifest.novelty is not None,
        )
        _check_names(self._schema)
        self._request_rows, self._part_rows = _sizes(self._manifest)
        self._inputs = self._digest()
        self._id = digest_of(inputs=self._inputs, version=self._manifest.version)

    def finished(self) -> BatchScored | None:
        """The outcome of an earlier try that is complete; None where there is something to do.

        Raises:
            ConfigurationError: the output is that of another run.
        """
        request, output = self._request, self._request.output
        body = _report_place(output).read()
        state = None if body is None else decode(body, f"{output.text}.scored.json")
        is_there = output.kind == "delta" or output.stat() is not None
        if state is not None and is_there and not request.overwrite and state.run == self._id:
            rejected = self._rejected.text if state.rejected else ""
            return BatchScored(state, rejected, state.read, is_new=False)
        begun = self._parts.state()
        if begun is not None and begun.run != self._id and not request.overwrite:
            raise ConfigurationError(
                f"{self._parts.folder} has a part of another run: {begun.input} with "
                f"{begun.version}, begun {begun.began:%Y-%m-%d %H:%M} UTC; add --overwrite to "
                "begin anew, or name another output"
            )
        if output.kind != "delta" and begun is None and is_there and not request.overwrite:
            by = f", the answers of {state.version} to {state.input}" if state else ""
            raise ConfigurationError(
                f"{output.text} is there already{by}; add --overwrite to replace it, or name "
                "another output"
            )
        return None

    def score(self) -> BatchScored:
        """Do what is left."""
        begun = time.monotonic()
        state = self._parts.state()
        if state is None or state.run != self._id:
            self._parts.remove()
            state = self._new_state()
        self._parts.save(state)
        sink = self._sink()
        predictor = self._predictor()
        resumed = state.read
        with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(self._request.threads) as pool:
            writing: Future[RunState] | None = None
            for number, part in enumerate(self._read_parts()):
                if number < state.parts:
                    continue
                scored = self._scored(part, predictor, pool)
                # One part is written while the next one is scored.
                state = state if writing is None else writing.result()
                writing = writer.submit(self._write, sink, number, scored, state)
            state = state if writing is None else writing.result()
        sink.finish(state.parts)
        state, rejected = self._finish(state)
        return BatchScored(
            state,
            rejected,
            resumed,
            seconds=time.monotonic() - begun,
            batch_rows=predictor.batch_rows,
        )

    def _chosen_manifest(self) -> Manifest:
        """The manifest of the version that answers, verified against a trusted signature."""
        version = self._request.version
        if version is None and not self._request.overwrite:
            begun = self._parts.state()
            # Continued by whichever version is champion now, rows of one file would differ.
            if begun is not None and begun.input == self._request.input.text:
                version = begun.version
        version = version or self._registry.champion_version()
        if version is None:
            raise ConfigurationError(
                f"{self._request.model} has no champion; `overnight retrain {self._request.model}` "
                "makes one, or name a --version"
            )
        return self._registry.trusted(version).manifest

    def _predictor(self) -> BatchPredictor:
        body = self._registry.read_file(self._manifest, "predictor.tflite")
        predictor = BatchPredictor(self._manifest, body, threads=self._request.threads)
        if "golden.npz" in self._manifest.files:
            predictor.check_golden(self._registry.read_file(self._manifest, "golden.npz"))
        return predictor

    def _digest(self) -> str:
        return inputs_digest(
            self._request.model,
            self._reader.identity,
            self._request.output.text,
            keep=[each.name for each in self._kept],
            outputs=self._outputs,
            sizes={"request": self._request_rows, "part": self._part_rows},
        )

    def _new_state(self) -> RunState:
        return RunState(
            run=self._id,
            inputs=self._inputs,
            model=self._request.model,
            version=self._manifest.version,
            input=self._request.input.text,
            output=self._request.output.text,
            began=datetime.now(UTC),
            columns=tuple(self._schema.names),
        )

    def _sink(self) -> outputs.Output:
        if self._request.output.kind == "delta":
            return outputs.DeltaOutput(self._request.output, self._id, self._schema)
        return outputs.FileOutput(self._request.output, self._parts, self._schema)

    def _read_parts(self) -> Iterator[Iterator[RawBatch]]:
        """The batches of each part in turn; all of a part are taken before the next one."""
        batches = self._reader.batches(self._request_rows)
        for first in batches:
            left = [first]

            def of_part(left: list[RawBatch] = left) -> Iterator[RawBatch]:
                rows = 0
                batch: RawBatch | None = left.pop()
                while batch is not None:
                    self._report(batch.done, self._reader.total)
                    rows += batch.size
                    yield batch
                    batch = next(batches, None) if rows < self._part_rows else None

            part = of_part()
            yield part
            # Of a part that is done already, whatever was not taken.
            for _ in part:
                pass

    def _scored(
        self, part: Iterator[RawBatch], predictor: BatchPredictor, pool: ThreadPoolExecutor
    ) -> list[_Scored]:
        """The batches of a part, of which as many wait for a thread as there are."""
        waiting: list[Future[_Scored]] = []
        for place, batch in enumerate(part):
            if place > self._request.threads:
                # A failure ends the run before the rest of the part is read.
                waiting[place - self._request.threads - 1].result()
            waiting.append(pool.submit(self._score_batch, batch, predictor))
        return [each.result() for each in waiting]

    def _score_batch(self, batch: RawBatch, predictor: BatchPredictor) -> _Scored:
        begun, at_us = time.monotonic(), time.time_ns() // 1_000
        rejected = list(batch.broken)
        if not batch.rows.num_rows:
            return _Scored(rejected=rejected)
        inputs, reasons = published(self._manifest.tensors, batch.rows, self._columns)
        places = np.array([n for n in range(batch.rows.num_rows) if n not in reasons], np.int64)
        inputs, answers, places = _answered(predictor, inputs, self._outputs, places, reasons)
        rejected += [(batch.numbers[place], why) for place, why in reasons.items()]
        if not len(places):
            return _Scored(rejected=sorted(rejected))
        request_id = f"batch-{self._id[:16]}-{batch.numbers[0]}"
        unlike = answers.pop(UNLIKE_TRAINING, None)
        rows = batch.rows.select([each.name for each in self._kept])
        scored = answer_rows(
            self._schema,
            self._manifest.tensors,
            rows if len(places) == rows.num_rows else rows.take(pa.array(places)),
            answers,
            request=request_id,
            version=self._manifest.version,
            at_us=at_us,
            unlike=predictor.unlike_reasons(inputs, unlike),
        )
        if unlike is not None:
            answers[UNLIKE_TRAINING] = unlike > 1
        record = None
        if self._log is not None:
            record = record_of(
                self._manifest,
                inputs,
                answers,
                request=request_id,
                client=self._request.client,
                at_us=at_us,
                latency_us=round((time.monotonic() - begun) * 1e6),
            )
        return _Scored(scored, record, sorted(rejected))

    def _write(
        self, sink: outputs.Output, number: int, scored: Sequence[_Scored], state: RunState
    ) -> RunState:
        """Write a part: its rows first, then its records, and at last that it is complete."""
        rows = [each.rows for each in scored if each.rows is not None]
        rejected = [each for batch in scored for each in batch.rejected]
        sink.write(number, rows)
        outputs.write_rejected(self._parts, number, self._rejected.kind, _table(rejected))
        records = [each.record for each in scored if each.record is not None]
        if self._log is not None and records:
            self._log.append({SegmentId(self._id[:_HEX], number): records})
        count = sum(batch.num_rows for batch in rows)
        state = state.model_copy(
            update={
                "parts": number + 1,
                "read": state.read + count + len(rejected),
                "scored": state.scored + count,
                "rejected": state.rejected + len(rejected),
            }
        )
        self._parts.save(state)
        return state

    def _finish(self, state: RunState) -> tuple[RunState, str]:
        has_rejected = outputs.join_rejected(self._rejected, self._parts, state.parts)
        state = state.model_copy(update={"finished": datetime.now(UTC)})
        with _report_place(self._request.output).writing() as file:
            file.write(state.encoded())
        self._parts.remove()
        return state, self._rejected.text if has_rejected else ""


def _answered(
    predictor: BatchPredictor,
    inputs: dict[str, NDArray[Any]],
    wanted: Sequence[str],
    places: NDArray[np.int64],
    reasons: dict[int, str],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Inputs and answers of the rows at `places`, without those that cannot be encoded after all.

    Of these the reasons are added.
    """
    n = len(next(iter(inputs.values()))) if inputs else len(places)
    if len(places) < n:
        inputs = {name: array[places] for name, array in inputs.items()}
    while len(places):
        try:
            return inputs, predictor.predict(inputs, wanted), places
        except UnencodableValue as error:
            if error.row is None:
                raise
            reasons[int(places[error.row])] = f"{error.tensor}: {error.why}"
            places = np.delete(places, error.row)
            inputs = {name: np.delete(array, error.row, axis=0) for name, array in inputs.items()}
    return {}, {}, places


def _outputs(request: ScoreRequest, manifest: Manifest) -> tuple[str, ...]:
    names = [spec.name for spec in manifest.tensors.outputs]
    if unknown := [name for name in request.outputs if name not in names]:
        raise ConfigurationError(
            f"{request.model} has no output {', '.join(unknown)}; expected some of "
            f"{', '.join(names)}"
        )
    return tuple(name for name in names if not request.outputs or name in request.outputs)


def _kept(request: ScoreRequest, columns: pa.Schema) -> list[pa.Field]:
    if request.keep is None:
        return list(columns)
    if unknown := [name for name in request.keep if name not in columns.names]:
        raise BadFile(
            request.input.text,
            expected=f"the columns to keep, {', '.join(request.keep)}",
            found=f"no {', '.join(unknown)} among {', '.join(columns.names[:20])}",
        )
    return [columns.field(name) for name in dict.fromkeys(request.keep)]


def _check_names(schema: pa.Schema) -> None:
    lower = [name.lower() for name in schema.names]
    twice = sorted({name for name in schema.names if lower.count(name.lower()) > 1})
    if twice:
        raise BadFile(
            "the columns of the answers",
            expected=f"no column of the input called as one of ours ({', '.join(OWN.names)}, …)",
            found=f"{', '.join(twice)}; leave it out by --keep, or rename it",
        )


def _sizes(manifest: Manifest) -> tuple[int, int]:
    """Rows of a request and of a part, so that both take a bounded memory."""
    specs = (*manifest.tensors.inputs, *manifest.tensors.outputs)
    row = _ROW_BYTES + sum(
        math.prod(spec.shape) * np.dtype(NUMPY_TYPES[spec.datatype]).itemsize for spec in specs
    )
    request = max(1, min(_REQUEST_ROWS, _REQUEST_BYTES // row))
    return request, max(request, min(_PART_ROWS, _PART_BYTES // row))


def _table(rejected: Sequence[tuple[int, str]]) -> pa.RecordBatch:
    numbers, reasons = [each[0] for each in rejected], [each[1] for each in rejected]
    return pa.RecordBatch.from_arrays(
        [pa.array(numbers, pa.int64()), pa.array(reasons, pa.string())], schema=REJECTED
    )


def _report_place(output: RowsPlace) -> RowsPlace:
    return output.sibling(f"{output.name}.scored.json", "csv")


def _rejected_place(output: RowsPlace) -> RowsPlace:
    """The file of rejected rows: CSV beside CSV, else Parquet."""
    stem = output.name if output.kind == "delta" else output.name.rpartition(".")[0]
    kind: Kind = "csv" if output.kind == "csv" else "parquet"
    return output.sibling(f"{stem}.rejected.{kind}", kind)
