"""Compares two versions: data, settings, code, packages, metrics, and rows they disagree on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates.comparing import with_champion
from overnight.models.metrics.equivalence import changed_rows, tolerance_of
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.tasks.evaluation.explain import Axis, Present, explain
from overnight.tasks.evaluation.published import measured_by

_SHOWN_NUMBERS = 8
# Outside of the interval at either end.
_ALPHA = 0.025


@dataclass(frozen=True)
class Disagreement:
    """One holdout row that two versions answer differently; `label` is the truth.

    `name` is what people call the row by: its categories and dates. Empty where it has none.
    """

    row: int
    label: str
    first: str
    second: str
    name: str = ""


@dataclass(frozen=True)
class MetricChange:
    """How much better the second version is in one metric, in the metric's units.

    `gain` is above zero where it is better, whichever way the metric points; `low` to `high` is its
    paired 95 % interval. All are None where the metric is not measured row by row.
    """

    gain: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the interval is on one side of zero, else `unclear`."""
        if self.gain is None or self.low is None or self.high is None:
            return ""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "unclear"


@dataclass(frozen=True)
class Difference:
    """How a second version differs from a first, on the holdout as it is now.

    `measured` pairs the measurements of both on the same rows, and `changes` has how much better
    the second is in each, with its interval. `changed` counts the rows that they
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
    changes: tuple[MetricChange, ...] = ()


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
    measured = tuple(
        zip(
            measured_by(definition, holdout, first),
            measured_by(definition, holdout, second),
            strict=True,
        )
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
        measured=measured,
        changes=_changes(definition, holdout, outputs, measured),
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
                name=_row_name(definition, holdout, row),
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


def _changes(
    definition: ModelDefinition,
    holdout: Examples,
    outputs: tuple[Outputs, Outputs],
    measured: Sequence[tuple[Measurement, Measurement]],
) -> tuple[MetricChange, ...]:
    """How much better the second version is in each metric, tested as the gates do."""
    if definition.per_row is None or not measured:
        return (MetricChange(),) * len(measured)
    first, second = (tuple(definition.per_row(holdout, answered)) for answered in outputs)
    paired = Evaluation((), rows=second, champion_rows=first, slices=holdout.slices)
    changes = []
    for measurement, _ in measured:
        comparison = with_champion(paired, measurement.metric, measurement.slice)
        if isinstance(comparison, str):
            changes.append(MetricChange())
            continue
        changes.append(MetricChange(comparison.difference, *comparison.interval(_ALPHA)))
    return tuple(changes)


def _row_name(definition: ModelDefinition, holdout: Examples, row: int) -> str:
    """The categories and dates of a row, in the order of the inputs: `292, GROCERY, 2017-10-05`."""
    parts = []
    for spec in definition.tensors.inputs:
        values = holdout.inputs.get(spec.name)
        if values is None or spec.shape or not (spec.vocabulary or spec.date):
            continue
        value = values[row]
        if spec.date and isinstance(value, int | np.integer):
            parts.append(str(np.datetime64(int(value), "D")))
        elif spec.vocabulary and isinstance(value, int | np.integer):
            parts.append(_label_name(spec.vocabulary, value))
        else:
            parts.append(str(value))
    return ", ".join(parts)


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
