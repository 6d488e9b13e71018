"""Whether the champion is worse than the version before it, by labels of what both answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.predictions.tables import arrays_of, recorded
from overnight.store.registry.monitoring import DetectorState
from overnight.tasks.monitoring.decide import WorseVersion
from overnight.tasks.monitoring.measure import LabelledAnswers, ServedVersion, labelled_answers
from overnight.tasks.monitoring.observe import ObservedPeriod
from overnight.tasks.monitoring.truths import judged_outputs, truth_arrays
from overnight.tasks.monitoring.versions import (
    ERROR,
    compare_labelled,
    compare_paired,
    is_worse,
    start_comparison,
)

PAIRED, BY_LABELS = "against the version before: pairs", "against the version before: labels"
Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """The comparisons after a period, and the champion as worse where one of them shows it."""

    states: tuple[DetectorState, ...] = ()
    worse: WorseVersion | None = None


def compare(
    definition: ModelDefinition,
    champion: ServedVersion,
    predecessor: ServedVersion,
    period: ObservedPeriod,
    before: Sequence[DetectorState],
) -> Compared:
    """Both comparisons after the labels that a period brought.

    Requests that both answered, one of them as a shadow, are compared in pairs. Only while there
    are none, the labels of the champion are compared with those of its predecessor. Each has half
    the error.

    Args:
        before: the detectors of the record before, if it was of the same champion.
    """
    names = (champion.manifest.version, predecessor.manifest.version)
    states = {name: _continued(name, names[1], before) for name in (PAIRED, BY_LABELS)}
    newer, older = paired_losses(definition, champion, predecessor, period)
    states[PAIRED] = _counted(compare_paired(states[PAIRED], newer, older), newer, older)
    if not states[PAIRED].observations:
        own, earlier = (
            labelled_answers(definition, version, period.labelled)
            for version in (champion, predecessor)
        )
        if own is not None and (earlier is not None or "bound" in states[BY_LABELS].details):
            losses = _losses(definition, own)[own.is_new]
            earlier_losses = np.zeros(0) if earlier is None else _losses(definition, earlier)
            state = compare_labelled(states[BY_LABELS], losses, earlier_losses)
            states[BY_LABELS] = _counted(state, losses, earlier_losses)
    worse = None
    for name, state in states.items():
        if worse is None and is_worse(state):
            worse = WorseVersion(*names, evidence=_evidence(name, state, *names))
    return Compared(tuple(states.values()), worse)


def paired_losses(
    definition: ModelDefinition,
    champion: ServedVersion,
    predecessor: ServedVersion,
    period: ObservedPeriod,
) -> tuple[Losses, Losses]:
    """The losses of both on newly labelled requests that both answered, in order of labelling."""
    newer, older = [], []
    versions = (champion, predecessor)
    for served, other in (versions, versions[::-1]):
        rows = period.labelled.filter(
            pc.and_(
                period.labelled["is_new"],
                pc.equal(period.labelled["version"], served.manifest.version),
            )
        )
        shadow = period.joined.shadow
        shadow = shadow.filter(pc.equal(shadow["version"], other.manifest.version))
        if not (rows.num_rows and shadow.num_rows):
            continue
        places = pc.index_in(_keys(rows), value_set=_keys(shadow).combine_chunks())
        has_pair = places.is_valid()
        rows = rows.filter(has_pair)
        if not rows.num_rows:
            continue
        shadow = shadow.take(places.filter(has_pair))
        both = _losses_of_pair(definition, (served, other), rows, shadow)
        newer.append(both[0] if served is champion else both[1])
        older.append(both[1] if served is champion else both[0])
    none: Losses = np.zeros(0)
    return np.concatenate([none, *newer]), np.concatenate([none, *older])


def _losses_of_pair(
    definition: ModelDefinition,
    versions: tuple[ServedVersion, ServedVersion],
    served: pa.Table,
    shadow: pa.Table,
) -> tuple[Losses, Losses]:
    valid, truths = truth_arrays(served["truth"].to_pylist(), versions[0].tensors)
    outputs = [judged_outputs(version.tensors, truths) for version in versions]
    valid = valid & recorded(served, outputs[0], "output") & recorded(shadow, outputs[1], "output")
    kept = pa.array(valid)
    labels = {name: values[valid] for name, values in truths.items()}
    examples = Examples({}, next(iter(labels.values())) if len(labels) == 1 else labels)
    if not valid.any():
        return np.zeros(0), np.zeros(0)
    answers = [
        arrays_of(rows.filter(kept), specs, "output")
        for rows, specs in zip((served, shadow), outputs, strict=True)
    ]
    first, second = (_wrong(definition, examples, each) for each in answers)
    return first, second


def _losses(definition: ModelDefinition, answers: LabelledAnswers) -> Losses:
    return _wrong(definition, answers.examples, answers.outputs)


def _wrong(definition: ModelDefinition, examples: Examples, outputs: Mapping[str, Array]) -> Losses:
    wrong: Losses = (~definition.correct(examples, outputs)).astype(np.float64)
    return wrong


def _continued(name: str, predecessor: str, before: Sequence[DetectorState]) -> DetectorState:
    for state in before:
        if state.name == name and state.details.get("predecessor") == predecessor:
            return state
    fresh = start_comparison(name, error=ERROR / 2)
    details = {"predecessor": predecessor, "n": 0, "wrong": 0.0, "m": 0, "before": 0.0}
    return fresh.model_copy(update={"details": details})


def _counted(state: DetectorState, newer: Losses, older: Losses) -> DetectorState:
    """With the sums that the evidence names."""
    details = dict(state.details)
    details["n"] += len(newer)
    details["wrong"] += float(newer.sum())
    if state.name == PAIRED or not details["m"]:
        details["m"] += len(older)
        details["before"] += float(older.sum())
    return state.model_copy(update={"details": details})


def _evidence(name: str, state: DetectorState, champion: str, predecessor: str) -> str:
    sums = state.details
    own = f"{champion} answered {sums['wrong']:,.0f} of {sums['n']:,} labelled requests wrong"
    other = f"{predecessor} {sums['before']:,.0f} of {sums['m']:,}"
    how = "the same requests" if name == PAIRED else "its own requests before"
    highest = max(state.value, float(state.details.get("highest", 0.0)))
    return f"{own}, {other} on {how}; evidence {highest:,.0f}, of {state.level:,.0f} needed"


def _keys(rows: pa.Table) -> pa.ChunkedArray:
    parts = [rows["request"], rows["row"].cast(pa.string())]
    return pc.binary_join_element_wise(*parts, "/")
