"""Equivalence of an exported predictor, or of serving, with the trained network.

An answer counts as changed by its kind: another class, a number out of tolerance, an embedding that
points elsewhere, another code or flag. Every declared output is compared by its own measure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from overnight.models.metrics.evaluation import Changed, Mask, Sameness
from overnight.store.schema import Schema, TensorSpec

# Rounding in float32 may end on the other side of a whole number.
_INTEGER_STEPS = 1
Array = NDArray[np.generic]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """Numbers count as the same within `absolute` plus `relative` times the expected one.

    With `cosine`, a row of numbers is a direction, such as an embedding: it counts as the same
    while 1 minus the cosine of both is at most that, whatever their lengths.
    """

    absolute: float = 0.02
    relative: float = 0.001
    cosine: float | None = None


# One for all outputs, or by output; an output that is not named has the default.
Tolerances = Tolerance | Mapping[str, Tolerance]
# Which rows two sets of outputs answer alike: [n].
Alike = Callable[[Mapping[str, Array], Mapping[str, Array]], Mask]


def tolerance_of(tolerances: Tolerances, output: str) -> Tolerance:
    """The tolerance of one output."""
    if isinstance(tolerances, Tolerance):
        return tolerances
    return tolerances.get(output, Tolerance())


def compare_outputs(
    tensors: Schema,
    trained: Mapping[str, Array],
    served: Mapping[str, Array],
    *,
    tolerance: Tolerances,
) -> Sameness:
    """Compare served outputs with those of the trained network, over all declared outputs.

    An output that is missing, or of another shape, differs in every row.
    """
    first, *further = tensors.outputs
    first_output = np.asarray(trained[first.name])
    changed = {
        spec.name: int(
            changed_rows(
                spec,
                trained,
                served,
                tolerance=tolerance_of(tolerance, spec.name),
                classes=bool(tensors.classes(spec.name)),
            ).sum()
        )
        for spec in tensors.outputs
    }
    return Sameness(
        n=len(first_output),
        largest_difference=_largest(first_output, served.get(first.name)),
        changed_answers=changed[first.name],
        further=tuple(
            Changed(
                spec.name,
                changed[spec.name],
                spec.exact,
                _largest(np.asarray(trained[spec.name]), served.get(spec.name)),
            )
            for spec in further
        ),
    )


def changed_rows(
    spec: TensorSpec,
    trained: Mapping[str, Array],
    served: Mapping[str, Array],
    *,
    tolerance: Tolerance,
    classes: bool = False,
) -> Mask:
    """Which of n rows have another answer in one output: [n].

    Args:
        classes: the output has a number for each class, and the highest is the answer.
    """
    trained_output, served_output = np.asarray(trained[spec.name]), served.get(spec.name)
    n = len(trained_output)
    if served_output is None or np.shape(served_output) != trained_output.shape:
        return np.ones(n, np.bool_)
    expected, actual = _wide(trained_output), _wide(np.asarray(served_output))
    if classes and expected.shape[1] > 1:
        return np.asarray(expected.argmax(axis=1) != actual.argmax(axis=1))
    if spec.datatype.startswith("FP") and tolerance.cosine is not None:
        return np.asarray(~(_cosine_distance(expected, actual) <= tolerance.cosine))
    if spec.datatype.startswith("FP"):
        allowed = tolerance.absolute + tolerance.relative * np.abs(expected)
    else:
        allowed = np.full_like(expected, 0 if spec.exact else _INTEGER_STEPS)
    # Negated, so that NaN counts as changed.
    return np.asarray(~(np.abs(expected - actual) <= allowed).all(axis=1))


def alike_by_output(tensors: Schema, tolerance: Tolerances) -> dict[str, Alike]:
    """For each output, which rows two versions of a network answer alike by its own measure."""

    def alike(spec: TensorSpec, first: Mapping[str, Array], second: Mapping[str, Array]) -> Mask:
        return ~changed_rows(
            spec,
            first,
            second,
            tolerance=tolerance_of(tolerance, spec.name),
            classes=bool(tensors.classes(spec.name)),
        )

    return {spec.name: partial(alike, spec) for spec in tensors.outputs}


def _cosine_distance(expected: Floats, actual: Floats) -> Floats:
    """1 minus the cosine of the angle between rows, [n]: two rows of zeros point alike."""
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(actual, axis=1)
    is_zero = lengths == 0
    cosines = (expected * actual).sum(axis=1) / np.where(is_zero, 1.0, lengths)
    same = (expected == actual).all(axis=1)
    distances: Floats = np.where(is_zero & same, 0.0, 1.0 - cosines)
    return distances


def _largest(trained: Array, served: Array | None) -> float:
    if served is None or served.shape != trained.shape:
        return float("inf")
    return float(np.abs(_wide(trained) - _wide(served)).max(initial=0.0))


def _wide(answers: Array) -> Floats:
    wide: Floats = answers.astype(np.float64).reshape(len(answers), -1 if len(answers) else 1)
    return wide
