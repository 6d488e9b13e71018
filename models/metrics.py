"""Metrics of classifiers, each with its interval, whole and by slice."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from store.manifest import Measurement

# The two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054
Floats = NDArray[np.floating]
Labels = NDArray[np.integer]
Mask = NDArray[np.bool_]


def classification(
    labels: Labels, probabilities: Floats, slices: Mapping[str, Mask]
) -> tuple[Measurement, ...]:
    """Accuracy with its interval, whole and by slice; calibration error, log loss, and the
    accuracy of always answering the most frequent class.

    Args:
        labels: [n] class indices.
        probabilities: [n, classes], rows summing to one.
        slices: [n] masks by name.
    """
    correct = probabilities.argmax(axis=1) == labels
    counts = np.bincount(labels) if len(labels) else np.zeros(1, int)
    return (
        share("accuracy", correct),
        *(share("accuracy", correct[mask], slice=name) for name, mask in slices.items()),
        Measurement(
            metric="calibration_error",
            value=calibration_error(labels, probabilities),
            n=len(labels),
        ),
        Measurement(metric="log_loss", value=log_loss(labels, probabilities), n=len(labels)),
        share("majority_accuracy", labels == int(counts.argmax())),
    )


def share(metric: str, hits: Mask, *, slice: str = "") -> Measurement:
    """The share of true among `hits`, with its 95 % interval (Wilson 1927)."""
    n = len(hits)
    if n == 0:
        return Measurement(metric=metric, slice=slice, value=math.nan, n=0)
    value = float(hits.mean())
    centre = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n * n))
    return Measurement(
        metric=metric, slice=slice, value=value, n=n, low=centre - half, high=centre + half
    )


def calibration_error(labels: Labels, probabilities: Floats, *, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3), equal-width bins.

    The mean over bins of |accuracy - confidence|, weighted by the rows in each; NaN for no rows.
    """
    if len(labels) == 0:
        return math.nan
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Mean negative log probability of the true class, in nats; NaN for no rows."""
    if len(labels) == 0:
        return math.nan
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(true, 1e-12)).mean())
