"""How well sales are forecast, held against what anybody could do: a rolling backtest.

    python -m benchmarks.sales.backtest [--cutoffs 8] [--seed 1]

Claims: docs/sales.md's table. At each cut-off every later sale is taken away (that 80
stores go by name, and which, was chosen on sales until 31 October); the network, and
gradient boosting from scikit-learn on the same numbers, learn from the days before the holdout, and
they, last week's day and the mean of 28 days are asked for the 28 days of the holdout. Holdouts
do not overlap. Intervals are 95 % over days drawn anew; differences are paired by day.
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
WHO = (NETWORK, BOOSTING, NAIVE, MEAN)
_ITERATIONS = 120


@dataclass(frozen=True)
class Asked:
    """One holdout: what was sold, what each said, whether the network's interval held it."""

    cutoff: str
    examples: Examples
    said: dict[str, Floats]
    inside: NDArray[np.bool_]
    cpu_seconds: dict[str, float]


def main() -> None:
    """Backtest, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cutoffs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rows = everything()
    found = []
    for cutoff in cutoffs(rows, chosen.cutoffs):
        found.append(backtest(rows, cutoff, chosen.seed))
        print(json.dumps(told(found[-1])), flush=True)
    for line in report(found):
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


def backtest(rows: pa.Table, cutoff: int, seed: int) -> Asked:
    """Everybody's forecasts of one holdout."""
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
    said = {
        NETWORK: np.asarray(answer["units"], np.float64)[:, 1],
        BOOSTING: boosted,
        NAIVE: metrics.seasonal_naive(holdout),
        MEAN: metrics.mean_of_28_days(holdout),
    }
    inside = metrics.in_interval(holdout, answer)
    return Asked(str(np.datetime64(cutoff - GAP_DAYS, "D")), holdout, said, inside, cpu)


def _boosted(training: Examples, holdout: Examples, seed: int) -> Floats:
    """The median by histogram gradient boosting, from all that the network is told."""
    from sklearn.ensemble import (  # type: ignore[import-untyped]
        HistGradientBoostingRegressor,
    )

    booster = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=_ITERATIONS, random_state=seed
    )
    booster.fit(_numbers(training), training.labels)
    found: Floats = np.maximum(booster.predict(_numbers(holdout)), 0.0)
    return found


def _numbers(examples: Examples) -> NDArray[np.float32]:
    """What trees like: the network's own features, codes and weekday as numbers, and the means."""
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


def told(asked: Asked) -> dict[str, float | str]:
    """One holdout in numbers."""
    labels = asked.examples.labels.astype(np.float64)
    errors = {who: float(np.abs(labels - asked.said[who]).sum() / labels.sum()) for who in WHO}
    return {
        "until": asked.cutoff,
        "rows": asked.examples.n,
        **{who: round(error, 4) for who, error in errors.items()},
        "coverage": round(float(asked.inside.mean()), 4),
        **{f"cpu {who}": round(seconds, 1) for who, seconds in asked.cpu_seconds.items()},
    }


def report(found: list[Asked]) -> Iterator[str]:
    """All holdouts together, with intervals, whole and by slice."""
    labels = np.concatenate([one.examples.labels for one in found]).astype(np.float64)
    days = np.concatenate([one.examples.inputs["day"] for one in found])
    said = {who: np.concatenate([one.said[who] for one in found]) for who in WHO}
    errors = {who: np.abs(labels - said[who]) for who in WHO}
    yield f"\n{len(found)} cut-offs, {len(np.unique(days))} days, {len(labels):,} forecasts"
    for who in WHO:
        value = errors[who].sum() / labels.sum()
        low, high = regression.resampled(errors[who], labels, days)
        better = regression.resampled(errors[who] - errors[NETWORK], labels, days)
        gap = (errors[who] - errors[NETWORK]).sum() / labels.sum()
        yield (
            f"{who:18} WAPE {value:.4f} ({low:.4f} to {high:.4f}); beside the network "
            f"{gap:+.4f} ({better[0]:+.4f} to {better[1]:+.4f})"
        )
    inside = np.concatenate([one.inside for one in found]).astype(np.float64)
    low, high = regression.resampled(inside, np.ones(len(inside)), days)
    yield f"interval coverage {inside.mean():.4f} ({low:.4f} to {high:.4f})"
    for name in (*DEPARTMENTS, "small stores", "large stores", "perishable", "holiday weeks"):
        mask = np.concatenate([one.examples.slices[name] for one in found])
        sold = labels[mask].sum()
        each = ", ".join(f"{who} {errors[who][mask].sum() / sold:.4f}" for who in WHO)
        yield f"{name:14} {each}, coverage {inside[mask].mean():.3f}"


if __name__ == "__main__":
    main()
