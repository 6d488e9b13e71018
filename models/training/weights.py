"""The weights of rows in each loss: those of the examples, times those of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Array, Examples

# By the number or the name of a class; a class that is not named has 1. "balanced": as if every
# class had as many rows as the others.
ClassWeights = Mapping[int | str, float] | Literal["balanced"]
Floats = NDArray[np.float32]


def row_weights(
    examples: Examples,
    learned_from: Examples,
    outputs: Sequence[str],
    class_weights: Mapping[str, ClassWeights],
) -> dict[str, Floats] | None:
    """How much each row counts in the loss of each output, [n] with mean 1; None for all alike.

    Only proportions matter: with a mean of 1 a learning rate means the same with and without
    weights. Balanced weights follow from the labels of `learned_from`, the training rows, so that
    validation weighs as training does.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0, or a class is unknown.
    """
    if examples.weights is None and not class_weights:
        return None
    weights = {}
    for output in outputs:
        own = np.ones(examples.n) if examples.weights is None else examples.weights.astype(float)
        if output in class_weights:
            own = own * _of_classes(class_weights[output], examples, learned_from, output)
        if not (np.isfinite(own).all() and (own >= 0).all() and own.sum() > 0):
            raise ValueError(
                f"weights of {output}: expected numbers of 0 and more, and one above 0 among them; "
                "correct the weights in the model's `examples`, or the class weights in its network"
            )
        weights[output] = (own / own.mean()).astype(np.float32)
    return weights


def _of_classes(
    declared: ClassWeights, examples: Examples, learned_from: Examples, output: str
) -> NDArray[np.float64]:
    """The weight of each row's class: [n]."""
    labels, learned = (
        _classes(rows.labels_of(output), output) for rows in (examples, learned_from)
    )
    counts = np.bincount(learned, minlength=int(labels.max(initial=0)) + 1)
    if declared == "balanced":
        present = np.count_nonzero(counts)
        # A class that only validates has no weight of its own.
        by_class = np.where(counts > 0, len(learned) / (present * np.maximum(counts, 1)), 1.0)
    else:
        by_class = np.ones(len(counts))
        names = examples.tensors.classes(output) if examples.tensors else ()
        for name, weight in declared.items():
            number = _number(name, names, output)
            if number < len(by_class):
                by_class[number] = weight
    return by_class[labels]


def _classes(labels: Array, output: str) -> NDArray[np.int64]:
    """Labels as numbers of classes, [n]."""
    numbers = np.asarray(labels).reshape(len(labels), -1)
    if numbers.shape[1] != 1 or not np.array_equal(numbers, numbers.astype(np.int64)):
        raise ValueError(
            f"class weights of {output}: expected one class index for each row as its label; leave "
            "them out, or give each row a weight in the model's `examples`"
        )
    return numbers[:, 0].astype(np.int64)


def _number(name: int | str, names: Sequence[str], output: str) -> int:
    if isinstance(name, int):
        return name
    if name not in names:
        raise ValueError(
            f"class weights of {output}: no class is called {name!r}; expected one of "
            f"{', '.join(names) or 'numbers, as the schema names no classes'}"
        )
    return names.index(name)
