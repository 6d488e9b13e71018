"""Measure a period: live quality, distances from the reference, detectors, and their alarms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.models.reference import NO_REFERENCE, Reference, days_of
from overnight.store.errors import IncomparableVersions, Unrecorded
from overnight.store.predictions.tables import arrays_of, recorded
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.monitoring import (
    Alarm,
    AlarmKind,
    DetectorState,
    LiveDistance,
    LiveQuality,
)
from overnight.store.schema import Schema
from overnight.store.schema_translation import why_incomparable
from overnight.tasks.data.categories import categories, unknown_values, without_values
from overnight.tasks.monitoring import detector, drift
from overnight.tasks.monitoring.distances import SMALLEST, distances, skews
from overnight.tasks.monitoring.estimate import estimated_accuracy
from overnight.tasks.monitoring.evidence import Change, alarmed, changes, start
from overnight.tasks.monitoring.observe import ObservedPeriod
from overnight.tasks.monitoring.quality import live_quality
from overnight.tasks.monitoring.truths import judged_outputs, truth_arrays

QUALITY, DRIFT, SKEW = "quality", "drift", "skew"
_NOTHING: Mapping[date, pa.Table] = MappingProxyType({})
# Of an alarm of drift or skew; the record has the distances of all features.
_NAMED_FEATURES = 3


@dataclass(frozen=True)
class LabelledAnswers:
    """n answers of one version with their labels, in the order of labelling.

    Attributes:
        at: [n] when each was answered, datetime64[us] in UTC.
        is_new: [n] whether the period brought the label.
    """

    examples: Examples
    outputs: Mapping[str, Array]
    at: NDArray[np.datetime64]
    is_new: NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """The measurements of a period; `problems` say what could not be measured, and why."""

    quality: tuple[LiveQuality, ...] = ()
    distances: tuple[LiveDistance, ...] = ()
    detectors: tuple[DetectorState, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedVersion:
    """A version whose answers are measured, and what they are compared with."""

    manifest: Manifest
    reference: Reference | None = None

    @property
    def tensors(self) -> Schema:
        return self.manifest.tensors


def fresh_detectors(
    definition: ModelDefinition, reference: Reference | None = None
) -> dict[str, DetectorState]:
    """The detectors of a version that has just become champion."""
    watching = definition.watching
    level = float(watching.labels_per_false_alarm)
    if reference is not None:
        level = detector.level_of(watching, reference)
    return {
        QUALITY: start(QUALITY, level),
        DRIFT: start(DRIFT, watching.nights_per_false_alarm),
    }


def labelled_answers(
    definition: ModelDefinition, version: ServedVersion, labelled: pa.Table
) -> LabelledAnswers | None:
    """The labelled answers of a version as examples; None where there are none.

    Where inputs were not recorded, nothing is known of slices. Labels that the model does not know
    any more, such as those of a class that is gone, are left out.
    """
    tensors = version.tensors
    rows = labelled.filter(pc.equal(labelled["version"], version.manifest.version))
    valid, truths = truth_arrays(rows["truth"].to_pylist(), tensors)
    outputs = judged_outputs(tensors, truths)
    valid = valid & recorded(rows, outputs, "output")
    rows = rows.filter(pa.array(valid))
    if not rows.num_rows:
        return None
    has_inputs = bool(recorded(rows, tensors.inputs, "input").all())
    return LabelledAnswers(
        examples=_examples(
            definition,
            arrays_of(rows, tensors.inputs, "input") if has_inputs else {},
            {name: values[valid] for name, values in truths.items()},
        ),
        outputs=arrays_of(rows, outputs, "output"),
        at=_times(rows["at"]),
        is_new=rows["is_new"].to_numpy().astype(np.bool_),
    )


def update_quality(
    definition: ModelDefinition,
    state: DetectorState,
    answers: LabelledAnswers,
    reference: Reference,
) -> DetectorState:
    """The detector of quality after the labels that the period brought."""
    new = np.flatnonzero(answers.is_new)
    if not len(new):
        return state
    examples = answers.examples.take(new)
    outputs = {name: values[new] for name, values in answers.outputs.items()}
    losses = (~definition.correct(examples, outputs)).astype(np.float64)
    at, slices = answers.at[new], dict(examples.slices)
    if reference.unit == "day":
        days = days_of(definition, examples.inputs)
        losses, units = detector.per_unit(
            losses, at.astype("datetime64[D]") if days is None else days
        )
        at, slices = units.astype(np.int64).astype("datetime64[D]").astype("datetime64[us]"), {}
    return detector.update(
        state,
        losses,
        {name: bound for name, bound in reference.bounds.items() if not name or name in slices},
        slices={name: mask for name, mask in slices.items() if name in reference.bounds},
        at=at,
        memberships=reference.memberships,
    )


def day_distances(
    definition: ModelDefinition, version: ServedVersion, rows: pa.Table
) -> tuple[LiveDistance, ...]:
    """The distances of one day's answers of a version from its reference.

    Inputs are compared where all of them were recorded, and each output where it was.
    """
    if version.reference is None or not rows.num_rows:
        return ()
    return distances(version.reference, definition, *day_arrays(version, rows))


def day_skews(
    definition: ModelDefinition, version: ServedVersion, rows: pa.Table, arrived: pa.Table
) -> tuple[LiveDistance, ...]:
    """The distances of one day's requests to a version from the rows that training got that day.

    Rows with a category that the model does not know are left out, as training leaves them out.

    Raises:
        KeyError, ValueError: the arrived rows are no examples of the model.
    """
    serving, _ = day_arrays(version, rows)
    arrived = without_values(arrived, unknown_values(arrived, categories(definition)))
    if not serving or not arrived.num_rows:
        return ()
    return skews(definition, definition.examples(arrived).inputs, serving)


def day_arrays(
    version: ServedVersion, rows: pa.Table
) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Inputs of a version's answers of a day, and each output, of the rows that have them."""
    tensors = version.tensors
    own = rows.filter(pc.equal(rows["version"], version.manifest.version))
    inputs = own.filter(pa.array(recorded(own, tensors.inputs, "input")))
    outputs: dict[str, Array] = {}
    for spec in tensors.outputs:
        answered = own.filter(pa.array(recorded(own, [spec], "output")))
        if answered.num_rows:
            outputs |= arrays_of(answered, [spec], "output")
    return arrays_of(inputs, tensors.inputs, "input") if inputs.num_rows else {}, outputs


