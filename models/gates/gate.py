"""Shared by all gates: the Protocol, the making of findings, and the check of declarations."""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding, Measurement

WHOLE = ("",)
# With fewer rows the 95 % interval of a share is wider than 0.35, and no bound is meaningful.
MINIMUM_ROWS = 30
# One side of a 95 % interval: what medicine asks of a non-inferiority trial (ICH E9, 3.5).
ALPHA = 0.025


class Gate(Protocol):
    """A condition that a candidate must satisfy."""

    def findings(self, evaluation: Evaluation) -> Iterable[Finding]:
        """One finding for each slice of the gate, at least one."""


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
    candidate: float | None = None,
    champion: float | None = None,
) -> Finding:
    """A finding of this gate; figures that are not finite stay in the message only.

    A gate's `direction` says how a value should stand to its bound, and its `presumed` what a test
    presumes of the candidate: as a rule that it is no better.
    """
    figures = {"value": value, "bound": bound, "low": low, "high": high, "p": p, "alpha": alpha}
    figures |= {"candidate": candidate, "champion": champion}
    # JSON has no NaN: a manifest that held one could not be read again.
    finite = {name: x for name, x in figures.items() if x is not None and math.isfinite(x)}
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=slice,
        passed=passed,
        message=message,
        n=n,
        applicable=applicable,
        direction=getattr(gate, "direction", None),
        presumed=None if p is None else getattr(gate, "presumed", "worse"),
        **finite,
    )


def unusable(measurement: Measurement | None, metric: str, minimum_rows: int) -> str | None:
    """Why a measurement cannot be compared with a bound, or None when it can."""
    if measurement is None:
        return f"{metric} was not measured"
    if measurement.n == 0:
        return f"{metric} was measured on no row"
    if not math.isfinite(measurement.value):
        return f"{metric} is {measurement.value}"
    return too_few(measurement.n, minimum_rows)


def too_few(n: int, minimum_rows: int) -> str | None:
    """Why so few rows cannot be judged, or None when they can."""
    return f"{n:,} rows, at least {minimum_rows:,} are needed" if n < minimum_rows else None


def not_applicable(gate: Gate, metric: str, slice: str, n: int, minimum_rows: int) -> Finding:
    """The finding of an optional slice with too few rows: passed, not applicable."""
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
    """Reject a declaration that could never refuse a candidate, or with a wrong sign.

    Args:
        names: the slices or perturbations of the gate.
        figures: bounds and margins by name; a margin is never negative.

    Raises:
        ConfigurationError: saying which gate, what was expected and what was found.
    """
    for name, value in figures.items():
        if not math.isfinite(value):
            raise invalid(gate, name, expected="a number", found=value)
        if name == "margin" and value < 0:
            raise invalid(gate, name, expected="at least 0 (its name says the sign)", found=value)
    if not names:
        raise invalid(gate, "slices", expected="at least one name", found=names)
    if len(set(names)) != len(names):
        raise invalid(gate, "slices", expected="each name once", found=names)
    if minimum_rows < 1:
        raise invalid(gate, "minimum_rows", expected="at least 1", found=minimum_rows)
    if not 0 < alpha <= 0.5:
        raise invalid(gate, "alpha", expected="above 0 and at most 0.5", found=alpha)


def invalid(gate: Gate, field: str, *, expected: str, found: object) -> ConfigurationError:
    """The error of an invalid declaration."""
    return ConfigurationError(
        f"{type(gate).__name__}.{field}: expected {expected}, found {found!r}; "
        "correct the model's gates"
    )
