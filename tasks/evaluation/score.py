"""Live scores: measures the champion on each new arrival, before any version learns from it.

The holdout says how good a version was when it was made; live scores say how good it still is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples
from overnight.store.errors import IncomparableVersions
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS
from overnight.tasks.evaluation.published import PublishedPredictor, measured_by

# Of fewer rows a score would describe the rows that happen to be as they always were.
_SCORED_SHARE = 0.5


@dataclass(frozen=True)
class Scored:
    """The scores, and why other arrivals could not be measured, or not on all of their rows."""

    scores: tuple[Score, ...] = ()
    unreadable: tuple[str, ...] = ()


def unlearned_arrivals(
    arrival_versions: Mapping[str, int], dataset_version: int
) -> tuple[str, ...]:
    """The arrivals after a version of the dataset, in order of their ingest."""
    later = [
        (version, name) for name, version in arrival_versions.items() if version > dataset_version
    ]
    return tuple(name for _, name in sorted(later))


def score(
    registry: ModelRegistry,
    definition: ModelDefinition,
    champion: Manifest,
    predictor: bytes,
    *,
    rows: pa.Table,
    arrivals: Iterable[str],
) -> Scored:
    """Measure the champion on each arrival and store the scores.

    `rows` are those of a snapshot, each with its arrival. A stored score is final and not measured
    again. An arrival without rows, or whose rows have no truth yet, gets no score. Rows that the
    champion cannot answer, because the model's features changed since, are left out and named.
    """
    scores: list[Score] = []
    unreadable: list[str] = []
    champion_predictor = PublishedPredictor.of(champion, predictor)
    stored = LiveScores(registry.bucket, registry.model)
    for arrival in arrivals:
        kept = stored.find(champion.version, arrival)
        if kept is not None:
            # Final: status and pages may have shown it already.
            scores.append(kept)
            continue
        try:
            # The model's own code on new data: one bad arrival must not fail the run.
            examples = _examples(definition, rows, arrival)
        except (KeyError, ValueError) as error:
            unreadable.append(f"{arrival}: its rows are no examples: {error}")
            continue
        if examples is not None:
            try:
                shared = champion_predictor.comparable(definition, examples)
                if shared.rows.mean() < _SCORED_SHARE:
                    raise IncomparableVersions(shared.left_out)
                examples = examples if shared.all else examples.take(shared.rows)
                outputs = champion_predictor.answers(definition, examples.inputs)
                measured = measured_by(definition, examples, outputs)
            except IncomparableVersions as error:
                unreadable.append(f"{arrival}: {champion.version} cannot answer its rows: {error}")
                continue
            if shared.left_out:
                unreadable.append(f"{arrival}: for {champion.version}, {shared.left_out}")
            scores.append(stored.keep(_score(champion, arrival, examples.n, measured)))
    return Scored(tuple(scores), tuple(unreadable))


def _examples(definition: ModelDefinition, rows: pa.Table, arrival: str) -> Examples | None:
    """The examples whose truth an arrival brings; None if there are none.

    Inputs made from history use only rows that arrived before, as they would have in serving.
    """
    of_arrival = pc.equal(rows.column("arrival"), arrival)
    if not pc.any(of_arrival).as_py():
        return None
    fresh = _source_columns(rows.filter(of_arrival))
    if definition.arrival_examples is None:
        examples = definition.examples(fresh)
    else:
        # Rows of a snapshot are in order of arrival, so all before the first are older.
        first = pc.index(of_arrival, True).as_py()
        examples = definition.arrival_examples(_source_columns(rows.slice(0, first)), fresh)
    return examples if examples.n else None


def _source_columns(rows: pa.Table) -> pa.Table:
    """Rows without the arrival columns."""
    return rows.drop_columns(list(ARRIVAL_COLUMNS))


def _score(champion: Manifest, arrival: str, n: int, measured: Sequence[Measurement]) -> Score:
    """The score as a record, without slices that no row of the arrival falls into."""
    measurements = tuple(
        _drop_empty_interval(measurement) for measurement in measured if measurement.n
    )
    headline = next((measurement for measurement in measurements if not measurement.slice), None)
    return Score(
        model=champion.model,
        version=champion.version,
        arrival=arrival,
        n=n,
        measurements=measurements,
        holdout=champion.measured(headline.metric) if headline else None,
    )


def _drop_empty_interval(measured: Measurement) -> Measurement:
    """Drop an interval of no width: it was resampled over days, and the arrival has only one."""
    if measured.low is None or measured.low != measured.high:
        return measured
    return measured.model_copy(update={"low": None, "high": None})
