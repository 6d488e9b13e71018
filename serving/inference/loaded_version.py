"""A version that is loaded in this process: loading, warm-up and verification by golden examples.

Golden examples are inputs with the outputs that training computed for them. A bundle counts as
loaded only once it has reproduced those outputs here.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.golden_examples import GOLDEN, kept_rows, read_golden
from overnight.serving.inference.runtime import Array, Predictor
from overnight.store.encoding import encode
from overnight.store.errors import UnencodableValue
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import TensorSpec

# Processors round differently: int8 weights differed by up to 0.0174 on ten thousand digits.
TOLERANCE = 0.02
RELATIVE_TOLERANCE = 1e-3
INTEGER_STEPS = 1
# Long enough for a waiting request to get the interpreter lock.
PAUSE_SECONDS = 0.001


class ModelVersion(Protocol):
    """A version as codecs use it: its tensors and `predict`, without lifecycle."""

    @property
    def predictor(self) -> Predictor:
        """For its tensors; inference goes through `predict` of the version."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def version(self) -> str: ...

    @property
    def ignored(self) -> frozenset[str]:
        """Names of inputs that earlier versions had: they may be sent, and are left out."""

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run n ≥ 1 rows: `inputs` [n, …] by name to the named `outputs`, [n, …] each.

        `outputs` may have `unlike_training`, as the predictor takes it.
        """


@dataclass
class LoadedVersion:
    """A generation of a model, loaded in this process."""

    generation: int
    predictor: Predictor
    record: AliasRecord | None
    # Requests that use it, and those of them that asked for it by name, counted under the lock of
    # its slot.
    leases: int = 0
    named_leases: int = 0
    # The memory budget has no place for it: it goes with its last lease.
    is_leaving: bool = False
    # The lease of the comparing thread, which must not take that lock: it runs at a low priority,
    # and if it lost the CPU while holding the lock, every request would wait. So each flag has one
    # writer, which reads the other flag after writing its own: the comparing thread uses no
    # version that is retired, and the loader closes none that is compared.
    is_compared: bool = False
    is_retired: bool = False
    ignored: frozenset[str] = frozenset()

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run n ≥ 1 rows: `inputs` [n, …] by name to the named `outputs`, [n, …] each."""
        return self.predictor.predict(inputs, outputs)


def load_version(manifest: Manifest, files: dict[str, bytes], *, threads: int) -> Predictor:
    """Load and warm up a verified bundle, and check its golden examples if it has any.

    Raises:
        UnfitVersion: it cannot run here, or its outputs differ from those of training.
    """
    predictor = Predictor(manifest, files["predictor.tflite"], threads=threads, pause=_pause)
    if GOLDEN in files:
        predictor.examples = kept_rows(check_golden(predictor, files[GOLDEN]))
    return predictor


def _pause() -> None:
    time.sleep(PAUSE_SECONDS)


def check_golden(predictor: Predictor, golden: bytes) -> Mapping[str, Array]:
    """Run the golden examples and compare every declared output that the file contains.

    Returns their inputs by name, [n, …] each. Floats agree within 0.02 (or a thousandth of the
    value), and classes are equal; integers agree within one step, flags and vocabulary exactly.

    Raises:
        UnfitVersion: naming the output, the row and both values.
    """
    manifest = predictor.manifest
    arrays = read_golden(manifest, golden)
    inputs = {
        spec.name: arrays[name]
        for spec in predictor.inputs
        if (name := f"input.{spec.name}") in arrays
    }
    specs = [spec for spec in predictor.outputs if f"output.{spec.name}" in arrays]
    try:
        if not manifest.tensors.is_encoded:
            # In requests, names of categories are numbers by now; `predict` leaves them alone.
            inputs = encode(manifest.tensors, inputs)
        outputs = predictor.predict(inputs, [spec.name for spec in specs])
    except (ValueError, RuntimeError, UnencodableValue) as error:
        # LiteRT raises the first two for a shape or a type that the network does not take.
        why = f"its golden examples cannot be run: {error}"
        raise UnfitVersion(manifest.model, manifest.version, why) from None
    for spec in specs:
        expected, actual = arrays[f"output.{spec.name}"], outputs[spec.name]
        if expected.shape != actual.shape:
            why = f"output {spec.name} has shape {actual.shape}, expected {expected.shape}"
            raise UnfitVersion(manifest.model, manifest.version, f"golden examples: {why}")
        is_class = bool(manifest.tensors.classes(spec.name))
        differing = _differing(expected, actual, spec=spec, is_class=is_class)
        if differing.any():
            row = int(differing.argmax())
            raise UnfitVersion(
                manifest.model,
                manifest.version,
                f"{int(differing.sum())} of {len(differing)} golden examples differ from training; "
                f"{spec.name} of example {row} was {_shown(expected[row])} "
                f"and is {_shown(actual[row])}",
            )
    return inputs


def _differing(
    expected: Array, actual: Array, *, spec: TensorSpec, is_class: bool
) -> NDArray[np.bool_]:
    """Which of n rows differ, bool [n]; where `is_class`, also those of another class."""
    rows = len(expected)
    wide = [array.astype(np.float64).reshape(rows, -1) for array in (expected, actual)]
    if not spec.datatype.startswith("FP"):
        allowed = 0 if spec.exact else INTEGER_STEPS
        return np.asarray((np.abs(wide[0] - wide[1]) > allowed).any(axis=1))
    close = np.isclose(wide[1], wide[0], atol=TOLERANCE, rtol=RELATIVE_TOLERANCE)
    differing = np.asarray(~close.all(axis=1))
    if is_class and wide[0].shape[1] > 1:
        differing |= wide[0].argmax(axis=1) != wide[1].argmax(axis=1)
    return differing


def _shown(output: Array) -> str:
    return np.array2string(np.atleast_1d(output).ravel()[:10], precision=3, separator=", ")
