"""Measurements of row metrics: whole and by slice, each with the interval of its kind."""

from collections.abc import Iterable, Mapping

import numpy as np

from overnight.models.examples import Examples
from overnight.models.metrics.classification import share
from overnight.models.metrics.evaluation import Mask, RowMetric, Units
from overnight.models.metrics.joint import measurement
from overnight.models.metrics.regression import ratio
from overnight.store.registry.manifest import Measurement


def measured(rows: Iterable[RowMetric], slices: Mapping[str, Mask]) -> tuple[Measurement, ...]:
    """Each metric on all rows, and then on each slice."""
    return tuple(
        measure_rows(row, mask, name)
        for row in rows
        for name, mask in {"": np.ones(len(row.values), np.bool_), **slices}.items()
    )


def measure_rows(row: RowMetric, mask: Mask, slice: str = "") -> Measurement:
    """A metric on the rows of a mask, with its 95 % interval.

    A share of independent rows has that of Wilson (1927), another mean or ratio a bootstrap's
    (Efron 1979), a metric of all rows together that of its influences.
    """
    if row.joint is not None:
        return measurement(row, mask, slice)
    values, weights = row.chosen(mask)
    counted = weights != 0
    if row.units is None and np.isin(values, (0, 1)).all() and np.isin(weights, (0, 1)).all():
        return share(row.metric, values[counted] == 1, slice=slice)
    # Rows that weigh nothing are no evidence, but their values may count: absolute errors do.
    bootstrapped = ratio(row, mask, slice)
    return bootstrapped.model_copy(update={"n": int((counted | (values != 0)).sum())})


def units_of(examples: Examples) -> Units | None:
    """The number of each row's group, [n]: rows of a group are no independent evidence."""
    if examples.groups is None:
        return None
    # As texts, because None is among the groups of objects, and has no order.
    return np.unique(examples.groups.astype(str), return_inverse=True)[1]
