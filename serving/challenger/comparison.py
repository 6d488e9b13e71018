"""Comparisons of champion and challenger on the same requests, off the request path.

Requests only append to a bounded queue; one that finds it full is dropped and counted. One thread
in each worker answers them with the other version, compares the answers and counts.
"""

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.challenger.counters import AnswerPair, ChallengeCounters
from overnight.serving.errors import BadInput
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.validation import check_range
from overnight.serving.lifecycle.model_slots import LoadedVersion
from overnight.serving.prediction_log.spool import PredictionSpool
from overnight.store.errors import IncomparableVersions
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec
from overnight.store.schema_translation import translation

# A request that would wait behind more than this is better dropped; large batches fill the queue
# sooner, by their bytes.
QUEUED = 256
QUEUED_BYTES = 32_000_000
TIMED_EVERY = 4
# Comparing uses at most a twentieth of one core, in bursts too short to delay a request.
AT_ONCE = 4
RESTS_PER_WORK = 19
IDLE_SECONDS = 0.05
# Not the lowest priority there is: on a busy machine a thread that is hardly ever scheduled would
# hold the interpreter's lock all the longer, and delay the threads that answer.
NICENESS = 5
_DTYPES = {name: np.dtype(numpy_name) for name, numpy_name in NUMPY_TYPES.items()}


@dataclass(frozen=True)
class RecordedCall:
    """One request as it was answered: published rows [n, …] by input, answers [n, …] by output.

    `tensors`: the schema of the version that answered, by which the rows are encoded and validated.
    """

    tensors: Schema
    inputs: Mapping[str, Array]
    outputs: Sequence[str]
    answers: Mapping[str, Array]

    @property
    def input_bytes(self) -> int:
        return sum(_bytes_of(rows) for rows in self.inputs.values())

    def copied(self) -> "RecordedCall":
        """The same with rows of its own: those of a request are views of its whole body."""
        return replace(self, inputs={name: _copied(rows) for name, rows in self.inputs.items()})


def _bytes_of(rows: Array) -> int:
    """The memory of rows; of texts and rows of varying length, that of the objects as well."""
    if rows.dtype.kind != "O":
        return rows.nbytes
    objects: list[Any] = rows.reshape(-1).tolist()
    return rows.nbytes + sum(getattr(each, "nbytes", 0) or sys.getsizeof(each) for each in objects)


def _copied(rows: Array) -> Array:
    copied = rows.copy()
    if copied.dtype.kind == "O":
        # Rows of varying length are arrays within the array.
        for place, row in enumerate(copied):
            if isinstance(row, np.ndarray):
                copied[place] = row.copy()
    return copied


@dataclass(frozen=True)
class AnswerComparison:
    """A recorded call that waits to be answered by the other version."""

    call: RecordedCall
    champion: LoadedVersion
    challenger: LoadedVersion
    terms: Terms
    counters: ChallengeCounters
    by_challenger: bool
    request_id: str
    client: str = ""
    caller: str = ""
    is_recorded: bool = True


