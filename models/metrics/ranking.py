"""Metrics of a ranking: areas under the ROC curve and under the curve of precision by recall."""

import math

import numpy as np

from overnight.models.metrics.evaluation import Floats, Mask, RowMetric, Units
from overnight.models.metrics.joint import joint


def ranking_rows(
    positive: Mask, scores: Floats, *, units: Units | None = None
) -> tuple[RowMetric, RowMetric]:
    """`roc_auc` and `average_precision` of scores that should be higher for positive rows.

    Both are NaN where all rows are of one class. Their evidence is the rows of the rarer class.

    Args:
        positive: [n] rows of the class that is ranked.
        scores: [n] in any unit.
    """

    def rarer(mask: Mask) -> int:
        of_class = int(positive[mask].sum())
        return min(of_class, int(mask.sum()) - of_class)

    def auc(mask: Mask) -> Floats:
        return auc_influences(positive[mask], scores[mask])

    def precision(mask: Mask) -> Floats:
        return average_precision_influences(positive[mask], scores[mask])

    n = len(scores)
    return (
        joint("roc_auc", n, auc, scale="share", better="higher", evidence=rarer, units=units),
        joint(
            "average_precision",
            n,
            precision,
            scale="share",
            better="higher",
            evidence=rarer,
            units=units,
        ),
    )


def auc_influences(positive: Mask, scores: Floats) -> Floats:
    """Influences on the probability that a positive row outranks a negative one, ties half: [n].

    Of each row, the share of the other class that is ranked as it should be (its placement),
    from ranks (DeLong 1988; Sun and Xu 2014).
    """
    from scipy.stats import rankdata

    n, positives = len(scores), int(positive.sum())
    negatives = n - positives
    if not positives or not negatives:
        return np.full(n, math.nan)
    placements = np.empty(n)
    ranks = rankdata(scores)
    placements[positive] = (ranks[positive] - rankdata(scores[positive])) / negatives
    placements[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / positives
    area = float(placements[positive].mean())
    sizes = np.where(positive, positives, negatives)
    return area + (placements - area) * (n / sizes)


def average_precision_influences(positive: Mask, scores: Floats) -> Floats:
    """Influences on the mean, over positive rows, of the precision down to their score: [n].

    A row moves the precision at every positive row that is ranked no higher than itself, and a
    positive row also weighs its own.
    """
    n, positives = len(scores), int(positive.sum())
    if not positives or positives == n:
        return np.full(n, math.nan)
    order = np.argsort(-scores, kind="stable")
    hits, sorted_scores = positive[order].astype(float), scores[order]
    # Rows of one score are taken together: the last of them has their counts.
    last = np.searchsorted(-sorted_scores, -sorted_scores, side="right") - 1
    first = np.searchsorted(-sorted_scores, -sorted_scores, side="left")
    precision, retrieved = (np.cumsum(hits) / np.arange(1, n + 1))[last], (last + 1).astype(float)
    average = float((hits * precision).sum() / positives)
    # Sums over the positive rows that are ranked no higher.
    shares, products = (
        np.cumsum((hits * part)[::-1])[::-1][first]
        for part in (1 / retrieved, precision / retrieved)
    )
    moved = hits * shares - products + hits * (precision - average)
    influences = np.empty(n)
    influences[order] = average + moved * (n / positives)
    return influences
