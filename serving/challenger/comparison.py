"""Comparisons: what champion and challenger make of the same request, off the request path.

Requests only append to a bounded queue, and what finds it full is dropped and counted. One thread
in each worker answers with the other version, compares and keeps the tally.
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

import numpy as np
from numpy.typing import NDArray

from overnight.serving.challenger.counters import Both, ChallengeCounters
from overnight.serving.errors import BadInput
from overnight.serving.inference.runtime import Array
from overnight.serving.inference.validation import check_range
from overnight.serving.lifecycle.model_slots import LoadedVersion
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, TensorSpec

# What would wait longer than this many others is better dropped; large batches fill it sooner.
QUEUED = 256
QUEUED_BYTES = 32_000_000
TIMED_EVERY = 4
# Comparing takes at most a twentieth of one core, in bursts too short for anybody to wait for.
AT_ONCE = 4
RESTS_PER_WORK = 19
IDLE_SECONDS = 0.05
# Not the gentlest there is: on a busy machine a thread that is hardly ever run would hold the
# interpreter's lock all the longer, and with it those who answer.
NICENESS = 5
_DTYPES = {name: np.dtype(numpy_name) for name, numpy_name in NUMPY_TYPES.items()}


@dataclass(frozen=True)
class RecordedCall:
    """One request as it was answered: rows [n, …] by input, answers [n, …] by output.

    `checked`: what the rows were held against.
    """

    checked: Sequence[TensorSpec]
    inputs: Mapping[str, Array]
    wanted: Sequence[str]
    answers: Mapping[str, Array]

    @property
    def input_bytes(self) -> int:
        return sum(rows.nbytes for rows in self.inputs.values())

    def kept(self) -> "RecordedCall":
        """The same with rows of its own: those of a request are views of its whole body."""
        return replace(self, inputs={name: rows.copy() for name, rows in self.inputs.items()})


@dataclass(frozen=True)
class AnswerComparison:
    """An exchange that waits to be answered by the other version."""

    exchange: RecordedCall
    champion: LoadedVersion
    challenger: LoadedVersion
    terms: Terms
    notes: ChallengeCounters
    by_challenger: bool
    request_id: str


class Comparisons:
    """The queue of one worker. All its logic is in `look`; whoever calls it only waits."""

    def __init__(self) -> None:
        self._queue: deque[AnswerComparison] = deque()
        self._is_gentle = False
        self._turn = 0
        # Who answers counts what comes in, under a lock of its own; who compares, what goes out.
        self._lock = threading.Lock()
        self._bytes_in = self._bytes_out = 0

    def offer(self, comparison: AnswerComparison) -> None:
        """Have an exchange compared later, unless too much waits already."""
        size = comparison.exchange.input_bytes
        with self._lock:
            waiting = self._bytes_in - self._bytes_out
            has_room = len(self._queue) < QUEUED and waiting + size <= QUEUED_BYTES
            if has_room:
                self._bytes_in += size
        if has_room:
            # Copied once there is room for it, and while nobody else waits for the lock.
            self._queue.append(replace(comparison, exchange=comparison.exchange.kept()))
        else:
            comparison.notes.dropped()

    def look(self) -> float:
        """One tick: compare a few requests. Returns how many seconds to rest before the next."""
        began = time.thread_time()
        for _ in range(min(AT_ONCE, self.waiting)):
            self._turn += 1
            comparison = self._queue.popleft()
            self._bytes_out += comparison.exchange.input_bytes
            with _leased(comparison) as is_loaded:
                if is_loaded:
                    compare(comparison, turn=self._turn)
        return RESTS_PER_WORK * (time.thread_time() - began) if self.waiting else IDLE_SECONDS

    @property
    def waiting(self) -> int:
        """How many requests are still to be compared."""
        return len(self._queue)

    def be_gentle(self) -> None:
        """Let this thread give way to those that answer, where threads have priorities."""
        if sys.platform == "linux" and not self._is_gentle:
            self._is_gentle = True
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@contextmanager
def _leased(comparison: AnswerComparison) -> Iterator[bool]:
    """Keep both versions from being freed meanwhile; False when one of them was let go already.

    What waits in the queue holds no version: a challenge that is over would keep its network in
    memory for as long as a thread that runs now and then takes to get there.
    """
    both = (comparison.champion, comparison.challenger)
    for one in both:
        one.is_compared = True
    try:
        # Only now: the loader sets `is_retired` before it looks at `is_compared`, so of the two
        # threads at least one sees the other.
        yield not any(one.is_retired for one in both)
    finally:
        for one in both:
            one.is_compared = False


def compare(comparison: AnswerComparison, *, turn: int) -> None:
    """Answer with the other version, and now and then with both, to see which is the slower."""
    exchange, notes = comparison.exchange, comparison.notes
    is_timed = turn % TIMED_EVERY == 0
    answers: dict[bool, Mapping[str, Array]] = {comparison.by_challenger: exchange.answers}
    seconds: dict[bool, float] = {}
    # Whoever answers second finds the rows in the processor's cache, so they take turns.
    for is_challenger in (turn // TIMED_EVERY % 2 == 0, turn // TIMED_EVERY % 2 == 1):
        if not is_timed and is_challenger == comparison.by_challenger:
            continue
        loaded = comparison.challenger if is_challenger else comparison.champion
        began = time.thread_time()
        try:
            answers[is_challenger] = ask(loaded, exchange)
        except Exception as error:  # noqa: BLE001 - whatever a version does is its own failure
            if is_challenger:
                notes.failed_beside(error, comparison.request_id)
            return
        seconds[is_challenger] = time.thread_time() - began
    if not comparison.by_challenger:
        notes.answered_beside()
    if is_timed and min(seconds.values()) > 0:
        notes.timed(math.log(seconds[True] / seconds[False]))
    # Further outputs only explain the answer, so a request for them alone is not compared.
    name = comparison.champion.manifest.tensors.outputs[0].name
    if name in exchange.wanted:
        both = Both(answers[False][name], answers[True][name])
        differs = differing(comparison.champion.manifest, both, comparison.terms)
        notes.compared(differs, both, comparison.request_id)


def ask(loaded: LoadedVersion, exchange: RecordedCall) -> dict[str, Array]:
    """Have a version answer what another one was asked.

    Raises:
        BadInput: it takes other rows, has no such output, or answered no finite numbers.
    """
    fit(loaded.manifest, exchange)
    answers = loaded.predict(exchange.inputs, exchange.wanted)
    check_finite(answers)
    return answers


def fit(manifest: Manifest, exchange: RecordedCall) -> None:
    """Hold a request that another version answered against what this one takes.

    Raises:
        BadInput: naming the tensor.
    """
    specs, given = manifest.tensors.inputs, exchange.inputs
    if given.keys() != {spec.name for spec in specs}:
        raise BadInput("inputs", expected=f"{[s.name for s in specs]}", found=f"{[*given]}")
    checked = {spec.name: (spec.minimum, spec.maximum) for spec in exchange.checked}
    for spec in specs:
        rows = given[spec.name]
        if rows.shape[1:] != spec.shape or rows.dtype != _DTYPES[spec.datatype]:
            expected = f"{spec.datatype} {list(spec.shape)}"
            raise BadInput(
                spec.name, expected=expected, found=f"{rows.dtype} {list(rows.shape[1:])}"
            )
        if checked.get(spec.name) != (spec.minimum, spec.maximum):
            check_range(spec, rows, field=spec.name)
    outputs = [spec.name for spec in manifest.tensors.outputs]
    if not set(outputs).issuperset(exchange.wanted):
        raise BadInput("outputs", expected=f"some of {outputs}", found=f"{[*exchange.wanted]}")


def check_finite(answers: Mapping[str, Array]) -> None:
    """Hold an answer against what a client can use.

    Raises:
        BadInput: a number is not finite.
    """
    for name, rows in answers.items():
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            raise BadInput(name, expected="finite numbers", found="others")


def differing(manifest: Manifest, both: Both, terms: Terms) -> NDArray[np.bool_]:
    """Which of n answers differ: in their class where there are classes, else in their numbers."""
    n = len(both.champion)
    if both.champion.shape != both.challenger.shape:
        return np.ones(n, np.bool_)
    champion, challenger = (one.reshape(n, -1) for one in (both.champion, both.challenger))
    if manifest.tensors.labels and champion.shape[1] > 1:
        return np.asarray(champion.argmax(axis=1) != challenger.argmax(axis=1))
    numbers = champion.astype(np.float64)
    allowed = terms.tolerance * (1 + np.abs(numbers))
    return np.asarray((np.abs(challenger.astype(np.float64) - numbers) > allowed).any(axis=1))