class Comparisons:
    """The queue of one worker. All its logic is in `tick`; its thread only waits in between."""

    def __init__(self, predictions: PredictionSpool | None = None) -> None:
        """`predictions` records the answers of the other version."""
        self._predictions = predictions
        self._queue: deque[AnswerComparison] = deque()
        self._is_low_priority = False
        self._turn = 0
        # Threads that answer count what comes in, under a lock that only they take; the comparing
        # thread counts what goes out.
        self._lock = threading.Lock()
        self._bytes_in = self._bytes_out = 0

    def offer(self, comparison: AnswerComparison) -> None:
        """Have a call compared later, unless too much waits already."""
        size = comparison.call.input_bytes
        with self._lock:
            waiting = self._bytes_in - self._bytes_out
            fits = len(self._queue) < QUEUED and waiting + size <= QUEUED_BYTES
            if fits:
                self._bytes_in += size
        if fits:
            # Copied only if it fits, and not under the lock, for which other requests would wait.
            self._queue.append(replace(comparison, call=comparison.call.copied()))
        else:
            comparison.counters.count_dropped()

    def tick(self) -> float:
        """Compare a few requests. Returns how many seconds to rest before the next tick."""
        began = time.thread_time()
        for _ in range(min(AT_ONCE, self.waiting)):
            self._turn += 1
            comparison = self._queue.popleft()
            self._bytes_out += comparison.call.input_bytes
            with _leased(comparison) as is_loaded:
                if is_loaded:
                    compare(comparison, turn=self._turn, predictions=self._predictions)
        return RESTS_PER_WORK * (time.thread_time() - began) if self.waiting else IDLE_SECONDS

    @property
    def waiting(self) -> int:
        """How many requests are still to be compared."""
        return len(self._queue)

    def lower_priority(self) -> None:
        """Lower the priority of this thread, where threads have priorities."""
        if sys.platform == "linux" and not self._is_low_priority:
            self._is_low_priority = True
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@contextmanager
def _leased(comparison: AnswerComparison) -> Iterator[bool]:
    """Keep both versions from being freed meanwhile; False when one of them is retired already.

    A call in the queue holds no lease: a challenge that is over would keep its network in memory
    until this thread, which rests most of the time, has worked off the queue.
    """
    versions = (comparison.champion, comparison.challenger)
    for version in versions:
        version.is_compared = True
    try:
        # Only now: the loader sets `is_retired` before it reads `is_compared`, so of the two
        # threads at least one sees the other's flag.
        yield not any(version.is_retired for version in versions)
    finally:
        for version in versions:
            version.is_compared = False


