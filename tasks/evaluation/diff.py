"""Compares two versions: data, settings, code, packages, metrics, and rows they disagree on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.metrics.equivalence import changed_rows, tolerance_of
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.tasks.evaluation.explain import Axis, Present, explain
from overnight.tasks.evaluation.published import measured_by

_SHOWN_NUMBERS = 8


@dataclass(frozen=True)
class Disagreement:
    """One holdout row that two versions answer differently; `label` is the truth."""

    row: int
    label: str
    first: str
    second: str


@dataclass(frozen=True)
class Difference:
    """How a second version differs from a first, on the holdout as it is now.

    `measured` pairs the measurements of both on the same rows. `changed` counts the rows that they
    answer differently, and `examples` holds some of these. `gained` counts the rows that only the
    second version answers correctly, `lost` those that only the first does. `further` counts the
    rows on which each further output differs, numbers by more than the model's tolerance.
    `left_out` says which rows of the holdout one of them cannot answer.
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
    left_out: str = ""
    further: tuple[tuple[str, int], ...] = ()


def difference(
    definition: ModelDefinition,
    manifests: tuple[Manifest, Manifest],
    outputs: tuple[Outputs, Outputs],
    *,
    holdout: Examples,
    shown: int = 20,
    left_out: str = "",
) -> Difference:
    """Compare two versions of one model that answered the same holdout rows.

    Raises:
        IncomparableVersions: the model's metrics need an output that one of them does not have.
    """
    first_manifest, second_manifest = manifests
    first, second = outputs
    second_lineage = Present(
        second_manifest.data,
        second_manifest.code,
        second_manifest.environment,
        second_manifest.training.settings,
        tensors=second_manifest.tensors,
    )
    measured = zip(
        measured_by(definition, holdout, first),
        measured_by(definition, holdout, second),
        strict=True,
    )
    correct = [np.asarray(definition.correct(holdout, answered)) for answered in outputs]
    name = definition.tensors.outputs[0].name
    first_answers, second_answers = np.asarray(first[name]), np.asarray(second[name])
    labels = definition.tensors.classes(name)
    truth = holdout.by_output(name).get(name)
    rows = _disagreeing(first_answers, second_answers, classes=bool(labels))
    return Difference(
        first=first_manifest.version,
        second=second_manifest.version,
        axes=explain(first_manifest, second_lineage),
        measured=tuple(measured),
        rows=holdout.n,
        changed=len(rows),
        gained=int((correct[1] & ~correct[0]).sum()),
        lost=int((correct[0] & ~correct[1]).sum()),
        examples=tuple(
            Disagreement(
                row=int(row),
                label="" if truth is None else _label_name(labels, truth[row]),
                first=_format_answer(labels, first_answers[row]),
                second=_format_answer(labels, second_answers[row]),
            )
            for row in rows[:shown]
        ),
        left_out=left_out,
        further=tuple(
            (
                spec.name,
                int(
                    changed_rows(
                        spec,
                        first,
                        second,
                        tolerance=tolerance_of(definition.tolerance, spec.name),
                        classes=bool(definition.tensors.classes(spec.name)),
                    ).sum()
                ),
            )
            for spec in definition.tensors.outputs[1:]
            if spec.name in first
        ),
    )


def _disagreeing(first: Array, second: Array, *, classes: bool) -> Sequence[int]:
    """Rows with different answers, ordered by the confidence of the second version.

    Where the answer is a number and not a class, ordered by how much it changed.
    """
    if classes:
        rows = np.flatnonzero(first.argmax(axis=1) != second.argmax(axis=1))
        strength = second[rows].max(axis=1)
    else:
        # In float64: unsigned numbers would wrap around.
        difference = np.abs(second.astype(np.float64) - first.astype(np.float64))
        moved = difference.reshape(len(first), -1).max(axis=1)
        rows = np.flatnonzero(moved > 0)
        strength = moved[rows]
    # Stable, so that every diff of the same versions lists the same rows.
    ordered: Sequence[int] = rows[np.argsort(-strength, kind="stable")].tolist()
    return ordered


def _format_answer(labels: Sequence[str], answer: Array) -> str:
    if not labels:
        numbers = [f"{float(number):.6g}" for number in answer.ravel()[:_SHOWN_NUMBERS]]
        # An embedding has hundreds.
        return ", ".join([*numbers, *(["…"] if answer.size > _SHOWN_NUMBERS else [])])
    best = int(answer.argmax())
    return f"{_label_name(labels, best)} {float(answer.max()):.0%}"


def _label_name(labels: Sequence[str], label: object) -> str:
    if labels and isinstance(label, int | np.integer) and 0 <= int(label) < len(labels):
        return labels[int(label)]
    return str(label)