def measure(
    definition: ModelDefinition,
    champion: ServedVersion | None,
    others: Sequence[ServedVersion],
    period: ObservedPeriod,
    before: Mapping[str, DetectorState],
    arrived: Mapping[date, pa.Table] = _NOTHING,
) -> Measured:
    """Measure the champion, and the quality of other versions that answered in the period.

    Args:
        definition: as the champion learned it.
        before: the detectors as the record before left them, where it was of the same champion.
        arrived: rows that training got on days of the period, where they are of one population
            with the requests.
    """
    problems: list[str] = []
    quality: list[LiveQuality] = []
    labelled: dict[str, LabelledAnswers] = {}
    for version in (*([champion] if champion else []), *others):
        name = version.manifest.version
        if why := why_incomparable(definition.tensors, version.tensors):
            problems.append(f"{name} is not measured: {why}")
            continue
        try:
            # The model's own code on what others sent: it must not end the watch.
            own = labelled_answers(definition, version, period.labelled)
            quality += quality_of(definition, version, own, period)
        except (KeyError, ValueError, IncomparableVersions, Unrecorded) as error:
            problems.append(f"the quality of {name} is not measured: {error}")
            continue
        if own is not None:
            labelled[name] = own
    reference = champion.reference if champion is not None else None
    fresh = fresh_detectors(definition, reference)
    states = {name: before.get(name, state) for name, state in fresh.items()}
    if champion is None or champion.reference is None:
        if champion is not None:
            problems.append(f"{champion.manifest.version} has no alarms: {NO_REFERENCE}")
        return Measured(tuple(quality), (), tuple(states.values()), (), tuple(problems))
    if (answers := labelled.get(champion.manifest.version)) is not None:
        states[QUALITY] = update_quality(definition, states[QUALITY], answers, champion.reference)
    newest: tuple[LiveDistance, ...] = ()
    for day, today in _days(definition, champion, period, arrived, problems):
        newest = today
        noon = datetime.combine(day, time(12), UTC)
        states[DRIFT] = drift.drift_update(states[DRIFT], today, noon)
    alarms = tuple(_alarms(champion.reference, states, before, period.until))
    return Measured(tuple(quality), newest, tuple(states.values()), alarms, tuple(problems))


