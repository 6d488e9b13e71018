"""Compare what arrived since the champion learned with what it learned from.

Nothing here refuses: an arrival that differs by more than was declared is held, until a person
accepts it or leaves it out. What is broken never comes this far.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.drift import ColumnSample
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.datasets.arrival_reviews import ArrivalReview
from overnight.store.registry.manifest import Finding, Manifest
from overnight.tasks.data.leakage import check_look_alikes
from overnight.tasks.data.signature import same_tensors
from overnight.tasks.evaluation.evaluate import Champion, answers

RIGHT = "champion is right"
# As many rows tell a distribution as well as all of them, for a fraction of the work.
_SAMPLED_ROWS = 10_000
_SMALL = "small arrivals"


@dataclass(frozen=True)
class DriftReference:
    """The version that serves, and the arrivals that it learned from.

    `known` are arrivals that it did not learn, and that were judged and learned by others before.
    """

    champion: Champion
    arrivals: frozenset[str]
    known: frozenset[str] = frozenset()


def drift_reference(
    manifest: Manifest,
    predictor: bytes,
    taken: Collection[str],
    definition: ModelDefinition,
    *,
    known: Collection[str] = (),
) -> DriftReference | None:
    """A version to compare with, of which `taken` are the arrivals in its dataset version.

    None when it takes other tensors than the model does now: what it answers says nothing then.
    """
    if not same_tensors(manifest, definition):
        return None
    champion = Champion(manifest.version, predictor)
    return DriftReference(
        champion, frozenset(taken) - frozenset(manifest.data.without), known=frozenset(known)
    )


@dataclass(frozen=True)
class DriftReport:
    """One finding for each gate and arrival, and the arrivals that wait for a person."""

    findings: tuple[Finding, ...]
    pending: tuple[str, ...] = ()

    def failures_of(self, arrival: str) -> tuple[Finding, ...]:
        """What was found of an arrival: by itself, or together with other small ones."""
        failed = [finding for finding in self.findings if not finding.passed]
        own = [finding for finding in failed if finding.slice == arrival]
        return tuple(own or [finding for finding in failed if finding.slice.endswith(_SMALL)])

    def message(self, model: str) -> str:
        """What waits, why, and what a person can do about it."""
        first = self.failures_of(self.pending[0])[0]
        more = len(self.pending) - 1
        others = f" (and {more} more arrivals)" if more else ""
        return (
            f"{self.pending[0]}{others} differs from what was learned: {first.metric}: "
            f"{first.message}; `overnight accept {model} {self.pending[0]}` to learn from it, "
            f"`overnight exclude {model} {self.pending[0]}` to leave it out"
        )


@dataclass(frozen=True)
class _Group:
    """Arrivals that are judged together, and their rows."""

    name: str
    arrivals: tuple[str, ...]
    rows: pa.Table


def compare(
    rows: pa.Table,
    holdout: pa.Table,
    definition: ModelDefinition,
    *,
    learned: DriftReference | None,
    decisions: Mapping[str, ArrivalReview],
) -> DriftReport:
    """Ask every shift gate of each arrival that neither the champion nor others have learned.

    `rows` are those of a snapshot with their `arrival`, valid by every other check. Labels and
    inputs are compared with the rows the champion learned, its own answers with those it gives
    for the holdout, which it never learned either. What a person accepted stays on record, and
    is not held.
    """
    known = learned.arrivals | learned.known if learned else frozenset()
    arrived = _where(rows, known, inside=False)
    accepted = {name: word for name, word in decisions.items() if word.verdict == "accepted"}
    groups = list(_groups(arrived, definition.data_gates.judged_rows, accepted))
    findings = [
        *check_look_alikes({group.name: group.rows for group in groups}, holdout, definition),
        *_without_reference(learned, groups),
    ]
    if learned is not None and groups:
        known_rows = _where(rows, learned.arrivals, inside=True)
        reference = _sample(_some(known_rows), _some(holdout), definition, learned.champion)
        for group in groups:
            findings += _shifts(group, reference, definition, learned.champion)
    return _decided(findings, groups, accepted)


def _where(rows: pa.Table, arrivals: Collection[str], *, inside: bool) -> pa.Table:
    """The rows of some arrivals, or of all others."""
    mask = pc.is_in(rows.column("arrival"), pa.array(sorted(arrivals), pa.string()))
    return rows.filter(mask if inside else pc.invert(mask))


def _groups(arrived: pa.Table, judged_rows: int, accepted: Collection[str]) -> Iterator[_Group]:
    """Each arrival by itself; those with too few rows to be judged alone, together.

    What a person accepted stays by itself, so that it holds nothing else back.
    """
    counts = pc.value_counts(arrived.column("arrival")).to_pylist()
    names = {one["values"]: one["counts"] for one in counts}
    small = tuple(
        sorted(name for name, n in names.items() if n < judged_rows and name not in accepted)
    )
    for name in sorted(names.keys() - set(small)):
        yield _Group(name, (name,), _where(arrived, (name,), inside=True))
    if small:
        title = small[0] if len(small) == 1 else f"{len(small)} {_SMALL}"
        yield _Group(title, small, _where(arrived, small, inside=True))


def _without_reference(learned: DriftReference | None, groups: list[_Group]) -> Iterator[Finding]:
    """Says that nothing is compared, when there is nothing to compare with or of."""
    if learned is None:
        told = "no champion that takes such rows: the data is learned as it is"
    elif not groups:
        told = f"nothing arrived since {learned.champion.version} learned"
    else:
        return
    yield Finding(gate="shift", metric="rows", passed=True, applicable=False, message=told)


def _shifts(
    group: _Group, reference: ColumnSample, definition: ModelDefinition, champion: Champion
) -> Iterator[Finding]:
    gates = definition.data_gates
    n = group.rows.num_rows
    if n < gates.judged_rows:
        told = f"{n} rows are too few to judge, at least {gates.judged_rows} are needed"
        yield Finding(
            gate="shift",
            metric="rows",
            slice=group.name,
            passed=True,
            applicable=False,
            message=told,
            value=n,
            bound=gates.judged_rows,
            n=n,
        )
        return
    rows = _some(group.rows)
    sample = _sample(rows, rows, definition, champion)
    for gate in gates.shifts:
        yield gate.finding(group.name, sample, reference)


def _sample(
    rows: pa.Table, answered: pa.Table, definition: ModelDefinition, champion: Champion
) -> ColumnSample:
    """What some rows are like, and how the champion does on some, the same or others.

    Rows that are no examples by themselves are only described: nothing can be asked of them alone.
    """
    if definition.data_gates.described is not None:
        return definition.data_gates.described(rows)
    told = definition.examples(rows)
    asked = told if answered is rows else definition.examples(answered)
    return _merged(_of_rows(told, definition), _of_answers(asked, definition, champion))


def _of_rows(examples: Examples, definition: ModelDefinition) -> ColumnSample:
    """Labels, and the model's statistics of its inputs."""
    numbers = dict(definition.data_gates.statistics(examples.inputs))
    if definition.tensors.labels:
        return ColumnSample(examples.n, {"label": examples.labels}, numbers)
    return ColumnSample(examples.n, {}, numbers | {"label": examples.labels})


