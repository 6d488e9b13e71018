"""What all gates share: the Protocol, how a finding is written, and when a declaration is wrong."""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding, Measurement

WHOLE = ("",)
# Below this, the 95 % interval of a share is wider than 0.35: no bound means anything.
MINIMUM_ROWS = 30
# One side of a 95 % interval: what medicine asks of a non-inferiority trial (ICH E9, 3.5).
ALPHA = 0.025


class Gate(Protocol):
    """Something a candidate must satisfy."""

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        """One finding for each slice the gate looks at, and never none."""


def finding(
    gate: Gate,
    metric: str,
    *,
    passed: bool,
    message: str,
    slice: str = "",
    value: float | None = None,
    bound: float | None = None,
    n: int | None = None,
    applicable: bool = True,
    low: float | None = None,
    high: float | None = None,
    p: float | None = None,
    alpha: float | None = None,
) -> Finding:
    """A finding that bears the gate's name; what is not finite is told in the message alone."""
    figures = {"value": value, "bound": bound, "low": low, "high": high, "p": p, "alpha": alpha}
    # JSON has no NaN: a manifest that held one could not be read again.
    told = {name: x for name, x in figures.items() if x is not None and math.isfinite(x)}
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=slice,
        passed=passed,
        message=message,
        n=n,
        applicable=applicable,
        **told,
    )


def broken(measurement: Measurement | None, metric: str, minimum_rows: int) -> str | None:
    """Why a measurement cannot be held against a bound, or None when it can."""
    if measurement is None:
        return f"{metric} was not measured"
    if measurement.n == 0:
        return f"{metric} was measured on no row"
    if not math.isfinite(measurement.value):
        return f"{metric} is {measurement.value}"
    return too_few(measurement.n, minimum_rows)


def too_few(n: int, minimum_rows: int) -> str | None:
    """Why so many rows say nothing, or None when they do."""
    return f"{n:,} rows, at least {minimum_rows:,} are needed" if n < minimum_rows else None


def too_small(gate: Gate, metric: str, slice: str, n: int, minimum_rows: int) -> Finding:
    """A slice that may be missing says nothing, and holds nothing up."""
    return finding(
        gate,
        metric,
        slice=slice,
        passed=True,
        applicable=False,
        message=f"{n:,} rows of {minimum_rows:,} that it would need; this slice may be missing",
        n=n,
    )


def check(
    gate: Gate,
    *,
    minimum_rows: int,
    names: Sequence[str] = WHOLE,
    alpha: float = ALPHA,
    **figures: float,
) -> None:
    """Refuse a declaration that could never refuse anything, or whose sign was confused.

    Args:
        names: the slices or perturbations the gate looks at.
        figures: bounds and margins by name; a margin is never negative.

    Raises:
        ConfigurationError: saying which gate, what was expected and what was found.
    """
    for name, value in figures.items():
        if not math.isfinite(value):
            raise mistake(gate, name, expected="a number", found=value)
        if name == "margin" and value < 0:
            raise mistake(gate, name, expected="at least 0 (its name says the sign)", found=value)
    if not names:
        raise mistake(gate, "slices", expected="at least one name", found=names)
    if len(set(names)) != len(names):
        raise mistake(gate, "slices", expected="each name once", found=names)
    if minimum_rows < 1:
        raise mistake(gate, "minimum_rows", expected="at least 1", found=minimum_rows)
    if not 0 < alpha <= 0.5:
        raise mistake(gate, "alpha", expected="above 0 and at most 0.5", found=alpha)


def mistake(gate: Gate, field: str, *, expected: str, found: object) -> ConfigurationError:
    """A declaration that is wrong, worded."""
    return ConfigurationError(
        f"{type(gate).__name__}.{field}: expected {expected}, found {found!r}; "
        "correct the model's gates"
    )
