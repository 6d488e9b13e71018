"""Claim: monitoring raises no more false alarms than declared, and finds a small change in a week.

    python -m benchmarks.monitoring.whole_days [--worlds 20] [--days 400]

Days of a classifier go through the join and the measurement of a monitor run, as tables in memory:
answers, labels of most of them a day later, some sent again and some contradicted. Each world has
its own champion, reference and holdout, drawn by a seed.

- Without drift: the days until the first alarm are as many as declared, or more, on average. After
  an alarm the detectors begin anew, as they do with the next champion.
- With drift: the answers, and the days, from a lasting change of what is asked or of what is right
  to its alarm.

The declared run lengths are those that a model has by default.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.api import Classification, Watching, number
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples
from overnight.models.reference import Reference, reference_of
from overnight.models.starters.classification import DEFINITION as STARTER
from overnight.store.predictions.columns import LABELS
from overnight.store.registry.monitoring import Alarm, DetectorState
from overnight.tasks.monitoring.join import join
from overnight.tasks.monitoring.measure import ServedVersion, measure
from overnight.tasks.monitoring.observe import ObservedPeriod
from tests.support.examples import FILES, manifest

KIND = Classification(("stays", "leaves"))
DEFINITION: ModelDefinition = replace(
    STARTER,
    tensors=KIND.schema(number("calls"), number("months")),
    learned={},
    watching=Watching(),
    data_gates=replace(STARTER.data_gates, input_statistics=lambda _: {}),
    # Intervals of shown metrics take time, and alarms do not depend on them.
    measure=lambda *_: (),
)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
A_DAY = timedelta(days=1)
LABELLED, REPEATED, CONTRADICTED = 0.6, 0.1, 0.02
_TRAINING_ROWS, _HOLDOUT_ROWS = 4_000, 2_000
# Of the champion: of ten answers one is wrong.
_APART = 2.56
_INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Change:
    """What changes for good: a mean of an input, or how far apart the classes are."""

    moved: float = 0.0
    apart: float = _APART


@dataclass(frozen=True)
class World:
    """One model's world: its random numbers, its champion, and how many are asked about a day."""

    random: np.random.Generator
    served: ServedVersion
    rows: int


def world(seed: int, rows: int) -> World:
    random = np.random.default_rng(seed)
    training, holdout = (draw(random, n, Change()) for n in (_TRAINING_ROWS, _HOLDOUT_ROWS))
    made = manifest(FILES).model_copy(update={"tensors": DEFINITION.tensors})
    reference: Reference = reference_of(
        DEFINITION,
        made.version,
        training=training,
        holdout=holdout,
        outputs={"probabilities": answered(holdout.inputs)},
    )
    return World(random, ServedVersion(made, reference), rows)


def draw(random: np.random.Generator, n: int, change: Change) -> Examples:
    """n rows whose first input is apart by class; the second says nothing."""
    labels = random.integers(0, 2, n)
    calls = random.normal((labels - 0.5) * change.apart, 1)
    inputs = {"calls": calls, "months": random.normal(change.moved, 1, n)}
    return Examples({k: v.astype(np.float32) for k, v in inputs.items()}, labels)


