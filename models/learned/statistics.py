"""Statistics of numbers and dates, learned for the build of a network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.models.learner import Array, present, redeclared
from overnight.store.errors import ConfigurationError
from overnight.store.input_encodings import Missing, day_number
from overnight.store.schema import TensorSpec


@dataclass(frozen=True)
class MeanAndDeviation:
    """Mean and standard deviation of an input's values, over all of its elements; of dates in days.

    The deviation of a constant is given as 1, so that a network can divide by it. Missing values
    without a declared replacement are replaced by the mean.
    """

    def __call__(self, published: Array, spec: TensorSpec) -> TensorSpec:
        """The input with `mean` and `deviation`."""
        values = _numbers(published, spec)
        # The mean of equal values is rounded, and so their deviation is not always 0.
        is_constant = values[0] == values[-1]
        mean = float(values[0] if is_constant else values.mean())
        deviation = 0.0 if is_constant else float(values.std())
        missing = _replaced_by(mean, spec)
        return redeclared(spec, mean=mean, deviation=deviation or 1.0, missing=missing)


@dataclass(frozen=True)
class Borders:
    """Borders that cut an input's values into `buckets` of about equally many.

    Missing values without a declared replacement are replaced by the median.
    """

    buckets: int = 10

    def __call__(self, published: Array, spec: TensorSpec) -> TensorSpec:
        """The input with `borders`: at most one fewer than buckets, and fewer of few values."""
        values = _numbers(published, spec)
        shares = np.arange(1, self.buckets) / self.buckets
        borders = tuple(float(border) for border in np.unique(np.quantile(values, shares)))
        missing = _replaced_by(float(np.median(values)), spec)
        return redeclared(spec, borders=borders, missing=missing)


def _numbers(published: Array, spec: TensorSpec) -> NDArray[np.float64]:
    """All values that are not missing, in rising order: sums depend on the order of their terms.

    Raises:
        ConfigurationError: the input has no numbers.
        ValueError: every value is missing.
    """
    values: Any = published
    if published.dtype.kind in "OUS":
        values = list(present(published))
    if spec.date:
        values = [day_number(value) if isinstance(value, str) else value for value in values]
    elif spec.accepts_text or any(isinstance(value, str) for value in values[:1]):
        raise ConfigurationError(
            f"{spec.name}: statistics are learned of numbers and dates, not of texts or categories"
        )
    numbers = np.asarray(values, np.float64).reshape(-1)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    if not len(numbers):
        raise ValueError(f"{spec.name}: every value is missing, so there is nothing to learn")
    return numbers


def _replaced_by(value: float, spec: TensorSpec) -> Missing | None:
    """What replaces missing values: the declared value, or else this one."""
    if spec.missing is None or spec.missing.value is not None:
        return spec.missing
    whole = spec.datatype.startswith(("INT", "UINT", "BOOL"))
    return Missing(value=round(value) if whole else value, flag=spec.missing.flag)
