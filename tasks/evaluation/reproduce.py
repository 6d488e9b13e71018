"""Reproduces a version: compares it with one trained again from what its manifest records."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

import h5py
import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.errors import CorruptVersion, IncomparableVersions
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.schema_translation import translation
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.errors import NotReproducible
from overnight.tasks.evaluation.explain import Axis, Present, explain
from overnight.tasks.evaluation.published import PublishedPredictor

NETWORK, PREDICTOR = "network.keras", "predictor.tflite"
_WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class WeightDifference:
    """One array of `of` weights; `largest` is the greatest absolute difference."""

    name: str
    largest: float
    of: int


@dataclass(frozen=True)
class Reproduction:
    """How a version that was trained again differs from the published one.

    `metrics` pairs published and new measurements that differ. `largest` is the greatest difference
    of any number in the first output over `rows` holdout rows; `changed_answers` counts the rows
    that are answered differently.
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
        """Whether all weights and all bytes of the predictor are the same."""
        return not self.weights and self.predictor_identical

    def __str__(self) -> str:
        suffix = (
            f"; the environment differs: {'; '.join(self.mismatches)}" if self.mismatches else ""
        )
        if self.identical:
            return f"{self.version}: bit-identical weights and predictor{suffix}"
        largest = max((weight.largest for weight in self.weights), default=0.0)
        return (
            f"{self.version}: {len(self.weights)} arrays of weights differ, by {largest:.3g} at "
            f"most; {self.changed_answers} of {self.rows:,} answers changed, probabilities by "
            f"{self.largest:.3g} at most{suffix}"
        )


def recorded_snapshot(manifest: Manifest) -> Snapshot:
    """The snapshot that a version was trained and judged on."""
    return Snapshot(**manifest.data.model_dump())


def check_rows(manifest: Manifest, current: Snapshot) -> None:
    """Compare the snapshot that the dataset gives now with the digests in the manifest.

    Raises:
        NotReproducible: rows or holdout differ.
    """
    pairs = {
        "rows": (manifest.data.digest, current.digest),
        "holdout": (manifest.data.holdout_digest, current.holdout_digest),
    }
    for name, (expected, current_digest) in pairs.items():
        if expected != current_digest:
            raise NotReproducible(
                f"{manifest.model} {manifest.version}",
                expected=f"{name} {expected[:12]}",
                found=current_digest[:12],
            )


def as_recorded(definition: ModelDefinition, manifest: Manifest, rows: Examples) -> Examples:
    """Rows that the definition encoded now, as they were encoded when the version was trained.

    Raises:
        IncomparableVersions: the version names other classes, or lacks a category of the rows.
    """
    recorded = translation(definition.tensors, manifest.tensors)
    if recorded.added:
        raise IncomparableVersions(
            f"{manifest.version} was trained on {', '.join(recorded.added)}, which rows are read "
            "without now; reproduce it from a checkout of its own commit "
            f"{manifest.code.commit[:12]}"
        )
    first = definition.tensors.outputs[0].name
    labels = dict(rows.by_output(first))
    judged = recorded.judged(labels)
    if judged is not None and not judged.all():
        raise IncomparableVersions(
            f"{manifest.version} has no class for {int((~judged).sum()):,} of the rows"
        )
    for name in recorded.classes.keys() & labels.keys():
        numbers = labels[name]
        # The recorded number of each class; labels are such numbers.
        labels[name] = recorded.classes[name][numbers.astype(np.int64)].astype(numbers.dtype)
    return replace(
        rows,
        inputs=recorded.inputs(rows.inputs),
        labels=labels if isinstance(rows.labels, Mapping) else labels[first],
    )


def lost_categories(definition: ModelDefinition, manifest: Manifest) -> tuple[str, ...]:
    """Descriptions of the categories that a version knew and rows are read without now."""
    recorded = {spec.name: spec.vocabulary for spec in manifest.tensors.inputs}
    lost = {
        spec.name: sorted(set(recorded.get(spec.name, ())) - set(spec.vocabulary))
        for spec in definition.tensors.inputs
    }
    return tuple(
        f"vocabulary: {name} had {', '.join(categories)}, which rows are read without now"
        for name, categories in lost.items()
        if categories
    )