def _days(
    definition: ModelDefinition,
    champion: ServedVersion,
    period: ObservedPeriod,
    arrived: Mapping[date, pa.Table],
    problems: list[str],
) -> Iterator[tuple[date, tuple[LiveDistance, ...]]]:
    """The distances of each closed day, the first one first; `problems` gets what failed."""
    for day, rows in sorted(period.days.items()):
        today = day_distances(definition, champion, rows)
        if today and day in arrived:
            try:
                # The model's own code, as above.
                today += day_skews(definition, champion, rows, arrived[day])
            except (KeyError, ValueError) as error:
                problems.append(f"the skew of {day} is not measured: {error}")
        if today:
            yield day, today


def quality_of(
    definition: ModelDefinition,
    version: ServedVersion,
    answers: LabelledAnswers | None,
    period: ObservedPeriod,
) -> tuple[LiveQuality, ...]:
    """The live quality of a version over the answers that are shown, whole and by slice."""
    rows = period.joined.answers
    rows = rows.filter(
        pc.and_(
            pc.equal(rows["version"], version.manifest.version),
            pc.greater_equal(rows["at"], pa.scalar(period.shown_from, rows["at"].type)),
        )
    )
    outputs = judged_outputs(version.tensors, answers.outputs if answers else ())
    rows = rows.filter(pa.array(recorded(rows, outputs, "output")))
    if not rows.num_rows:
        return ()
    answered = arrays_of(rows, outputs, "output")
    shown = np.zeros(0, np.int64)
    if answers is not None:
        # Both without a zone: numpy's times have none, and these are UTC.
        begin = np.datetime64(period.shown_from.astimezone(UTC).replace(tzinfo=None))
        shown = np.flatnonzero(answers.at >= begin)
    if answers is None or not len(shown):
        return _unlabelled(definition, version, answered)
    return live_quality(
        definition,
        version.manifest.version,
        answers.examples.take(shown),
        {name: values[shown] for name, values in answers.outputs.items()},
        answered,
        calibration=version.reference.calibration if version.reference else (),
    )


def _unlabelled(
    definition: ModelDefinition, version: ServedVersion, answered: Mapping[str, Array]
) -> tuple[LiveQuality, ...]:
    """Answers without any label: their number, and what the probabilities promise."""
    first = definition.tensors.outputs[0].name
    estimated = None
    if first in answered and definition.tensors.classes(first) and version.reference is not None:
        probabilities = np.asarray(answered[first], np.float64)
        estimated = estimated_accuracy(probabilities, version.reference.calibration)
    n = len(next(iter(answered.values())))
    return (
        LiveQuality(
            version=version.manifest.version, answers=n, labels=0, coverage=0.0, estimated=estimated
        ),
    )


