"""Accuracy as the probabilities themselves promise it, without labels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overnight.models.reference import CalibrationBin

Floats = NDArray[np.floating]
# So many rows of a bin count half: a bin with few says little of its own.
_HALF = 30


def estimated_accuracy(probabilities: Floats, calibration: Sequence[CalibrationBin] = ()) -> float:
    """The mean of the highest probability of n answers, [n, classes], calibrated; NaN for none.

    CBPE, confidence-based performance estimation (Kivimäki et al. 2025, doi 10.1613/jair.1.17146).
    The calibration is that of the holdout: by how much confidences of a bin were too high or low.

    It needs probabilities that are calibrated on what is answered today: that the inputs shift is
    allowed, as far as the calibration of each confidence stays as it was; that the same inputs come
    to have another truth is invisible to it. Nothing must be decided by it.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"probabilities have the shape {values.shape}; expected one row of classes for each "
            "answer, [n, classes]"
        )
    if not len(values):
        return math.nan
    confidence = values.max(axis=1)
    if calibration:
        bins = len(calibration)
        offsets = np.array([_offset(each) for each in calibration])
        confidence = confidence + offsets[np.minimum((confidence * bins).astype(int), bins - 1)]
    return float(np.clip(confidence, 0, 1).mean())


def _offset(each: CalibrationBin) -> float:
    """How far right answers were from the confidence, shrunk to 0 where rows are few."""
    return (each.right - each.n * each.confidence) / (each.n + _HALF)