def mismatches(manifest: Manifest, present: Present) -> tuple[str, ...]:
    """Descriptions of the differences in code, packages, interpreter and machine."""
    axes: Mapping[str, Axis] = {axis.name: axis for axis in explain(manifest, present)}
    mismatches = [
        f"{name}: {axes[name].detail}" for name in ("code", "packages") if axes[name].changed
    ]
    for name in ("python", "platform"):
        recorded, current = getattr(manifest.environment, name), getattr(present.environment, name)
        if recorded != current:
            mismatches.append(f"{name}: {recorded} then, {current} now")
    return tuple(mismatches)


def compare(
    definition: ModelDefinition,
    manifest: Manifest,
    published: Mapping[str, bytes],
    remade: Mapping[str, bytes],
    *,
    holdout: Examples,
    mismatches: tuple[str, ...],
) -> Reproduction:
    """Compare two bundles of one version: weights, predictors, measurements and answers.

    Raises:
        CorruptVersion: a network file is no Keras file with weights.
        IncomparableVersions: the version names other classes than the model does now.
    """
    first, second = (
        PublishedPredictor.of(manifest, bundle[PREDICTOR]).answers(definition, holdout.inputs)
        for bundle in (published, remade)
    )
    name = definition.tensors.outputs[0].name
    then, now = np.asarray(first[name], np.float64), np.asarray(second[name], np.float64)
    measured = zip(
        definition.measure(holdout, first), definition.measure(holdout, second), strict=True
    )
    return Reproduction(
        version=manifest.version,
        mismatches=mismatches,
        weights=differences(weights(published[NETWORK]), weights(remade[NETWORK])),
        predictor_identical=published[PREDICTOR] == remade[PREDICTOR],
        metrics=tuple((a, b) for a, b in measured if a.value != b.value),
        rows=holdout.n,
        changed_answers=_changed(then, now, classes=bool(definition.tensors.labels)),
        largest=float(np.abs(then - now).max()),
    )


def weights(network: bytes) -> dict[str, Array]:
    """Every array of weights in a Keras file by its path; no code of the file is run.

    Raises:
        CorruptVersion: it is not a Keras file.
    """
    arrays: dict[str, Array] = {}

    def keep(path: str, node: h5py.Dataset | h5py.Group) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[path] = np.asarray(node)

    try:
        with zipfile.ZipFile(io.BytesIO(network)) as archive:
            body = archive.read(_WEIGHTS)
        # h5py, because loading the model would run code that the file names.
        with h5py.File(io.BytesIO(body), "r") as file:
            file.visititems(keep)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise CorruptVersion(
            NETWORK, expected=f"a Keras file with {_WEIGHTS}", found=str(error)
        ) from None
    return arrays


def differences(
    then: Mapping[str, Array], now: Mapping[str, Array]
) -> tuple[WeightDifference, ...]:
    """The arrays that are not bit-identical; one that only one side has differs by infinity."""
    differing = []
    for name in sorted({*then, *now}):
        first, second = then.get(name), now.get(name)
        if first is None or second is None or first.shape != second.shape:
            size = max(0 if array is None else array.size for array in (first, second))
            differing.append(WeightDifference(name, float("inf"), size))
        # By bytes: NaN differs from itself, and -0.0 equals 0.0.
        elif first.tobytes() != second.tobytes():
            largest = np.abs(first.astype(np.float64) - second.astype(np.float64)).max()
            differing.append(WeightDifference(name, float(largest), first.size))
    return tuple(differing)


def _changed(then: Array, now: Array, *, classes: bool) -> int:
    """The number of rows with another class, or without classes with another value."""
    if classes:
        return int((then.argmax(axis=1) != now.argmax(axis=1)).sum())
    return int((then != now).reshape(len(then), -1).any(axis=1).sum())