def _alarms(
    reference: Reference,
    states: Mapping[str, DetectorState],
    before: Mapping[str, DetectorState],
    until: datetime,
) -> Iterator[Alarm]:
    """The alarms of both detectors; `first` where the record before had none of its kind."""
    if (change := alarmed(states[QUALITY])) is not None:
        first = QUALITY not in before or alarmed(before[QUALITY]) is None
        now = {each.part: each for each in changes(states[QUALITY])}.get(change.part, change)
        yield _quality_alarm(reference, change, until, first=first, now=now)
    earlier = _named(before[DRIFT]) if DRIFT in before else ()
    had_skew, had_drift = any(map(_is_skew, earlier)), not all(map(_is_skew, earlier))
    for change in _named(states[DRIFT]):
        first = not (had_skew if _is_skew(change) else had_drift)
        yield _drift_alarm(reference, change, until, first=first)


def _named(state: DetectorState) -> tuple[Change, ...]:
    """The changes that the alarm of the detector of days names: skew first, and then drift.

    The part that led when it was raised, and every other one that would raise it alone. Skew
    explains that requests are apart from the reference in the same feature, and that answers to
    them are: none of that is drift of the world, whatever else moved.
    """
    if (leading := alarmed(state)) is None:
        return ()
    strong = [each for each in changes(state) if each.evidence >= state.level]
    named = [leading, *(each for each in strong if each.part != leading.part)]
    skewed = [each for each in named if _is_skew(each)]
    explained = {_feature(each) for each in skewed}
    drifted = [
        each
        for each in named
        if not _is_skew(each)
        and not (skewed and (_kind(each) != "inputs" or _feature(each) in explained))
    ]
    return (*skewed[:_NAMED_FEATURES], *drifted[:_NAMED_FEATURES])


def _kind(change: Change) -> str:
    return change.part.partition(": ")[0]


def _feature(change: Change) -> str:
    return change.part.partition(": ")[2]


def _is_skew(change: Change) -> bool:
    return _kind(change) == SKEW


def _quality_alarm(
    reference: Reference, change: Change, until: datetime, *, first: bool, now: Change
) -> Alarm:
    """The alarm as it was raised, and what was seen from the change up to now."""
    bound = reference.bounds.get(change.part, 1.0)
    where, later = f" of {change.part}" if change.part else "", ""
    seen = f"{change.mean:.1%} of {change.n:,} labelled answers{where} wrong"
    if reference.unit == "day":
        seen = f"{change.mean:.1%} wrong on {change.n:,} days{where}"
    elif now.n > change.n and now.since == change.since:
        later = f"; by now {now.mean * now.n:,.0f} of {now.n:,}"
    return Alarm(
        kind="quality",
        feature=change.part,
        message=f"{seen}, expected at most {bound:.1%}{later}",
        value=change.mean,
        expected=bound,
        since=change.since or until,
        first=first,
    )


def _drift_alarm(reference: Reference, change: Change, until: datetime, *, first: bool) -> Alarm:
    kind, feature = _kind(change), _feature(change)
    alarm_kind: AlarmKind = next(
        each for each in ("inputs", "answers", "confidence", "skew") if each == kind
    )
    summary = reference.feature(kind, feature)
    bound = SMALLEST + (summary.usual if summary is not None else 0.0)
    days = "1 day" if change.n == 1 else f"{change.n} days"
    against = "training's rows of the same days" if kind == "skew" else "the reference"
    return Alarm(
        kind=alarm_kind,
        feature=feature,
        message=(
            f"{kind} {feature}: distance {change.mean:.2f} from {against} over {days}, "
            f"expected at most {bound:.2f}"
        ),
        value=change.mean,
        expected=bound,
        since=change.since or until,
        first=first,
    )


def _examples(
    definition: ModelDefinition, inputs: Mapping[str, Array], truths: Mapping[str, Array]
) -> Examples:
    """With the model's own slices, where its labels can be rows of the dataset."""
    feedback = definition.watching.feedback
    if inputs and feedback is not None and feedback.rows is not None:
        made = definition.examples(feedback.rows(inputs, truths))
        return replace(made, inputs=inputs)
    labels = next(iter(truths.values())) if len(truths) == 1 else truths
    return Examples(inputs=inputs, labels=labels)


def _times(values: pa.ChunkedArray) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = values.to_numpy().astype("datetime64[us]")
    return times
