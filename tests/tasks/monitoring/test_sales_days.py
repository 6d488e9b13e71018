"""Genuine days of sales: a known feast raises no alarm, and other units are not learned.

The forecasts are those of the same weekdays before, so that nothing is trained here.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models import sales
from overnight.models.definition import Delivery, Reading
from overnight.models.examples import Examples, Outputs
from overnight.models.reference import Reference, reference_of
from overnight.models.sales.data_gates import DATA_GATES
from overnight.models.sales.files import read_files
from overnight.models.sales.rows import COLUMNS
from overnight.models.sales.series import Panel, examples_of_days, panel
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.monitoring import DetectorState
from overnight.tasks.data.ingest import ingest
from overnight.tasks.monitoring import detector
from overnight.tasks.monitoring.distances import distances
from overnight.tasks.monitoring.drift import drift_update
from overnight.tasks.monitoring.evidence import alarmed, start
from tests.support.genuine_sales import STORES, day, parquet, rows, sold, year

MORE_STORES = (*STORES, 375, 318, 343, 359, 369, 381)
WATCHING = sales.DEFINITION.watching
WEEKDAYS = 8
HISTORY = 56
THANKSGIVING = datetime(2017, 11, 23, tzinfo=UTC)


def forecast(examples: Examples) -> Outputs:
    """P10, P50 and P90 by mean and variance of the same weekdays in the recent days."""
    recent, lead = examples.inputs["recent"], examples.inputs["lead_days"]
    places = (HISTORY - 1 + lead)[:, None] - 7 * np.arange(1, WEEKDAYS + 1)
    there = (places >= 0) & (places < HISTORY)
    values = np.where(there, np.take_along_axis(recent, places.clip(0, HISTORY - 1), 1), np.nan)
    mean = np.nanmean(values, axis=1)
    half = 1.28 * np.sqrt(np.nanvar(values, axis=1) + mean + 0.3)
    units = np.stack([np.maximum(mean - half, 0), mean, mean + half], axis=1)
    return {"units": units.astype(np.float32), "known": np.ones((len(mean), 2), np.uint8)}


def of_days(sums: Panel, first: str, last: str) -> Examples:
    return examples_of_days(sums, day(first), day(last))


@pytest.fixture(scope="module")
def sums() -> Panel:
    return panel(rows(sold("2017-01-01", "2017-12-10", stores=MORE_STORES)))


@pytest.fixture(scope="module")
def reference(sums: Panel) -> Reference:
    holdout = of_days(sums, "2017-10-23", "2017-11-18")
    return reference_of(
        sales.DEFINITION,
        "of-the-weekdays-before",
        training=of_days(sums, "2017-04-01", "2017-10-22"),
        holdout=holdout,
        outputs=forecast(holdout),
    )


def watched(
    sums: Panel, reference: Reference, factor: float
) -> Iterator[tuple[DetectorState, DetectorState]]:
    """Both detectors after each day of the week of Thanksgiving, of which `factor` is sold."""
    # Of a forecast an observation is a day.
    quality = start("quality", WATCHING.nights_per_false_alarm)
    drift = start("drift", WATCHING.nights_per_false_alarm)
    for number in range(-3, 4):
        date = THANKSGIVING + timedelta(days=number)
        today = of_days(sums, f"{date:%F}", f"{date:%F}")
        sent = today.inputs["recent"] * np.float32(factor)
        today = replace(
            today, inputs={**today.inputs, "recent": sent}, labels=today.labels * factor
        )
        outputs = forecast(today)
        losses, _ = detector.per_unit(
            ~sales.DEFINITION.correct(today, outputs), today.inputs["day"]
        )
        quality = detector.update(quality, losses, reference.bounds[""])
        measured = distances(reference, sales.DEFINITION, today.inputs, outputs)
        # Else the days would be too small to be judged.
        assert all(distance.e is not None for distance in measured)
        drift = drift_update(drift, measured, date)
        yield quality, drift


def test_the_week_of_thanksgiving_raises_no_alarm(sums: Panel, reference: Reference) -> None:
    week = list(watched(sums, reference, 1))

    assert [alarmed(state) for states in week for state in states] == [None] * 14


def test_a_week_in_other_units_raises_one(sums: Panel, reference: Reference) -> None:
    """So the test above would notice something."""
    week = list(watched(sums, reference, 1_000))

    changes = [change for _, drift in week if (change := alarmed(drift)) is not None]
    assert changes
    assert changes[0].part == "answers: units"
    assert changes[0].since is not None
    assert changes[0].since.date() < THANKSGIVING.date()


def night(date: str) -> pa.Table:
    """All lines of a trading day."""
    return sold(date, date, stores=tuple(pc.unique(year()["store_id"]).to_pylist()))


def in_other_units(lines: pa.Table, department: str) -> pa.Table:
    """The lines with a thousand times the quantities of one department."""
    own = pc.fill_null(pc.equal(lines["department"], department), False)
    quantity = pc.if_else(own, pc.multiply(lines["quantity"], 1_000), lines["quantity"])
    return lines.set_column(lines.column_names.index("quantity"), "quantity", quantity)


class Nights:
    """A source that delivers one file on each of three nights."""

    def __init__(self, **files: bytes) -> None:
        self.files = files

    def deliver(self, delivered) -> Delivery | None:
        names = (name for name in self.files if name not in delivered)
        return next((Delivery(name, {f"{name}.parquet": self.files[name]}) for name in names), None)

    def read(self, files) -> Reading:
        return read_files(files)

    def holdout(self) -> pa.Table:
        return COLUMNS.empty_table()


@pytest.mark.parametrize("department", ["GROCERY", "PASTRY", "SPIRITS", "FUEL"])
def test_a_department_in_other_units_is_refused_as_corrupt_and_not_learned(
    department: str, tmp_path: Path
) -> None:
    bucket = MemoryBucket()
    tables = [Dataset.in_folder(tmp_path, "sales", name) for name in ("rows", "holdout")]
    source = Nights(
        first=parquet(night("2017-11-02")),
        corrupt=parquet(in_other_units(night("2017-11-03"), department)),
        next=parquet(night("2017-11-04")),
    )

    ingested = [
        ingest(source, bucket, *tables, model="sales", take_next=True, gates=DATA_GATES)
        for _ in source.files
    ]

    assert [each.rows_added > 0 for each in ingested] == [True, False, True]
    reasons = [bad.reason for bad in ingested[1].quarantined] + [
        finding.message for finding in ingested[1].findings
    ]
    assert department in reasons[0] or "apart" in reasons[0]
    assert Landing(bucket, "sales").quarantined()
    assert "corrupt" not in set(tables[0].read()["arrival"].to_pylist())