def compare(
    comparison: AnswerComparison, *, turn: int, predictions: PredictionSpool | None = None
) -> None:
    """Answer with the other version, and every few turns with both, to compare their CPU time.

    What the other version answers is recorded in `predictions`.
    """
    call, counters = comparison.call, comparison.counters
    is_timed = turn % TIMED_EVERY == 0
    try:
        by_name = translation(
            comparison.champion.manifest.tensors, comparison.challenger.manifest.tensors
        )
    except IncomparableVersions as error:
        counters.count_compared_failed(error, comparison.request_id)
        return
    answers: dict[bool, Mapping[str, Array]] = {comparison.by_challenger: call.answers}
    seconds: dict[bool, float] = {}
    # The second one finds the rows in the processor's cache, so they take turns.
    for is_challenger in (turn // TIMED_EVERY % 2 == 0, turn // TIMED_EVERY % 2 == 1):
        if not is_timed and is_challenger == comparison.by_challenger:
            continue
        loaded = comparison.challenger if is_challenger else comparison.champion
        began = time.thread_time()
        try:
            answers[is_challenger] = _answer(loaded, call)
        except Exception as error:  # noqa: BLE001 - whatever a version does is its own failure
            if is_challenger:
                counters.count_compared_failed(error, comparison.request_id)
            return
        seconds[is_challenger] = time.thread_time() - began
        is_other = is_challenger != comparison.by_challenger
        if predictions is not None and is_other and comparison.is_recorded:
            _record(comparison, loaded, answers[is_challenger], seconds[is_challenger], predictions)
    if not comparison.by_challenger:
        counters.count_compared_answered()
    if is_timed and min(seconds.values()) > 0:
        counters.count_compared_time(
            math.log(seconds[True] / seconds[False]), maximum=comparison.terms.maximum_slowdown
        )
    # Further outputs only explain the answer, so a request for them alone is not compared.
    name = comparison.champion.manifest.tensors.outputs[0].name
    if name in call.outputs:
        pair = AnswerPair(answers[False][name], by_name.outputs(answers[True])[name])
        differs = differing(comparison.champion.manifest, pair, comparison.terms)
        counters.count_compared_answers(differs, pair, comparison.request_id)


def _record(
    comparison: AnswerComparison,
    loaded: LoadedVersion,
    answers: Mapping[str, Array],
    seconds: float,
    predictions: PredictionSpool,
) -> None:
    """Record an answer that no client saw; its inputs are in the record of the one that was."""
    predictions.offer_answer(
        loaded.manifest,
        {},
        answers,
        request=comparison.request_id,
        caller=comparison.caller,
        client=comparison.client,
        route="shadow",
        seconds=seconds,
    )


def _answer(loaded: LoadedVersion, call: RecordedCall) -> dict[str, Array]:
    """Answer the rows of a call with another version, in that version's own encoding.

    Raises:
        BadInput: it takes other rows, has no such output, or answered no finite numbers.
        IncomparableVersions: it has no number for a category of the rows.
    """
    inputs = _translated(loaded.manifest, call)
    own = {spec.name for spec in loaded.manifest.tensors.outputs}
    # Further outputs come and go: only the first is compared, and that both have.
    answers = loaded.predict(inputs, [name for name in call.outputs if name in own])
    check_finite(answers)
    return answers


def _translated(manifest: Manifest, call: RecordedCall) -> Mapping[str, Array]:
    """The inputs of a call of another version as this one encodes them, validated.

    Raises:
        BadInput: naming the tensor.
        IncomparableVersions: this version has no number for a category.
    """
    specs = manifest.tensors.inputs
    given = translation(call.tensors, manifest.tensors).inputs(call.inputs)
    needed = {spec.name for spec in specs if spec.default is None}
    if not needed <= given.keys() <= {spec.name for spec in specs}:
        raise BadInput("inputs", expected=f"{[s.name for s in specs]}", found=f"{[*given]}")
    checked = {spec.name: (spec.minimum, spec.maximum) for spec in call.tensors.inputs}
    for spec in specs:
        rows = given.get(spec.name)
        if rows is None:
            continue
        if not _is_published(spec, rows):
            expected = f"{spec.datatype} {list(spec.shape)}"
            raise BadInput(
                spec.name, expected=expected, found=f"{rows.dtype} {list(rows.shape[1:])}"
            )
        if rows.dtype.kind != "O" and checked.get(spec.name) != (spec.minimum, spec.maximum):
            check_range(spec, rows, field=spec.name)
    outputs = [spec.name for spec in manifest.tensors.outputs]
    if set(outputs).isdisjoint(call.outputs):
        raise BadInput("outputs", expected=f"some of {outputs}", found=f"{[*call.outputs]}")
    return given


def _is_published(spec: TensorSpec, rows: Array) -> bool:
    """Whether rows have the type and shape in which values of a tensor are published.

    Integers with missing ones among them are FP64, with NaN. Objects are left to the encoding.
    """
    if rows.dtype.kind == "O":
        return spec.text is not None or bool(spec.lengths)
    own = rows.dtype == _DTYPES[spec.datatype]
    with_gaps = spec.accepts_missing and rows.dtype == np.float64
    varies = spec.lengths and rows.shape[2:] == spec.shape[1:] and rows.shape[1] <= spec.shape[0]
    return (own or with_gaps) and (rows.shape[1:] == spec.shape or bool(varies))


def check_finite(answers: Mapping[str, Array]) -> None:
    """Check that clients can use an answer.

    Raises:
        BadInput: a number is not finite.
    """
    for name, rows in answers.items():
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            raise BadInput(name, expected="finite numbers", found="others")


def differing(manifest: Manifest, pair: AnswerPair, terms: Terms) -> NDArray[np.bool_]:
    """Which of n answers differ: in their class where there are classes, else in their numbers."""
    n = len(pair.champion)
    if pair.champion.shape != pair.challenger.shape:
        return np.ones(n, np.bool_)
    champion, challenger = pair.champion.reshape(n, -1), pair.challenger.reshape(n, -1)
    if manifest.tensors.labels and champion.shape[1] > 1:
        return np.asarray(champion.argmax(axis=1) != challenger.argmax(axis=1))
    numbers = champion.astype(np.float64)
    allowed = terms.tolerance * (1 + np.abs(numbers))
    return np.asarray((np.abs(challenger.astype(np.float64) - numbers) > allowed).any(axis=1))
