"""Labels that nobody sends: an arrival brings the truth of answers, as it does of forecasts."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array
from overnight.models.watching import ArrivalTruths
from overnight.store.predictions.arrays import recorded
from overnight.store.predictions.records import SentLabel
from overnight.store.predictions.tables import LabelTable, PredictionTable, SegmentId
from overnight.store.schema import Schema
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS
from overnight.tasks.monitoring.join import is_live
from overnight.tasks.monitoring.learnable import SchemaOf, named_inputs


def label_from_arrivals(
    rows: pa.Table,
    arrivals: tuple[str, ...],
    definition: ModelDefinition,
    predictions: PredictionTable,
    labels: LabelTable,
    schema_of: SchemaOf,
    *,
    at: datetime,
) -> Mapping[str, int]:
    """Label the answers whose truth each of these arrivals brought; how many, by arrival.

    Exactly once: the labels of an arrival are one segment of the table, named after the arrival.
    Answers older than the window of the model are not looked at.

    Args:
        rows: those of a snapshot, in order of arrival and each with its arrival.
        at: the time of receipt that the labels get.
    """
    feedback = definition.watching.feedback
    if feedback is None or feedback.from_arrivals is None:
        return {}
    segments = {arrival: _segment(arrival) for arrival in arrivals}
    done = labels.has(list(segments.values()))
    counts: dict[str, int] = {}
    since = at - timedelta(days=feedback.window_days)
    for arrival, segment in segments.items():
        of_arrival = pc.equal(rows.column("arrival"), arrival)
        if segment in done or not pc.any(of_arrival).as_py():
            continue
        first = pc.index(of_arrival, True).as_py()
        before, fresh = (
            part.drop_columns(list(ARRIVAL_COLUMNS))
            for part in (rows.slice(0, first), rows.filter(of_arrival))
        )
        sent: list[SentLabel] = []
        for batch in predictions.batches(since, at):
            answers = pa.Table.from_batches([batch])
            sent += labels_of_arrival(
                answers, definition, feedback.from_arrivals, schema_of, before, fresh, at=at
            )
        # Also without labels, so that the arrival is not looked at again.
        labels.append({segment: sent})
        counts[arrival] = len(sent)
    return counts


def labels_of_arrival(
    answers: pa.Table,
    definition: ModelDefinition,
    truths_of: ArrivalTruths,
    schema_of: SchemaOf,
    before: pa.Table,
    rows: pa.Table,
    *,
    at: datetime,
) -> list[SentLabel]:
    """The labels of answers whose truth is known by the rows of an arrival and those before it."""
    answers = answers.filter(is_live(answers["route"]))
    answers = answers.filter(pa.array(recorded(answers, definition.tensors.inputs, "input")))
    if not answers.num_rows:
        return []
    inputs = named_inputs(answers, definition.tensors, schema_of)
    arrived = truths_of(inputs, before, rows)
    known = answers.filter(pa.array(arrived.known)).select(["request", "row"])
    truths = _sent_truths(arrived.truths, arrived.known, definition.tensors)
    # The microseconds since 1970, exactly.
    at_us = (at.astimezone(UTC) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return [
        SentLabel(
            request=answer["request"],
            caller="",
            row=answer["row"],
            at_us=at_us,
            model=definition.name,
            truth=truth,
            client="",
            origin="arrival",
            authenticated=True,
        )
        for answer, truth in zip(known.to_pylist(), truths, strict=True)
    ]


def _sent_truths(
    truths: Mapping[str, Array], known: Array, tensors: Schema
) -> Iterator[dict[str, Any]]:
    """Each known truth as a client would send it: classes by their names."""
    for place in np.flatnonzero(known).tolist():
        yield {
            name: tensors.classes(name)[int(values[place])]
            if tensors.classes(name)
            else values[place].tolist()
            for name, values in truths.items()
        }


def _segment(arrival: str) -> SegmentId:
    """A segment that no host has: its incarnation is a digest of the arrival's name."""
    return SegmentId(hashlib.sha256(f"arrival {arrival}".encode()).hexdigest()[:32], 0)
