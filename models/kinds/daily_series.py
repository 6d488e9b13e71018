"""Daily series: the number of a coming day, with an interval, from the days before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Gate,
    MaximumRegression,
    SamePredictions,
    WithinBudget,
)
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import Floats, Mask, RowMetric
from overnight.models.metrics.measuring import measured
from overnight.models.metrics.numbers import bias_row, number_rows, quantile_rows
from overnight.models.moving_holdout import DAY, MovingHoldout, day_column
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Forecast, Schema, TensorSpec

RECENT, LEAD = "recent", "lead_days"
_WEEK = 7


@dataclass(frozen=True)
class DailySeries:
    """A number for each day and series: inputs, output, metrics and gates of its forecast.

    Rows have the columns `series` (a text), `day` (a date) and `value`. Each day is
    an example, forecast so many days ahead as `lead_days` says, from the `recent_days` days that
    were known then. The newest `judged_days` days of each snapshot are the holdout.

    The output has the `quantiles`, in rising order, of which the middle one is the forecast. An
    answer counts as right when the truth is within the outer two, and a served one counts as the
    network's within `same_within`, in the unit of the value.
    """

    series: str
    value: str
    same_within: float
    recent_days: int = 28
    furthest_days: int = 7
    judged_days: int = 28
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    maximum: float = 1e9

    def __post_init__(self) -> None:
        """Check the numbers of days.

        Raises:
            ConfigurationError: fewer recent days than the rule of a week ago needs.
        """
        if self.recent_days < _WEEK or self.furthest_days < 1 or self.judged_days < 1:
            raise ConfigurationError(
                f"DailySeries: expected recent_days of {_WEEK} at least, and furthest_days and "
                f"judged_days of 1 at least, found {self.recent_days}, {self.furthest_days} and "
                f"{self.judged_days}"
            )

    @property
    def tolerance(self) -> Tolerance:
        """How far a served number may be from the network's and count as the same."""
        return Tolerance(absolute=self.same_within, relative=0.02)

    @property
    def columns(self) -> pa.Schema:
        """The columns of every file; a day without a value is no example."""
        types = {self.series: pa.string(), DAY: pa.date32(), self.value: pa.float32()}
        return pa.schema([pa.field(n, kind, n == self.value) for n, kind in types.items()])

    @property
    def moving_holdout(self) -> MovingHoldout:
        """The newest days, each with its past as it was known at its forecast."""
        return MovingHoldout(self.judged_days, self.later_examples)

    def schema(self, series: TensorSpec) -> Schema:
        """The signature: `series`, its recent values [recent_days], the day and its lead."""
        recent = TensorSpec(
            name=RECENT,
            datatype="FP32",
            shape=(self.recent_days,),
            maximum=self.maximum,
            description=f"{self.value} of the days up to the newest known one, oldest first",
        )
        lead = TensorSpec(
            name=LEAD, datatype="INT32", shape=(), minimum=1, maximum=self.furthest_days
        )
        forecast = TensorSpec(
            name=self.value,
            datatype="FP32",
            shape=(len(self.quantiles),),
            description=f"quantiles of {self.value}: {', '.join(map(str, self.quantiles))}",
        )
        roles = Forecast(history=RECENT, lead=LEAD, day=DAY, quantiles=self.quantiles)
        day = TensorSpec(name=DAY, datatype="INT32", shape=(), minimum=0, maximum=73_000, date=True)
        return Schema(inputs=(series, day, lead, recent), outputs=(forecast,), forecast=roles)

    def examples(self, rows: pa.Table) -> Examples:
        """Every day of `rows` that has a past of `recent_days`, at one lead each."""
        return self._of_days(rows, since=None)

    def later_examples(self, before: pa.Table, rows: pa.Table) -> Examples:
        """The days of `rows`, with the past in both as it was known at each forecast."""
        first = int(day_column(rows).to_numpy().min()) if rows.num_rows else None
        both = pa.concat_tables([before, rows.select(before.column_names)])
        return self._of_days(both if rows.num_rows else rows, since=first)

    def measure(self, holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
        """Every metric for gates and reports, whole and by slice; days are resampled together."""
        truth, answered = self._arrays(holdout, outputs)
        days = holdout.inputs[DAY].astype(np.int64)
        bias = bias_row(truth, answered[:, self._middle], units=days)
        return measured((*self.per_row(holdout, outputs), bias), holdout.slices)

    def per_row(self, holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
        """The metrics that gates compare; `week_ago_mae` and `week_ago_wape` are of that rule."""
        truth, answered = self._arrays(holdout, outputs)
        days, middle = holdout.inputs[DAY].astype(np.int64), answered[:, self._middle]
        naive = week_ago(holdout.inputs)
        return (
            *number_rows(truth, middle, {"week_ago": naive}, units=days),
            RowMetric("wape", np.abs(middle - truth), "lower", np.abs(truth), days),
            RowMetric("week_ago_wape", np.abs(naive - truth), "lower", np.abs(truth), days),
            *quantile_rows(truth, answered, self.quantiles, units=days),
        )

    def correct(self, holdout: Examples, outputs: Outputs) -> Mask:
        """Which true values lie within their interval, [n]."""
        truth, answered = self._arrays(holdout, outputs)
        inside: Mask = (answered[:, 0] <= truth) & (truth <= answered[:, -1])
        return inside

    def gates(
        self,
        at_most: Mapping[str, float],
        *,
        at_least: Mapping[str, float] | None = None,
        margin: float,
        metric: str = "wape",
        minimum_days: int = 21,
    ) -> tuple[Gate, ...]:
        """Bounds on metrics by name, better than the value of a week ago, not worse than the
        champion, the same answers in serving, and a budget.

        Args:
            margin: how much worse than the champion a version may at most be, in units of `metric`.
            minimum_days: how many days suffice for comparisons.
        """
        return (
            *(AtMost(name, bound) for name, bound in at_most.items()),
            *(AtLeast(name, bound) for name, bound in (at_least or {}).items()),
            BetterThan("wape", baseline="week_ago_wape", minimum_rows=minimum_days),
            MaximumRegression(margin, metric=metric, minimum_rows=minimum_days),
            SamePredictions(tolerance=10 * self.same_within, changed_share=0.01),
            WithinBudget(p99_ms=250, resident_mb=250, size_mb=5),
        )

    @property
    def _middle(self) -> int:
        return len(self.quantiles) // 2

    def _arrays(self, holdout: Examples, outputs: Outputs) -> tuple[Floats, Floats]:
        truth = holdout.labels_of(self.value).astype(np.float64)
        return truth, np.asarray(outputs[self.value], np.float64).reshape(len(truth), -1)

    def _of_days(self, rows: pa.Table, *, since: int | None) -> Examples:
        parts = [part for name, days in self._by_series(rows) for part in self._cut(name, days)]
        if since is not None:
            parts = [part for part in parts if part[1] >= since]
        names, day, lead, recent, labels = zip(*parts, strict=True) if parts else ((),) * 5
        # In order of days, so that rows of a day stand together.
        order = np.argsort(np.array(day, np.int64), kind="stable")
        inputs: dict[str, Array] = {
            self.series: np.array(names, object)[order],
            DAY: np.array(day, np.int32)[order],
            LEAD: np.array(lead, np.int32)[order],
            RECENT: np.array(recent, np.float32).reshape(-1, self.recent_days)[order],
        }
        return Examples(inputs, np.array(labels, np.float32)[order])

    def _by_series(self, rows: pa.Table) -> Iterator[tuple[str, Mapping[int, float]]]:
        values: dict[str, dict[int, float]] = {}
        columns = (rows.column(self.series), day_column(rows), rows.column(self.value))
        for name, day, value in zip(*(each.to_pylist() for each in columns), strict=True):
            if value is not None:
                values.setdefault(name, {})[day] = value
        yield from sorted(values.items())

    def _cut(
        self, name: str, known: Mapping[int, float]
    ) -> Iterator[tuple[str, int, int, NDArray[np.float32], float]]:
        """The examples of one series: one for each day whose value and past are known."""
        first, last = min(known), max(known)
        filled = np.full(last - first + 1, np.nan, np.float32)
        for day, value in known.items():
            filled[day - first] = value
        for place in np.flatnonzero(np.isnan(filled)):
            # A day without a row is as a week before; days within the first week are as the first.
            filled[place] = filled[place - _WEEK] if place >= _WEEK else filled[0]
        for day in sorted(known):
            # From the series and the day alone, so that the lead of a day never changes.
            lead = 1 + crc32(f"{name} {day}".encode()) % self.furthest_days
            end = day - lead - first + 1
            if end >= self.recent_days:
                yield name, day, lead, filled[end - self.recent_days : end], known[day]


def week_ago(inputs: Mapping[str, Array]) -> Floats:
    """The trivial forecast: the same weekday in the newest known week, [n]."""
    recent, lead = inputs[RECENT], inputs[LEAD].astype(np.int64)
    back = -(-lead // _WEEK) * _WEEK - lead
    places = recent.shape[1] - 1 - back
    naive: Floats = recent[np.arange(len(recent)), places].astype(np.float64)
    return naive
