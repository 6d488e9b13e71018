"""`Novelty`: when an input counts as unlike what a version learned from, as a model declares it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Array
from overnight.store.errors import ConfigurationError
from overnight.store.novelty import LearnedRange
from overnight.store.schema import Schema, TensorSpec

_HALF = 0.5
# 1 / 0.01 - 1 may be a little more than 99.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Novelty:
    """How much of what is like the training rows may be flagged as unlike them.

    Attributes:
        false_flags: the share of rows like the learned ones whose score flags them. The threshold
            is calibrated on the rows that validate the fit; it needs 1 / `false_flags` of them.
            Only a network whose export adds a score has one.
        margin: how far outside of the learned numbers another one may be, as a share of the width
            of their range. It holds for every input of numbers or dates without a margin of its
            own, except pictures. Whatever the margin, a negative number is unlike what was learned
            where no training row has one.
        margins: by input, in its own unit; of dates in days. None for an input whose numbers may
            be any.
    """

    false_flags: float = 0.01
    margin: float = 0.5
    margins: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: naming the one that is wrong.
        """
        if not 0 < self.false_flags <= _HALF:
            raise ConfigurationError(
                f"novelty: false_flags is {self.false_flags}; expected more than 0 and at most "
                f"{_HALF}, or novelty=None to flag nothing"
            )
        for name, margin in (("margin", self.margin), *self.margins.items()):
            if margin is not None and not 0 <= margin < math.inf:
                raise ConfigurationError(
                    f"novelty: the margin {name!r} is {margin}; expected 0 or more, or None for an "
                    "input whose numbers may be any"
                )

    @property
    def rows_needed(self) -> int:
        """How many rows a threshold needs at least."""
        return math.ceil(1 / self.false_flags - 1 - _ROUNDING)

    def check_inputs(self, model: str, tensors: Schema) -> None:
        """Check that margins are of inputs that can have one.

        Raises:
            ConfigurationError: naming the input that is none, or has no numbers.
        """
        known = [spec.name for spec in tensors.inputs if has_range(spec)]
        for name in self.margins:
            if name not in known:
                raise ConfigurationError(
                    f"{model}: novelty.margins has {name!r}; expected inputs of numbers or dates: "
                    f"{', '.join(known) or 'this model has none'}"
                )

    def ranges(self, tensors: Schema, inputs: Mapping[str, Array]) -> dict[str, LearnedRange]:
        """The range of each input of numbers, from the encoded training rows [n, …] by name."""
        ranges = {}
        for spec in tensors.inputs:
            own = self.margins.get(spec.name, self.margin)
            numbers = _numbers(inputs.get(spec.name)) if has_range(spec) else None
            if own is None or numbers is None or not len(numbers):
                continue
            low, high = float(numbers.min()), float(numbers.max())
            margin = own if spec.name in self.margins else own * (high - low)
            # Where nothing negative was learned, as of counts and prices, the sign itself is new.
            least = 0.0 if low >= 0 and not spec.date else None
            ranges[spec.name] = LearnedRange(low=low, high=high, margin=margin, least=least)
        return ranges


def has_range(spec: TensorSpec) -> bool:
    """Whether an input has numbers or dates that lie in a range; pictures and categories do not."""
    return spec.text is None and not (spec.vocabulary or spec.takes_pictures or spec.exact)


def threshold(scores: NDArray[Any], false_flags: float) -> float | None:
    """The score that a new row like these exceeds with at most this probability (Vovk 2005).

    Scores [n] must be of rows that neither trained nor are judged on. None where there are too few
    of them, or they are not numbers: then any score could be a familiar row's.
    """
    place = math.ceil((len(scores) + 1) * (1 - false_flags) - _ROUNDING)
    if place > len(scores) or not np.isfinite(scores).all():
        return None
    return float(np.sort(scores)[place - 1])


def _numbers(rows: Array | None) -> NDArray[Any] | None:
    """All numbers that are not missing; None where the rows have none."""
    if rows is None or rows.dtype.kind not in "iuf":
        return None
    flat: NDArray[Any] = rows.reshape(-1)
    finite: NDArray[Any] = flat[np.isfinite(flat)]
    return finite
