"""A version that is loaded in this process, and how one is opened, warmed and verified.

A bundle counts as loaded only once it has repeated its golden examples: requests that it answered
in training, and must answer here as it did there.
"""

import io
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.runtime import Array, Predictor
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import TensorSpec

GOLDEN = "golden.npz"
# Other processors round otherwise; int8 weights differ by 0.0174 at most on ten thousand digits.
TOLERANCE = 0.02
RELATIVE_TOLERANCE = 1e-3
INTEGER_STEPS = 1
# Long enough for a request that waits for the interpreter lock to get it.
PAUSE_SECONDS = 0.001


class ModelVersion(Protocol):
    """A version as a request sees it: what it takes and answers, and nothing of its life."""

    @property
    def predictor(self) -> Predictor:
        """For its tensors; it is asked through `answer`."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def version(self) -> str: ...

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""


@dataclass
class LoadedVersion:
    """One generation in this process."""

    generation: int
    predictor: Predictor
    record: AliasRecord | None
    # Requests that are answered by it, counted under the lock of its slot.
    leases: int = 0
    # The lease of the comparing thread, which must not take that lock: it runs at a low priority,
    # and while it held the lock unscheduled, every request would wait. So each of these has one
    # writer, and each writer looks at the other's after it wrote its own: the comparing thread
    # takes no version that is retired, and the loader closes none that is compared.
    is_compared: bool = False
    is_retired: bool = False

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""
        return self.predictor.answer(inputs, wanted)


def load_version(manifest: Manifest, files: dict[str, bytes], *, threads: int) -> Predictor:
    """Load and warm a verified bundle, and have it answer its golden examples if it has any.

    Raises:
        UnfitVersion: it cannot run here, or answers otherwise than in training.
    """
    predictor = Predictor(manifest, files["predictor.tflite"], threads=threads, pause=_let_on)
    if GOLDEN in files:
        predictor.examples = check_golden(predictor, files[GOLDEN])
    return predictor


def _let_on() -> None:
    time.sleep(PAUSE_SECONDS)


def check_golden(predictor: Predictor, golden: bytes) -> Mapping[str, Array]:
    """Ask the golden examples and compare every declared output that the file holds.

    Returns their inputs by name, [n, …] each. Floats agree within 0.02 (or a thousandth of the
    value), and classes stay the same; integers agree within one step, flags and words exactly.

    Raises:
        UnfitVersion: naming the output, the row and both answers.
    """
    manifest = predictor.manifest
    arrays = _read(predictor, golden)
    inputs = {spec.name: arrays[f"input.{spec.name}"] for spec in predictor.inputs}
    specs = [spec for spec in predictor.outputs if f"output.{spec.name}" in arrays]
    try:
        answers = predictor.answer(inputs, [spec.name for spec in specs])
    except (ValueError, RuntimeError) as error:
        # LiteRT's own, of a shape or a type that the network does not take.
        why = f"its golden examples cannot be asked: {error}"
        raise UnfitVersion(manifest.model, manifest.version, why) from None
    for spec in specs:
        expected, found = arrays[f"output.{spec.name}"], answers[spec.name]
        if expected.shape != found.shape:
            why = f"output {spec.name} has shape {found.shape}, expected {expected.shape}"
            raise UnfitVersion(manifest.model, manifest.version, f"golden examples: {why}")
        is_answer = bool(manifest.tensors.labels) and spec is predictor.outputs[0]
        wrong = _differing(expected, found, spec=spec, is_answer=is_answer)
        if wrong.any():
            row = int(wrong.argmax())
            raise UnfitVersion(
                manifest.model,
                manifest.version,
                f"{int(wrong.sum())} of {len(wrong)} golden examples are answered otherwise than "
                f"in training; {spec.name} of example {row} was {_shown(expected[row])} "
                f"and is {_shown(found[row])}",
            )
    return inputs


def _read(predictor: Predictor, golden: bytes) -> Mapping[str, Array]:
    manifest = predictor.manifest
    try:
        with np.load(io.BytesIO(golden), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        for spec in predictor.inputs:
            if len(arrays[f"input.{spec.name}"]) == 0:
                raise ValueError(f"input.{spec.name} has no rows")
        if not any(f"output.{spec.name}" in arrays for spec in predictor.outputs):
            raise KeyError(f"output.{predictor.outputs[0].name}")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnfitVersion(
            manifest.model, manifest.version, f"{GOLDEN} is not a set of golden examples: {error}"
        ) from None
    return arrays


def _differing(
    expected: Array, found: Array, *, spec: TensorSpec, is_answer: bool
) -> NDArray[np.bool_]:
    """Which of n rows differ."""
    rows = len(expected)
    wide = expected.astype(np.float64).reshape(rows, -1), found.astype(np.float64).reshape(rows, -1)
    if not spec.datatype.startswith("FP"):
        allowed = 0 if spec.exact else INTEGER_STEPS
        return np.asarray((np.abs(wide[0] - wide[1]) > allowed).any(axis=1))
    close = np.isclose(wide[1], wide[0], atol=TOLERANCE, rtol=RELATIVE_TOLERANCE)
    differing = np.asarray(~close.all(axis=1))
    if is_answer and wide[0].shape[1] > 1:
        differing |= wide[0].argmax(axis=1) != wide[1].argmax(axis=1)
    return differing


def _shown(answer: Array) -> str:
    return np.array2string(np.atleast_1d(answer).ravel()[:10], precision=3, separator=", ")
