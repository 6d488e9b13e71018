"""Reproduce a version: train it again from what its manifest records, and compare."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.errors import CorruptVersion
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.errors import NotReproducible
from overnight.tasks.evaluation.evaluate import answers
from overnight.tasks.evaluation.explain import Axis, Present, explain

NETWORK, PREDICTOR = "network.keras", "predictor.tflite"
_WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class WeightDifference:
    """One array of weights: `largest` is the greatest absolute difference, of `of` numbers."""

    name: str
    largest: float
    of: int


@dataclass(frozen=True)
class Reproduction:
    """How a version that was trained again differs from the one that was published.

    `metrics` pairs the published measurement with today's; `largest` is the greatest difference
    of any number in the first output over `rows` holdout rows, `changed_answers` how many rows
    are answered otherwise.
    """

    version: str
    mismatches: tuple[str, ...]
    weights: tuple[WeightDifference, ...]
    predictor_identical: bool
    metrics: tuple[tuple[Measurement, Measurement], ...]
    rows: int
    changed_answers: int
    largest: float

    @property
    def identical(self) -> bool:
        """Whether every weight and every byte of the predictor came out the same."""
        return not self.weights and self.predictor_identical

    def __str__(self) -> str:
        aside = f"; what differs here: {'; '.join(self.mismatches)}" if self.mismatches else ""
        if self.identical:
            return f"{self.version}: bit-identical weights and predictor{aside}"
        largest = max((one.largest for one in self.weights), default=0.0)
        return (
            f"{self.version}: {len(self.weights)} arrays of weights differ, by {largest:.3g} at "
            f"most; {self.changed_answers} of {self.rows:,} answers changed, probabilities by "
            f"{self.largest:.3g} at most{aside}"
        )


def recorded_snapshot(made: Manifest) -> Snapshot:
    """The rows that a version was trained and judged on."""
    return Snapshot(**made.data.model_dump())


def check_rows(made: Manifest, found: Snapshot) -> None:
    """Hold what the dataset gives today against the digests that the manifest records.

    Raises:
        NotReproducible: the rows are no longer those.
    """
    pairs = {
        "rows": (made.data.digest, found.digest),
        "holdout": (made.data.holdout_digest, found.holdout_digest),
    }
    for name, (expected, now) in pairs.items():
        if expected != now:
            raise NotReproducible(
                f"{made.model} {made.version}", expected=f"{name} {expected[:12]}", found=now[:12]
            )


def mismatches(made: Manifest, now: Present) -> tuple[str, ...]:
    """What of code, packages, interpreter and machine is not as it was, in words."""
    axes: Mapping[str, Axis] = {axis.name: axis for axis in explain(made, now)}
    told = [f"{name}: {axes[name].detail}" for name in ("code", "packages") if axes[name].changed]
    for name in ("python", "platform"):
        then, here = getattr(made.environment, name), getattr(now.environment, name)
        if then != here:
            told.append(f"{name}: {then} then, {here} now")
    return tuple(told)


def compare(
    definition: ModelDefinition,
    made: Manifest,
    published: Mapping[str, bytes],
    remade: Mapping[str, bytes],
    *,
    holdout: Examples,
    mismatches: tuple[str, ...],
) -> Reproduction:
    """Two bundles of one version: weights, predictors, measurements and answers.

    Raises:
        CorruptVersion: a network file holds no weights.
    """
    first, second = (answers(one[PREDICTOR], holdout.inputs) for one in (published, remade))
    name = definition.tensors.outputs[0].name
    then, now = np.asarray(first[name], np.float64), np.asarray(second[name], np.float64)
    measured = zip(
        definition.measure(holdout, first), definition.measure(holdout, second), strict=True
    )
    return Reproduction(
        version=made.version,
        mismatches=mismatches,
        weights=differences(weights(published[NETWORK]), weights(remade[NETWORK])),
        predictor_identical=published[PREDICTOR] == remade[PREDICTOR],
        metrics=tuple((a, b) for a, b in measured if a.value != b.value),
        rows=holdout.n,
        changed_answers=_changed(then, now, classes=bool(definition.tensors.labels)),
        largest=float(np.abs(then - now).max()),
    )


def weights(network: bytes) -> dict[str, Array]:
    """Every array of a Keras file by its path in it; no code of the file is run.

    Raises:
        CorruptVersion: it is not a Keras file.
    """
    found: dict[str, Array] = {}

    def keep(path: str, node: h5py.Dataset | h5py.Group) -> None:
        if isinstance(node, h5py.Dataset):
            found[path] = np.asarray(node)

    try:
        with zipfile.ZipFile(io.BytesIO(network)) as archive:
            body = archive.read(_WEIGHTS)
        with h5py.File(io.BytesIO(body), "r") as file:
            file.visititems(keep)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise CorruptVersion(
            NETWORK, expected=f"a Keras file with {_WEIGHTS}", found=str(error)
        ) from None
    return found


def differences(
    then: Mapping[str, Array], now: Mapping[str, Array]
) -> tuple[WeightDifference, ...]:
    """The arrays that are not equal bit for bit; one that only one side has differs wholly."""
    found = []
    for name in sorted({*then, *now}):
        first, second = then.get(name), now.get(name)
        if first is None or second is None or first.shape != second.shape:
            size = max(0 if one is None else one.size for one in (first, second))
            found.append(WeightDifference(name, float("inf"), size))
        elif first.tobytes() != second.tobytes():
            largest = np.abs(first.astype(np.float64) - second.astype(np.float64)).max()
            found.append(WeightDifference(name, float(largest), first.size))
    return tuple(found)


def _changed(then: Array, now: Array, *, classes: bool) -> int:
    """How many rows have another answer: another class, or for numbers another value."""
    if classes:
        return int((then.argmax(axis=1) != now.argmax(axis=1)).sum())
    return int((then != now).reshape(len(then), -1).any(axis=1).sum())
