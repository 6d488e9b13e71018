"""Claim: the table of docs/sales.md: forecasts compared with baselines in a rolling backtest.

    python -m benchmarks.sales.backtest [--cutoffs 8] [--seed 1]

Claim: the table in docs/sales.md. At each cut-off all later sales are removed (only the 80 stores
of the vocabulary were chosen on sales until 31 October). The network, and gradient boosting from
scikit-learn on the same numbers, learn from the days before the holdout; they, the same weekday of
last week and the mean of 28 days predict the 28 days of the holdout. Holdouts do not overlap.
Intervals are 95 % over resampled days; differences are paired by day.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Examples
from overnight.models.metrics import regression
from overnight.models.sales import DEFINITION, metrics
from overnight.models.sales.files import read_files
from overnight.models.sales.schema import DEPARTMENTS, GAP_DAYS
from overnight.models.sales.series import HELD_DAYS, JUDGED_DAYS
from overnight.models.sales.source import package_folder, read_lines

Floats = NDArray[np.float64]
NETWORK, BOOSTING, NAIVE, MEAN = "network", "gradient boosting", "seasonal naive", "28-day mean"
METHODS = (NETWORK, BOOSTING, NAIVE, MEAN)
_ITERATIONS = 120


@dataclass(frozen=True)
class Backtest:
    """One holdout: its examples, all forecasts, and the rows inside the network's interval."""

    cutoff: str
    examples: Examples
    forecasts: dict[str, Floats]
    inside: NDArray[np.bool_]
    cpu_seconds: dict[str, float]


def main() -> None:
    """Backtest, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cutoffs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rows = everything()
    backtests = []
    for cutoff in cutoffs(rows, chosen.cutoffs):
        backtests.append(run_backtest(rows, cutoff, chosen.seed))
        print(json.dumps(to_json(backtests[-1])), flush=True)
    for line in report(backtests):
        print(line)


def everything() -> pa.Table:
    """The year's rows, as if every basket had come in time."""
    sink = pa.BufferOutputStream()
    pq.write_table(read_lines(package_folder()), sink)
    return read_files({"year.parquet": bytes(sink.getvalue())}).rows


def cutoffs(rows: pa.Table, n: int) -> list[int]:
    """The newest days of snapshots whose holdouts follow one another, the last at the end."""
    last = int(pc.max(rows["day"]).as_py())
    return [last - JUDGED_DAYS * back for back in reversed(range(n))]


def run_backtest(rows: pa.Table, cutoff: int, seed: int) -> Backtest:
    """All forecasts of one holdout."""
    from overnight.models.sales import network
    from overnight.tasks.training.worker import split

    assert DEFINITION.moving_holdout is not None
    judged_from = cutoff - HELD_DAYS + 1
    before = rows.filter(pc.less(rows["day"], judged_from))
    held = rows.filter(
        pc.and_(pc.greater_equal(rows["day"], judged_from), pc.less_equal(rows["day"], cutoff))
    )
    training, holdout = (
        DEFINITION.examples(before),
        DEFINITION.moving_holdout.examples(before, held),
    )
    settings = TrainingSettings(**DEFINITION.settings.model_dump() | {"seed": seed})
    began = time.process_time()
    fitted = network.fit(*split(training, settings), settings=settings, report=lambda _: None)
    answer = network.predict(fitted.network, holdout.inputs)
    learned = time.process_time()
    boosted = _boosted(training, holdout, seed)
    cpu = {NETWORK: learned - began, BOOSTING: time.process_time() - learned}
    forecasts = {
        NETWORK: np.asarray(answer["units"], np.float64)[:, 1],
        BOOSTING: boosted,
        NAIVE: metrics.seasonal_naive(holdout),
        MEAN: metrics.mean_of_28_days(holdout),
    }
    inside = metrics.in_interval(holdout, answer)
    return Backtest(str(np.datetime64(cutoff - GAP_DAYS, "D")), holdout, forecasts, inside, cpu)


def _boosted(training: Examples, holdout: Examples, seed: int) -> Floats:
    """The median by histogram gradient boosting, from the network's inputs."""
    from sklearn.ensemble import (  # type: ignore[import-untyped]
        HistGradientBoostingRegressor,
    )

    booster = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=_ITERATIONS, random_state=seed
    )
    booster.fit(_numbers(training), training.labels_of())
    median: Floats = np.maximum(booster.predict(_numbers(holdout)), 0.0)
    return median


def _numbers(examples: Examples) -> NDArray[np.float32]:
    """Features for trees: the network's features, codes and weekday as numbers, and the means."""
    from overnight.models.sales.preprocessing import Prepared

    inputs = examples.inputs
    prepared = Prepared()([inputs["day"], inputs["lead_days"], inputs["recent"]])
    codes = [inputs[name] for name in ("store", "department", "lead_days")]
    columns = [
        *(part.numpy() for part in prepared),
        np.stack([*codes, (inputs["day"] + 3) % 7], axis=1).astype(np.float32),
        np.stack([metrics.seasonal_naive(examples), metrics.mean_of_28_days(examples)], axis=1),
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def to_json(backtest: Backtest) -> dict[str, float | str]:
    """One holdout in numbers."""
    labels = backtest.examples.labels_of().astype(np.float64)
    errors = {
        method: float(np.abs(labels - backtest.forecasts[method]).sum() / labels.sum())
        for method in METHODS
    }
    return {
        "until": backtest.cutoff,
        "rows": backtest.examples.n,
        **{method: round(error, 4) for method, error in errors.items()},
        "coverage": round(float(backtest.inside.mean()), 4),
        **{f"cpu {method}": round(seconds, 1) for method, seconds in backtest.cpu_seconds.items()},
    }


def report(backtests: list[Backtest]) -> Iterator[str]:
    """All holdouts together, with intervals, whole and by slice."""
    labels = np.concatenate([backtest.examples.labels_of() for backtest in backtests]).astype(
        np.float64
    )
    days = np.concatenate([backtest.examples.inputs["day"] for backtest in backtests])
    forecasts = {
        method: np.concatenate([backtest.forecasts[method] for backtest in backtests])
        for method in METHODS
    }
    errors = {method: np.abs(labels - forecasts[method]) for method in METHODS}
    yield f"\n{len(backtests)} cut-offs, {len(np.unique(days))} days, {len(labels):,} forecasts"
    for method in METHODS:
        value = errors[method].sum() / labels.sum()
        low, high = regression.resampled(errors[method], labels, days)
        better = regression.resampled(errors[method] - errors[NETWORK], labels, days)
        gap = (errors[method] - errors[NETWORK]).sum() / labels.sum()
        yield (
            f"{method:18} WAPE {value:.4f} ({low:.4f} to {high:.4f}); difference to the network "
            f"{gap:+.4f} ({better[0]:+.4f} to {better[1]:+.4f})"
        )
    inside = np.concatenate([backtest.inside for backtest in backtests]).astype(np.float64)
    low, high = regression.resampled(inside, np.ones(len(inside)), days)
    yield f"interval coverage {inside.mean():.4f} ({low:.4f} to {high:.4f})"
    for name in (*DEPARTMENTS, "small stores", "large stores", "perishable", "holiday weeks"):
        mask = np.concatenate([backtest.examples.slices[name] for backtest in backtests])
        sold = labels[mask].sum()
        each = ", ".join(f"{method} {errors[method][mask].sum() / sold:.4f}" for method in METHODS)
        yield f"{name:14} {each}, coverage {inside[mask].mean():.3f}"


if __name__ == "__main__":
    main()
