"""Metrics of classifiers, each with its interval, whole and by slice."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overnight.models.metrics.evaluation import RowMetric
from overnight.store.registry.manifest import Measurement

# The two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054
Floats = NDArray[np.floating]
Labels = NDArray[np.integer]
Mask = NDArray[np.bool_]


def classification(
    labels: Labels, probabilities: Floats, slices: Mapping[str, Mask]
) -> tuple[Measurement, ...]:
    """Accuracy with its interval, calibration error and its expectation by chance, each whole and
    by slice; log loss, and the accuracy of always answering the most frequent class.

    Args:
        labels: [n] class indices.
        probabilities: [n, classes], rows summing to one.
        slices: [n] masks by name.
    """
    correct = probabilities.argmax(axis=1) == labels
    return (
        share("accuracy", correct),
        *(share("accuracy", correct[mask], slice=name) for name, mask in slices.items()),
        *_calibration(labels, probabilities, slice=""),
        *(
            measured
            for name, mask in slices.items()
            for measured in _calibration(labels[mask], probabilities[mask], slice=name)
        ),
        Measurement(metric="log_loss", value=log_loss(labels, probabilities), n=len(labels)),
        share("majority_accuracy", _majority(labels)),
    )


def classification_rows(labels: Labels, probabilities: Floats) -> tuple[RowMetric, ...]:
    """Accuracy, log loss and the accuracy of the majority class, row by row.

    Args:
        labels: [n] class indices.
        probabilities: [n, classes], rows summing to one.
    """
    correct = probabilities.argmax(axis=1) == labels
    return (
        RowMetric("accuracy", correct.astype(np.float64), better="higher"),
        RowMetric("log_loss", surprises(labels, probabilities), better="lower"),
        RowMetric("majority_accuracy", _majority(labels).astype(np.float64), better="higher"),
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
    gaps = np.bincount(_bins(confidence, bins), weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def calibration_floor(probabilities: Floats, *, bins: int = 15) -> float:
    """The calibration error to expect of a perfectly calibrated classifier with these confidences.

    The estimate sums absolute gaps, so chance alone makes it positive. Each bin's gap is then a
    sum of independent draws of variance p (1 - p), nearly normal, and the mean of a normal's
    absolute value is its deviation times the root of 2 / pi; NaN for no rows.
    """
    if len(probabilities) == 0:
        return math.nan
    confidence = probabilities.max(axis=1)
    variance = np.maximum(confidence * (1 - confidence), 0)
    by_bin = np.bincount(_bins(confidence, bins), weights=variance, minlength=bins)
    return float(np.sqrt(2 / math.pi * by_bin).sum() / len(probabilities))


def _calibration(
    labels: Labels, probabilities: Floats, *, slice: str
) -> tuple[Measurement, Measurement]:
    n, error = len(labels), calibration_error(labels, probabilities)
    floor = calibration_floor(probabilities)
    return (
        Measurement(metric="calibration_error", slice=slice, value=error, n=n),
        Measurement(metric="calibration_floor", slice=slice, value=floor, n=n),
    )


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Mean negative log probability of the true class, in nats; NaN for no rows."""
    return float(surprises(labels, probabilities).mean()) if len(labels) else math.nan


def surprises(labels: Labels, probabilities: Floats) -> NDArray[np.float64]:
    """Each row's negative log probability of its true class, in nats: [n]."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # A probability of 0 would make one row's loss infinite, and every mean with it.
    losses: NDArray[np.float64] = -np.log(np.maximum(true, 1e-12))
    return losses


def _bins(confidence: Floats, bins: int) -> Labels:
    # A confidence of exactly 1 belongs to the last bin.
    indices: Labels = np.minimum((confidence * bins).astype(int), bins - 1)
    return indices


def _majority(labels: Labels) -> Mask:
    """Where always answering the most frequent class would be right."""
    if len(labels) == 0:
        return np.zeros(0, bool)
    right: Mask = labels == int(np.bincount(labels).argmax())
    return right
