"""Live quality: a version's metrics on the answers that have labels, and how many have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.evaluation import Mask
from overnight.models.reference import CalibrationBin
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import LiveQuality
from overnight.tasks.evaluation.published import measured_by
from overnight.tasks.monitoring.estimate import estimated_accuracy


def live_quality(
    definition: ModelDefinition,
    version: str,
    examples: Examples,
    outputs: Outputs,
    answered: Outputs,
    *,
    slices: Mapping[str, Mask] | None = None,
    calibration: Sequence[CalibrationBin] = (),
) -> tuple[LiveQuality, ...]:
    """All rows, then each slice, with the metrics of the model's definition and their intervals.

    Classes are slices by what was answered, `answered <class>`: of these the coverage is known
    without a label, and labels that come for hard cases alone show there.

    Args:
        examples: the m answers that have a label, with their inputs, labels and slices.
        outputs: the version's outputs of those, [m, …] by name.
        answered: its outputs of all n answers of the period, [n, …] by name.
        slices: masks [n] of all answers, for those of `examples.slices` that need no label. The
            coverage of others is NaN, and as many answers are given as there are labels.
        calibration: of the version's reference, for the estimate without labels.

    Raises:
        IncomparableVersions: the metrics need an output that the version does not have.
    """
    n = len(next(iter(answered.values()))) if answered else examples.n
    masks = {"": np.ones(n, np.bool_), **(slices or {}), **_by_answer(definition, answered)}
    labelled = {
        "": np.ones(examples.n, np.bool_),
        **examples.slices,
        **_by_answer(definition, outputs),
    }
    nothing = np.zeros(examples.n, np.bool_)
    labelled |= {name: nothing for name in masks if name not in labelled}
    measured = _measured(definition, replace(examples, slices=_named(labelled)), outputs)
    estimates = _estimates(definition, answered, masks, calibration)
    names = dict.fromkeys([*masks, *labelled])
    return tuple(
        _of_slice(version, name, masks.get(name), labelled[name], measured, estimates)
        for name in names
        if not name or labelled[name].any() or (name in masks and masks[name].any())
    )


def _of_slice(
    version: str,
    name: str,
    answered: Mask | None,
    labelled: Mask,
    measured: Mapping[str, tuple[Measurement, ...]],
    estimates: Mapping[str, float],
) -> LiveQuality:
    labels = int(labelled.sum())
    answers = labels if answered is None else int(answered.sum())
    coverage = math.nan
    if answered is not None and answers:
        coverage = min(labels / answers, 1.0)
    return LiveQuality(
        version=version,
        slice=name,
        answers=answers,
        labels=labels,
        coverage=coverage,
        measurements=measured.get(name, ()),
        estimated=estimates.get(name),
    )


def _measured(
    definition: ModelDefinition, examples: Examples, outputs: Outputs
) -> dict[str, tuple[Measurement, ...]]:
    """The metrics by slice; none where there is no label."""
    by_slice: dict[str, tuple[Measurement, ...]] = {}
    if not examples.n:
        return by_slice
    for measurement in measured_by(definition, examples, outputs):
        by_slice[measurement.slice] = (*by_slice.get(measurement.slice, ()), measurement)
    return by_slice


def _named(masks: Mapping[str, Mask]) -> dict[str, Mask]:
    """The masks of slices that have a row."""
    return {name: mask for name, mask in masks.items() if name and mask.any()}


def _by_answer(definition: ModelDefinition, outputs: Outputs) -> dict[str, Mask]:
    """Masks by predicted class of the first output; none where it has no classes."""
    first = definition.tensors.outputs[0].name
    classes = definition.tensors.classes(first)
    if not classes or first not in outputs:
        return {}
    predicted = np.asarray(outputs[first]).argmax(axis=-1)
    return {f"answered {name}": predicted == place for place, name in enumerate(classes)}


def _estimates(
    definition: ModelDefinition,
    answered: Outputs,
    masks: Mapping[str, Mask],
    calibration: Sequence[CalibrationBin],
) -> dict[str, float]:
    first = definition.tensors.outputs[0].name
    if not definition.tensors.classes(first) or first not in answered:
        return {}
    probabilities = np.asarray(answered[first], np.float64)
    return {
        name: estimated_accuracy(probabilities[mask], calibration)
        for name, mask in masks.items()
        if mask.any()
    }