def answered(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The champion's probabilities, which are right about how sure it may be: float32 [n, 2]."""
    leaves = 1 / (1 + np.exp(-_APART * inputs["calls"]))
    return np.stack([1 - leaves, leaves], axis=1).astype(np.float32)


def days(world: World, changes: Sequence[Change]) -> Iterator[tuple[Alarm, ...]]:
    """The alarms after each day; after an alarm the detectors begin anew."""
    before: dict[str, DetectorState] = {}
    answers: list[pa.Table] = []
    waiting: list[pa.Table] = []
    for number_of_day, change in enumerate(changes):
        midnight = BEGIN + number_of_day * A_DAY
        requests = draw(world.random, world.rows, change)
        answers = [*answers[-1:], answers_of(world, requests, midnight)]
        waiting = [*waiting[-1:], labels_of(world, np.asarray(requests.labels), midnight + A_DAY)]
        # Labels of a day come on the next one.
        period = observed(answers, waiting[:-1], midnight)
        measured = measure(DEFINITION, world.served, (), period, before)
        yield measured.alarms
        before = {} if measured.alarms else {state.name: state for state in measured.detectors}


def answers_of(world: World, requests: Examples, midnight: datetime) -> pa.Table:
    n, day = requests.n, f"{midnight:%j%Y}"
    at = pa.array([midnight + timedelta(seconds=each) for each in range(n)], _INSTANT)
    probabilities = answered(requests.inputs)
    return pa.table(
        {
            "request": [f"{day}-{each}" for each in range(n)],
            "row": pa.array(np.zeros(n), pa.int32()),
            "caller": [""] * n,
            "at": at,
            "version": [world.served.manifest.version] * n,
            "route": ["champion"] * n,
            "collected": pa.array([midnight + A_DAY] * n, _INSTANT),
            **{f"input.{name}": pa.array(values) for name, values in requests.inputs.items()},
            "output.probabilities": pa.array(list(probabilities), pa.list_(pa.float32())),
        }
    )


def labels_of(world: World, truths: np.ndarray, midnight: datetime) -> pa.Table:
    """Labels of most answers of the day before, in any order, with repeats and contradictions."""
    random, n = world.random, len(truths)
    chosen = np.flatnonzero(random.random(n) < LABELLED)
    again = chosen[random.random(len(chosen)) < REPEATED]
    others = chosen[random.random(len(chosen)) < CONTRADICTED]
    places = np.concatenate([random.permutation(chosen), again, others])
    stated = np.concatenate([truths[places[: len(places) - len(others)]], 1 - truths[others]])
    day = f"{midnight - A_DAY:%j%Y}"
    at = [midnight + timedelta(seconds=each) for each in range(len(places))]
    return pa.table(
        {
            "request": [f"{day}-{each}" for each in places],
            "row": pa.array(np.zeros(len(places)), pa.int32()),
            "caller": [""] * len(places),
            "at": pa.array(at, _INSTANT),
            "truth": [f'{{"probabilities": "{KIND.classes[each]}"}}' for each in stated],
            "client": [""] * len(places),
            "origin": ["api"] * len(places),
            "authenticated": [False] * len(places),
            "collected": pa.array([midnight + A_DAY] * len(places), _INSTANT),
        },
        schema=LABELS,
    )


def observed(
    answers: Sequence[pa.Table], labels: Sequence[pa.Table], midnight: datetime
) -> ObservedPeriod:
    """What a run of the monitor after this day sees."""
    until = midnight + A_DAY
    everything = pa.concat_tables(answers)
    sent = pa.concat_tables(labels) if labels else _NO_LABELS
    joined = join(everything, sent, window_days=7, now=until, since=midnight)
    has = pc.and_(joined.label["truth"].is_valid(), joined.label["is_new"])
    labelled = joined.answers.filter(has)
    for name in joined.label.column_names:
        labelled = labelled.append_column(name, joined.label.filter(has)[name])
    return ObservedPeriod(
        since=midnight,
        until=until,
        joined=joined,
        shown_from=midnight - 7 * A_DAY,
        labelled=labelled.sort_by([("labelled_at", "ascending"), ("request", "ascending")]),
        days={midnight.date(): answers[-1]},
        new_answers=answers[-1].num_rows,
    )


def first_alarm(alarms: Iterator[tuple[Alarm, ...]], kind: str) -> int | None:
    """After how many days the first alarm of a kind, or of several ("drift"), came."""
    kinds = {"inputs", "answers", "confidence"} if kind == "drift" else {kind}
    for number_of_day, raised in enumerate(alarms, 1):
        if any(alarm.kind in kinds for alarm in raised):
            return number_of_day
    return None


_NO_LABELS = labels_of(
    World(np.random.default_rng(0), ServedVersion(manifest(FILES)), 0), np.zeros(0, int), BEGIN
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--rows", type=int, default=200, help="answers a day")
    options = parser.parse_args()
    raised = [
        sum(bool(alarms) for alarms in days(world(seed, options.rows), [Change()] * options.days))
        for seed in range(options.worlds)
    ]
    declared = DEFINITION.watching.nights_per_false_alarm
    total = options.worlds * options.days
    print(f"without drift: {sum(raised)} alarms in {total:,} days; declared one in {declared}")
    print("by world:", *raised)
    print("\nchange                        found  median days  answers  labels")
    for title, kind, change in (
        ("an input moves by 0.3 σ", "drift", Change(moved=0.3)),
        ("an input moves by 0.5 σ", "drift", Change(moved=0.5)),
        ("10 % wrong become 15 %", "quality", Change(apart=2 * 1.0364)),
        ("10 % wrong become 20 %", "quality", Change(apart=2 * 0.8416)),
    ):
        noticed_after = [
            first_alarm(days(world(seed, options.rows), [change] * 60), kind)
            for seed in range(options.worlds)
        ]
        noticed = sorted(each for each in noticed_after if each is not None)
        median = noticed[len(noticed) // 2] if noticed else 0
        answers = median * options.rows
        print(
            f"{title:28s} {len(noticed):3d}/{len(noticed_after)}  {median:11d}  {answers:7,}  "
            f"{round(max(median - 1, 0) * options.rows * LABELLED):6,}"
        )


if __name__ == "__main__":
    main()
