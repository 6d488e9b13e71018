"""Evaluations with chosen figures, for the tests of gates."""

import numpy as np

from overnight.models.gates import Gate
from overnight.models.metrics.evaluation import Evaluation, Paired, Rehearsal, RowMetric, Sameness
from overnight.store.registry.manifest import Finding, Measurement

STEP = 1e-9


def only(gate: Gate, evaluation: Evaluation) -> Finding:
    """The one finding of a gate."""
    (finding,) = gate.findings(evaluation)
    return finding


def measured(
    value: float,
    *,
    metric: str = "accuracy",
    n: int = 10_000,
    slice: str = "",
    low: float | None = None,
    high: float | None = None,
) -> Evaluation:
    """One measurement and nothing else."""
    one = Measurement(metric=metric, value=value, n=n, slice=slice, low=low, high=high)
    return Evaluation((one,))


def counted(better: int, worse: int, n: int = 10_000, slice: str = "") -> Evaluation:
    """A champion that was right on other rows."""
    return Evaluation((), champion="v1", paired=(paired(better, worse, n, slice),))


def paired(better: int, worse: int, n: int = 10_000, slice: str = "") -> Paired:
    return Paired(slice, n - better - worse, better, worse, 0)


def compared_row_by_row(
    mine: np.ndarray,
    theirs: np.ndarray,
    *,
    better: str = "lower",
    weights: np.ndarray | None = None,
    units: np.ndarray | None = None,
    slices: dict[str, np.ndarray] | None = None,
) -> Evaluation:
    """The metric `error`, told row by row of candidate and champion; `naive` is the champion's."""

    def row_metric(metric: str, values: np.ndarray) -> RowMetric:
        return RowMetric(metric, np.asarray(values, float), better, weights, units)  # type: ignore[arg-type]

    return Evaluation(
        (),
        champion="v1",
        rows=(row_metric("error", mine), row_metric("naive", theirs)),
        champion_rows=(row_metric("error", theirs),),
        slices=slices or {},
    )


def rehearsed(**changes: float) -> Evaluation:
    """What was exported is the same; what was rehearsed is as the changes say."""
    whole = {
        "n": 1000,
        "largest_difference": 0.0,
        "changed_answers": 0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "resident_mb": 50.0,
        "size_mb": 1.0,
    }
    rehearsal = Rehearsal(**{**whole, **changes})  # type: ignore[arg-type]
    return Evaluation((), rehearsal=rehearsal, exported=Sameness(1000, 0.0, 0))