def _of_answers(
    examples: Examples, definition: ModelDefinition, champion: Champion
) -> ColumnSample:
    """How sure the champion is, and where it is right when there are classes to be right about."""
    if examples.n == 0:
        return ColumnSample(0)
    outputs = answers(champion.predictor, examples.inputs)
    numbers = definition.data_gates.answered(outputs)
    right: dict[str, Array] = {}
    if definition.tensors.labels:
        right = {RIGHT: definition.correct(examples, outputs).astype(np.int64)}
    return ColumnSample(examples.n, right, numbers)


def _merged(rows: ColumnSample, answered: ColumnSample) -> ColumnSample:
    return ColumnSample(
        rows.n,
        {**rows.categories, **answered.categories},
        {**rows.numbers, **answered.numbers},
    )


def _some(rows: pa.Table) -> pa.Table:
    """The rows, or as many of them as tell the distribution; always the same ones."""
    if rows.num_rows <= _SAMPLED_ROWS:
        return rows
    chosen = np.random.default_rng(0).choice(rows.num_rows, _SAMPLED_ROWS, replace=False)
    return rows.take(pa.array(np.sort(chosen)))


def _decided(
    findings: list[Finding], groups: list[_Group], accepted: Mapping[str, ArrivalReview]
) -> DriftReport:
    """Hold what fails, unless a person accepted it; their word stands beside the finding."""
    members = {group.name: group.arrivals for group in groups}
    pending: set[str] = set()
    kept = []
    for finding in findings:
        names = members.get(finding.slice, ())
        if not finding.passed:
            pending.update(name for name in names if name not in accepted)
            words = [f"{w.verdict} by {w.by}: {w.reason}" for n in names if (w := accepted.get(n))]
            if words:
                message = "; ".join((finding.message, *dict.fromkeys(words)))
                finding = finding.model_copy(update={"message": message})  # noqa: PLW2901
        kept.append(finding)
    return DriftReport(tuple(kept), tuple(sorted(pending)))
