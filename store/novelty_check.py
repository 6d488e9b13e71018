"""Which rows are unlike what a version learned from, by the rule in its manifest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.input_encodings import as_date
from overnight.store.novelty import SCORE_OUTPUT, LearnedRange
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import TensorSpec

Array = NDArray[Any]
Reason = dict[str, str | int]

LISTED_ROWS = 128


class NoveltyCheck:
    """The rule of one version.

    `outputs` names what it reads of the network beside the outputs that are asked for.
    """

    def __init__(self, manifest: Manifest) -> None:
        """`manifest` has a rule."""
        rule = manifest.novelty
        assert rule is not None
        self.outputs = (SCORE_OUTPUT,) if rule.threshold is not None else ()
        self._threshold = rule.threshold
        specs = manifest.tensors.inputs
        self._ranges = [
            (spec, rule.ranges[spec.name]) for spec in specs if spec.name in rule.ranges
        ]
        self._others = [
            (spec, spec.vocabulary.index(spec.otherwise)) for spec in specs if spec.otherwise
        ]

    def score(self, inputs: Mapping[str, Array], answers: dict[str, Array]) -> Array | None:
        """How unlike each row is, [n]: unlike above 1; None where no row is.

        It is the share of the threshold that the network's score reaches, which is taken out of
        `answers`, and infinite for what is outside of a range or a vocabulary.
        """
        ratios: Array | None = None
        if self._threshold is not None:
            scores = answers.pop(SCORE_OUTPUT)
            # Of one row, which most requests have, a comparison in numpy costs ten times as much.
            highest = scores.item() if scores.size == 1 else scores.max()
            # Not `>`: a score that is no number says nothing good of its row.
            if not highest <= self._threshold:
                with np.errstate(divide="ignore", invalid="ignore"):
                    shares = scores.reshape(-1).astype(np.float64) / self._threshold
                ratios = np.nan_to_num(shares, nan=np.inf)
        for wrong in self._outside(inputs):
            if ratios is None:
                ratios = np.zeros(len(wrong))
            ratios[wrong] = np.inf
        return ratios

    def reasons(
        self, inputs: Mapping[str, Array], ratios: Array, *, most: int | None = LISTED_ROWS
    ) -> list[Reason]:
        """Why the first unlike rows are: `row`, `why`, and the `input` where it is one.

        `most`: of how many rows, None for all.
        """
        listed: list[Reason] = []
        for row in np.flatnonzero(ratios > 1)[:most].tolist():
            own = {name: rows[row : row + 1] for name, rows in inputs.items()}
            listed += [
                {"row": row, "input": name, "why": why} for name, why in self._named(own)
            ] or [{"row": row, "why": f"its features score {ratios[row]:.3g}, at most 1 is usual"}]
        return listed

    def _outside(self, inputs: Mapping[str, Array]) -> list[NDArray[np.bool_]]:
        """For each input that has any: which rows are outside, [n]."""
        masks = [_outside(learned, inputs.get(spec.name)) for spec, learned in self._ranges]
        masks += [_has(number, inputs.get(spec.name)) for spec, number in self._others]
        return [wrong for wrong in masks if wrong is not None]

    def _named(self, row: Mapping[str, Array]) -> list[tuple[str, str]]:
        """The inputs by which one row is unlike, and why."""
        named = []
        for spec, learned in self._ranges:
            if _outside(learned, row.get(spec.name)) is not None:
                named.append((spec.name, f"outside of {_range(spec, learned)}, which was learned"))
        for spec, number in self._others:
            if _has(number, row.get(spec.name)) is not None:
                named.append((spec.name, f"not in its vocabulary, taken for {spec.otherwise!r}"))
        return named


def _outside(learned: LearnedRange, rows: Array | None) -> NDArray[np.bool_] | None:
    """Which rows have a number outside, [n]; None where none has, or they are no numbers."""
    if rows is None or rows.dtype.kind not in "iuf" or not rows.size:
        return None
    low, high = learned.bounds
    if rows.size == 1:
        # A missing value, NaN, is neither.
        number = rows.item()
        return np.ones(1, np.bool_) if number < low or number > high else None
    wrong = (rows < low) | (rows > high)
    return np.asarray(wrong.reshape(len(rows), -1).any(axis=1)) if wrong.any() else None


def _has(number: int, rows: Array | None) -> NDArray[np.bool_] | None:
    """Which rows have this number, [n]; None where none has."""
    if rows is None or rows.dtype.kind not in "iuf" or not rows.size:
        return None
    if rows.size == 1:
        return np.ones(1, np.bool_) if rows.item() == number else None
    equal = np.asarray(rows == number, np.bool_)
    return np.asarray(equal.reshape(len(rows), -1).any(axis=1)) if equal.any() else None


def _range(spec: TensorSpec, learned: LearnedRange) -> str:
    if spec.date:
        return f"{as_date(learned.low)} to {as_date(learned.high)}"
    return f"{learned.low:g} to {learned.high:g}"
