"""Metrics of classifiers by class: precision, recall, F1, areas under curves, and Brier's score.

With two classes the metrics are those of the positive one; with more, means over classes, and
those of each class as `recall of NAME`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from overnight.models.metrics.classification import Labels
from overnight.models.metrics.evaluation import Floats, Mask, RowMetric, Units
from overnight.models.metrics.joint import joint, ratio_influences
from overnight.models.metrics.ranking import auc_influences, ranking_rows

# Of one class: how often it is true, answered, and both, row by row.
_Counts = Callable[[Mask, Mask], tuple[Floats, Floats]]


def class_rows(
    labels: Labels,
    probabilities: Floats,
    classes: Sequence[str],
    *,
    positive: int | None = None,
    units: Units | None = None,
) -> tuple[RowMetric, ...]:
    """Brier's score, recall, precision, F1 and areas under curves, as metrics of rows.

    Args:
        labels: [n] class indices.
        probabilities: [n, classes], rows summing to one.
        positive: the class that is looked for, of two.
    """
    answered = probabilities.argmax(axis=1)
    brier = RowMetric("brier", brier_scores(labels, probabilities), "lower", units=units)
    if positive is not None:
        actual = labels == positive
        return (
            *_of_class("", actual, answered == positive, units=units),
            *ranking_rows(actual, probabilities[:, positive], units=units),
            brier,
        )
    each = (
        row
        for number, name in enumerate(classes)
        for row in _of_class(f" of {name}", labels == number, answered == number, units=units)
    )
    return (*_means(labels, answered, probabilities, units=units), brier, *each)


def brier_scores(labels: Labels, probabilities: Floats) -> Floats:
    """Squared distance of the probabilities from the truth, summed over classes (Brier 1950): [n].

    Of two classes it counts once, so that it is the usual (p - y)².
    """
    distance: Floats = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    return distance / 2 if probabilities.shape[1] == 2 else distance


def _of_class(
    suffix: str, actual: Mask, answered: Mask, *, units: Units | None
) -> tuple[RowMetric, RowMetric, RowMetric]:
    """Recall, precision and F1 of one class (van Rijsbergen 1979)."""
    hits = (actual & answered).astype(float)
    # The weights of a recall are the truth, alike for every version: its test is exact.
    recalled = RowMetric(f"recall{suffix}", hits, "higher", actual.astype(float), units)

    def joined(name: str, parts: _Counts, counted: Mask) -> RowMetric:
        values, weights = parts(actual, answered)
        return joint(
            f"{name}{suffix}",
            len(hits),
            lambda mask: _zero_where_never(values[mask], weights[mask]),
            scale="share",
            better="higher",
            evidence=lambda mask: int(counted[mask].sum()),
            units=units,
        )

    return (
        recalled,
        joined("precision", _precise, answered),
        joined("f1", _f1, actual | answered),
    )


def _precise(actual: Mask, answered: Mask) -> tuple[Floats, Floats]:
    return (actual & answered).astype(float), answered.astype(float)


def _recalled(actual: Mask, answered: Mask) -> tuple[Floats, Floats]:
    return (actual & answered).astype(float), actual.astype(float)


def _f1(actual: Mask, answered: Mask) -> tuple[Floats, Floats]:
    return 2 * (actual & answered).astype(float), actual.astype(float) + answered.astype(float)


def _zero_where_never(values: Floats, weights: Floats) -> Floats:
    """Influences on a ratio that is 0 where its class never occurs."""
    return ratio_influences(values, weights) if weights.any() else np.zeros(len(values))


def _means(
    labels: Labels, answered: Labels, probabilities: Floats, *, units: Units | None
) -> tuple[RowMetric, ...]:
    """Recall, precision, F1 and area under the ROC curve as means over the classes that occur.

    A precision and an F1 count classes that are true or answered; one never answered has 0.
    """
    n, count = len(labels), probabilities.shape[1]

    def over_classes(mask: Mask, parts: _Counts, occur: Sequence[int]) -> Floats:
        truth, guess = labels[mask], answered[mask]
        return _mean([_zero_where_never(*parts(truth == c, guess == c)) for c in occur], len(truth))

    def true_classes(mask: Mask) -> list[int]:
        return [int(c) for c in np.unique(labels[mask])]

    def all_classes(mask: Mask) -> list[int]:
        return [int(c) for c in np.union1d(labels[mask], answered[mask])]

    def area(mask: Mask) -> Floats:
        present, truth = true_classes(mask), labels[mask]
        of_class = [auc_influences(truth == c, probabilities[mask][:, c]) for c in present]
        return _mean(of_class, len(truth))

    def rarest(mask: Mask) -> int:
        counts = np.bincount(labels[mask], minlength=count)
        return int(counts[counts > 0].min()) if mask.any() else 0

    metrics: dict[str, Callable[[Mask], Floats]] = {
        "recall": lambda mask: over_classes(mask, _recalled, true_classes(mask)),
        "precision": lambda mask: over_classes(mask, _precise, all_classes(mask)),
        "f1": lambda mask: over_classes(mask, _f1, all_classes(mask)),
        "roc_auc": area,
    }
    return tuple(
        joint(
            name,
            n,
            influences,
            scale="share",
            better="higher",
            evidence=rarest if name == "roc_auc" else None,
            units=units,
        )
        for name, influences in metrics.items()
    )


def _mean(influences: Sequence[Floats], n: int) -> Floats:
    if not influences:
        return np.full(n, math.nan)
    average: Floats = np.mean(influences, axis=0)
    return average
