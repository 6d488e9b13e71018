"""Metrics of predicted numbers: errors, bias, explained variance, and quantiles."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from overnight.models.metrics.evaluation import Floats, RowMetric, Units
from overnight.models.metrics.joint import joint


def number_rows(
    truth: Floats,
    answered: Floats,
    baselines: Mapping[str, Floats] | None = None,
    *,
    units: Units | None = None,
) -> tuple[RowMetric, ...]:
    """`mae`, `rmse` and `r2`, and the `mae` of baselines, as metrics of rows.

    Args:
        truth: [n].
        answered: [n] predicted numbers.
        baselines: predictions of trivial rules, [n] by name; each becomes `<name>_mae`.
        units: [n] rows with the same number belong together.
    """
    errors = answered - truth
    n = len(truth)
    return (
        RowMetric("mae", np.abs(errors), "lower", units=units),
        joint(
            "rmse",
            n,
            lambda mask: rmse_influences(errors[mask]),
            scale="positive",
            better="lower",
            units=units,
        ),
        joint(
            "r2",
            n,
            lambda mask: r2_influences(truth[mask], errors[mask]),
            scale="any",
            better="higher",
            units=units,
        ),
        *(
            RowMetric(f"{name}_mae", np.abs(guessed - truth), "lower", units=units)
            for name, guessed in (baselines or {}).items()
        ),
    )


def bias_row(truth: Floats, answered: Floats, *, units: Units | None = None) -> RowMetric:
    """`bias`, the mean of answer minus truth. Neither way is better: bound it from both sides."""
    return RowMetric("bias", answered - truth, "lower", units=units)


def quantile_rows(
    truth: Floats, answered: Floats, quantiles: Sequence[float], *, units: Units | None = None
) -> tuple[RowMetric, ...]:
    """`pinball` over all quantiles, and `interval_coverage` of the outer two, row by row.

    Args:
        truth: [n].
        answered: [n, quantiles], in the order of `quantiles`, which rise.
    """
    inside = (answered[:, 0] <= truth) & (truth <= answered[:, -1])
    return (
        RowMetric("pinball", pinball_losses(truth, answered, quantiles), "lower", units=units),
        RowMetric("interval_coverage", inside.astype(float), "higher", units=units),
    )


def pinball_losses(truth: Floats, answered: Floats, quantiles: Sequence[float]) -> Floats:
    """The loss that is least at the quantiles (Koenker and Bassett 1978), mean of all: [n]."""
    shares, missed = np.asarray(quantiles, np.float64), truth[:, None] - answered
    losses: Floats = np.maximum(shares * missed, (shares - 1) * missed).mean(axis=1)
    return losses


def rmse_influences(errors: Floats) -> Floats:
    """Influences on the root of the mean squared error, [n]."""
    squares = errors**2
    root = math.sqrt(squares.mean()) if len(errors) else math.nan
    return root + (squares - squares.mean()) / (2 * root) if root > 0 else np.zeros(len(errors))


def r2_influences(truth: Floats, errors: Floats) -> Floats:
    """Influences on the share of the truth's variance that is explained, [n]; NaN without any."""
    if not len(truth) or not (variance := float(((truth - truth.mean()) ** 2).mean())) > 0:
        return np.full(len(truth), math.nan)
    squares, apart = errors**2, (truth - truth.mean()) ** 2
    unexplained = float(squares.mean()) / variance
    moved = -(squares - squares.mean()) / variance + unexplained * (apart - variance) / variance
    influences: Floats = 1 - unexplained + moved
    return influences
