"""Score: the version that serves answers what arrived, before anything learns from it.

A holdout tells how good a version was when it was made; these tell how good it still is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.ingest import ARRIVAL_COLUMNS
from overnight.tasks.evaluation.evaluate import answers


@dataclass(frozen=True)
class Scored:
    """What was measured on each arrival, and why others could not be."""

    scores: tuple[Score, ...] = ()
    unreadable: tuple[str, ...] = ()


def unlearned_arrivals(came: Mapping[str, int], dataset_version: int) -> tuple[str, ...]:
    """The arrivals after a version of the dataset, in the order in which they came in."""
    later = [(version, name) for name, version in came.items() if version > dataset_version]
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
    """Let the version that serves answer each of some arrivals, and keep what it measured.

    `rows` are those of a snapshot, each with its arrival. What was kept before stands and is not
    measured again; an arrival without rows, or without a truth among them, has no score.
    """
    found: list[Score] = []
    unreadable: list[str] = []
    for arrival in arrivals:
        known = registry.score(champion.version, arrival)
        if known is not None:
            found.append(known)
            continue
        try:
            examples = _examples(definition, rows, arrival)
        except (KeyError, ValueError) as error:
            unreadable.append(f"{arrival}: its rows are no examples: {error}")
            continue
        if examples is not None:
            outputs = answers(predictor, examples.inputs)
            measured = definition.measure(examples, outputs)
            found.append(registry.keep_score(_score(champion, arrival, examples.n, measured)))
    return Scored(tuple(found), tuple(unreadable))


def _examples(definition: ModelDefinition, rows: pa.Table, arrival: str) -> Examples | None:
    """What an arrival tells the truth of; None when that is nothing.

    A model whose inputs are made of earlier rows is given those that came before, and no later.
    """
    theirs = pc.equal(rows.column("arrival"), arrival)
    if not pc.any(theirs).as_py():
        return None
    fresh = _own(rows.filter(theirs))
    if definition.arrived is None:
        examples = definition.examples(fresh)
    else:
        # Rows of a snapshot are in the order in which they arrived, one arrival after the other.
        first = pc.index(theirs, True).as_py()
        examples = definition.arrived(_own(rows.slice(0, first)), fresh)
    return examples if examples.n else None


def _own(rows: pa.Table) -> pa.Table:
    """Rows in the source's own columns."""
    return rows.drop_columns(list(ARRIVAL_COLUMNS))


def _score(champion: Manifest, arrival: str, n: int, measured: Sequence[Measurement]) -> Score:
    """What is kept; a slice that nothing of the arrival falls into says nothing."""
    told = tuple(_without_width(one) for one in measured if one.n)
    whole = next((one for one in told if not one.slice), None)
    return Score(
        model=champion.model,
        version=champion.version,
        arrival=arrival,
        n=n,
        measurements=told,
        holdout=champion.measured(whole.metric) if whole else None,
    )


def _without_width(measured: Measurement) -> Measurement:
    """An interval of no width is none: it was drawn over days, and an arrival brings but one."""
    if measured.low is None or measured.low != measured.high:
        return measured
    return measured.model_copy(update={"low": None, "high": None})
