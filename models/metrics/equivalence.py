"""Whether an exported predictor, or serving, answers as the trained network did.

What counts as another answer fits its kind: another class, numbers that are not near, another word
or flag. Every declared output is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overnight.models.metrics.evaluation import Changed, Mask, Sameness
from overnight.store.schema import Schema, TensorSpec

# Rounding in arithmetic may end on the other side of a whole number.
_INTEGER_STEPS = 1
Array = NDArray[np.generic]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Near:
    """How far a number may be from another and still be the same answer.

    That is `apart`, and besides a `share` of the number itself.
    """

    apart: float = 0.02
    share: float = 0.001


def same(
    tensors: Schema,
    trained: Mapping[str, Array],
    found: Mapping[str, Array],
    *,
    near: Near,
) -> Sameness:
    """How far the answers found are from those of training, over all declared outputs.

    An output that was not answered, or in another shape, differs in every row.
    """
    first, *further = tensors.outputs
    answer = np.asarray(trained[first.name])
    changed = changed_rows(first, trained, found, near=near, classes=bool(tensors.labels))
    return Sameness(
        n=len(answer),
        largest_difference=_largest(answer, found.get(first.name)),
        changed_answers=int(changed.sum()),
        further=tuple(
            Changed(spec.name, int(changed_rows(spec, trained, found, near=near).sum()), spec.exact)
            for spec in further
        ),
    )


def changed_rows(
    spec: TensorSpec,
    trained: Mapping[str, Array],
    found: Mapping[str, Array],
    *,
    near: Near,
    classes: bool = False,
) -> Mask:
    """Which of n rows have another answer in one output: [n].

    Args:
        classes: the output has a number for each class, and the answer is the highest.
    """
    was, now = np.asarray(trained[spec.name]), found.get(spec.name)
    n = len(was)
    if now is None or np.shape(now) != was.shape:
        return np.ones(n, np.bool_)
    ours, theirs = _wide(was), _wide(np.asarray(now))
    if classes and ours.shape[1] > 1:
        return np.asarray(ours.argmax(axis=1) != theirs.argmax(axis=1))
    if spec.datatype.startswith("FP"):
        allowed = near.apart + near.share * np.abs(ours)
    else:
        allowed = np.full_like(ours, 0 if spec.exact else _INTEGER_STEPS)
    # What is no number is near nothing.
    return np.asarray(~(np.abs(ours - theirs) <= allowed).all(axis=1))


def _largest(trained: Array, found: Array | None) -> float:
    if found is None or found.shape != trained.shape:
        return float("inf")
    return float(np.abs(_wide(trained) - _wide(found)).max(initial=0.0))


def _wide(answers: Array) -> Floats:
    wide: Floats = answers.astype(np.float64).reshape(len(answers), -1 if len(answers) else 1)
    return wide
