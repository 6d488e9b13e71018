"""Equivalence of an exported predictor, or of serving, with the trained network.

An answer counts as changed by its kind: another class, a number out of tolerance, another code or
flag. Every declared output is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
    """Numbers count as the same within `absolute` plus `relative` times the expected one."""

    absolute: float = 0.02
    relative: float = 0.001


def compare_outputs(
    tensors: Schema,
    trained: Mapping[str, Array],
    served: Mapping[str, Array],
    *,
    tolerance: Tolerance,
) -> Sameness:
    """Compare served outputs with those of the trained network, over all declared outputs.

    An output that is missing, or of another shape, differs in every row.
    """
    first, *further = tensors.outputs
    first_output = np.asarray(trained[first.name])
    changed = changed_rows(
        first, trained, served, tolerance=tolerance, classes=bool(tensors.labels)
    )
    return Sameness(
        n=len(first_output),
        largest_difference=_largest(first_output, served.get(first.name)),
        changed_answers=int(changed.sum()),
        further=tuple(
            Changed(
                spec.name,
                int(changed_rows(spec, trained, served, tolerance=tolerance).sum()),
                spec.exact,
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
    if spec.datatype.startswith("FP"):
        allowed = tolerance.absolute + tolerance.relative * np.abs(expected)
    else:
        allowed = np.full_like(expected, 0 if spec.exact else _INTEGER_STEPS)
    # Negated, so that NaN counts as changed.
    return np.asarray(~(np.abs(expected - actual) <= allowed).all(axis=1))


def _largest(trained: Array, served: Array | None) -> float:
    if served is None or served.shape != trained.shape:
        return float("inf")
    return float(np.abs(_wide(trained) - _wide(served)).max(initial=0.0))


def _wide(answers: Array) -> Floats:
    wide: Floats = answers.astype(np.float64).reshape(len(answers), -1 if len(answers) else 1)
    return wide
