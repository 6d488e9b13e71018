"""What the schema allows: rows held against it, and the first that is not so."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import BadInput
from overnight.serving.inference import vocabulary
from overnight.store.schema import TensorSpec

Array = NDArray[Any]


def check_range(spec: TensorSpec, rows: Array, *, field: str) -> None:
    """Hold rows against what the schema allows.

    Raises:
        BadInput: naming the first element that is not finite or outside the range.
    """
    if spec.datatype.startswith("FP"):
        wrong = np.isinf(rows) if spec.nullable else ~np.isfinite(rows)
        if wrong.any():
            raise at(field, rows, wrong, expected="finite numbers")
    low, high = spec.minimum, spec.maximum
    if low is not None and (rows < low).any():
        raise _beyond(spec, field, rows, rows < low)
    if high is not None and (rows > high).any():
        raise _beyond(spec, field, rows, rows > high)


def at(field: str, rows: Array, wrong: NDArray[np.bool_], *, expected: str) -> BadInput:
    place = tuple(np.argwhere(wrong)[0])
    return BadInput(f"{field}{where(place)}", expected=expected, found=str(rows[place]))


def where(place: Sequence[Any]) -> str:
    return "".join(f"[{axis}]" for axis in place)


def _beyond(spec: TensorSpec, field: str, rows: Array, wrong: NDArray[np.bool_]) -> BadInput:
    """What is below the lowest or above the highest value; days are told as dates."""
    place = tuple(np.argwhere(wrong)[0])
    low, high = spec.minimum, spec.maximum
    if spec.date:
        since = f" from {vocabulary.as_date(low)}" if low is not None else ""
        until = f" to {vocabulary.as_date(high)}" if high is not None else ""
        told = f"{vocabulary.as_date(float(rows[place]))} ({rows[place]} days since 1970-01-01)"
        return BadInput(f"{field}{where(place)}", expected=f"a day{since}{until}", found=told)
    is_low = low is not None and rows[place] < low
    expected = f"numbers of at least {low:g}" if is_low else f"numbers of at most {high:g}"
    return BadInput(f"{field}{where(place)}", expected=expected, found=str(rows[place]))
