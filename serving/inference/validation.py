"""Range checks of arrays against the schema; errors name the first element out of range."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import BadInput
from overnight.store.input_encodings import as_date
from overnight.store.schema import TensorSpec

Array = NDArray[Any]


def check_range(spec: TensorSpec, rows: Array, *, field: str) -> None:
    """Check that rows are finite or missing, and within the range of the schema.

    Raises:
        BadInput: naming the first element that is not finite or outside the range.
    """
    if rows.dtype.kind == "f":
        wrong = np.isinf(rows) if spec.accepts_missing else ~np.isfinite(rows)
        if wrong.any():
            raise first_wrong(field, rows, wrong, expected="finite numbers")
    low, high = spec.minimum, spec.maximum
    if low is not None and (rows < low).any():
        raise _out_of_range(spec, field, rows, rows < low)
    if high is not None and (rows > high).any():
        raise _out_of_range(spec, field, rows, rows > high)


def first_wrong(field: str, rows: Array, wrong: NDArray[np.bool_], *, expected: str) -> BadInput:
    """The error of the first element that is `wrong`."""
    place = tuple(np.argwhere(wrong)[0])
    return BadInput(f"{field}{where(place)}", expected=expected, found=str(rows[place]))


def where(place: Sequence[Any]) -> str:
    """An index as it is written after a field: `[3][0]`."""
    return "".join(f"[{axis}]" for axis in place)


def _out_of_range(spec: TensorSpec, field: str, rows: Array, wrong: NDArray[np.bool_]) -> BadInput:
    """The error of the first element out of range; days are shown as dates."""
    place = tuple(np.argwhere(wrong)[0])
    low, high = spec.minimum, spec.maximum
    if spec.date:
        since = f" from {as_date(low)}" if low is not None else ""
        until = f" to {as_date(high)}" if high is not None else ""
        day = f"{as_date(float(rows[place]))} ({rows[place]} days since 1970-01-01)"
        return BadInput(f"{field}{where(place)}", expected=f"a day{since}{until}", found=day)
    is_low = low is not None and rows[place] < low
    expected = f"numbers of at least {low:g}" if is_low else f"numbers of at most {high:g}"
    return BadInput(f"{field}{where(place)}", expected=expected, found=str(rows[place]))
