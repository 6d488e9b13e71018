"""Tell two versions apart: data, settings, code, packages, metrics, and where they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.tasks.evaluation.explain import Axis, Present, explain


@dataclass(frozen=True)
class Disagreement:
    """One holdout row that two versions answer otherwise, `label` being the truth."""

    row: int
    label: str
    first: str
    second: str


@dataclass(frozen=True)
class Difference:
    """How a second version differs from a first, on the holdout as it is today.

    `measured` pairs the measurements of both on the same rows; `changed` counts the rows that are
    answered otherwise, of which `examples` tells some; `gained` and `lost` count those that only
    the second, or only the first, answers rightly.
    """

    first: str
    second: str
    axes: tuple[Axis, ...]
    measured: tuple[tuple[Measurement, Measurement], ...]
    rows: int
    changed: int
    gained: int
    lost: int
    examples: tuple[Disagreement, ...]


def difference(
    definition: ModelDefinition,
    manifests: tuple[Manifest, Manifest],
    outputs: tuple[Outputs, Outputs],
    *,
    holdout: Examples,
    shown: int = 20,
) -> Difference:
    """Compare two versions of one model that answered the same holdout rows."""
    made, other = manifests
    first, second = outputs
    now = Present(other.data, other.code, other.environment, other.training.settings)
    measured = zip(
        definition.measure(holdout, first), definition.measure(holdout, second), strict=True
    )
    right = [np.asarray(definition.correct(holdout, one)) for one in outputs]
    name = definition.tensors.outputs[0].name
    then, there = np.asarray(first[name]), np.asarray(second[name])
    labels = definition.tensors.labels
    rows = _disagreeing(then, there, classes=bool(labels))
    return Difference(
        first=made.version,
        second=other.version,
        axes=explain(made, now),
        measured=tuple(measured),
        rows=holdout.n,
        changed=len(rows),
        gained=int((right[1] & ~right[0]).sum()),
        lost=int((right[0] & ~right[1]).sum()),
        examples=tuple(
            Disagreement(
                row=int(row),
                label=_named(labels, holdout.labels[row]),
                first=_told(labels, then[row]),
                second=_told(labels, there[row]),
            )
            for row in rows[:shown]
        ),
    )


def _disagreeing(then: Array, now: Array, *, classes: bool) -> Sequence[int]:
    """Rows with another answer, those first of which the second version is surest.

    Where the answer is no class but numbers, those first that moved furthest.
    """
    if classes:
        rows = np.flatnonzero(then.argmax(axis=1) != now.argmax(axis=1))
        strength = now[rows].max(axis=1)
    else:
        apart = np.abs(now.astype(np.float64) - then.astype(np.float64))
        moved = apart.reshape(len(then), -1).max(axis=1)
        rows = np.flatnonzero(moved > 0)
        strength = moved[rows]
    found: Sequence[int] = rows[np.argsort(-strength, kind="stable")].tolist()
    return found


def _told(labels: Sequence[str], answer: Array) -> str:
    if not labels:
        return ", ".join(f"{float(one):.6g}" for one in answer.ravel())
    best = int(answer.argmax())
    return f"{_named(labels, best)} {float(answer.max()):.0%}"


def _named(labels: Sequence[str], label: object) -> str:
    if labels and isinstance(label, int | np.integer) and 0 <= int(label) < len(labels):
        return labels[int(label)]
    return str(label)
