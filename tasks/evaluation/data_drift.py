"""Data drift: compares new arrivals with the rows that the champion learned.

Nothing is refused here: an arrival that differs by more than the model declares is parked until a
person accepts or excludes it. Broken rows were refused by ingest or validation before.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.drift import ColumnSample
from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array, Examples
from overnight.store.datasets.arrival_reviews import ArrivalReview
from overnight.store.registry.manifest import Finding, Manifest
from overnight.tasks.data.leakage import check_look_alikes
from overnight.tasks.data.signature import can_answer
from overnight.tasks.evaluation.categories_of_inputs import input_categories
from overnight.tasks.evaluation.published import PublishedPredictor

RIGHT = "champion is right"
# Enough to estimate a distribution: differences below a hundredth do not matter here.
_SAMPLED_ROWS = 10_000
_SMALL_GROUP = "small arrivals"


@dataclass(frozen=True)
class DriftReference:
    """The champion and the arrivals that it learned from.

    `known` are arrivals that it did not learn, but earlier champions did; they are not compared.
    """

    champion: PublishedPredictor
    arrivals: frozenset[str]
    known: frozenset[str] = frozenset()


def drift_reference(
    manifest: Manifest,
    predictor: bytes,
    ingested: Collection[str],
    definition: ModelDefinition,
    *,
    known: Collection[str] = (),
) -> DriftReference | None:
    """The reference of a version; `ingested` are the arrivals in its dataset version.

    None if it cannot answer rows of the model as it is now.
    """
    if not can_answer(manifest, definition):
        return None
    champion = PublishedPredictor.of(manifest, predictor)
    return DriftReference(
        champion, frozenset(ingested) - frozenset(manifest.data.without), known=frozenset(known)
    )


@dataclass(frozen=True)
class DriftReport:
    """One finding for each gate and arrival, and the arrivals that await a review.

    `members` are the arrivals that were judged together, by the name of their group.
    """

    findings: tuple[Finding, ...]
    pending: tuple[str, ...] = ()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def failures_of(self, arrival: str) -> tuple[Finding, ...]:
        """The failed findings of an arrival, or of the small arrivals it was judged with."""
        failed = [finding for finding in self.findings if not finding.passed]
        own = [finding for finding in failed if finding.slice == arrival]
        joined = [fail for fail in failed if arrival in self.members.get(fail.slice, ())]
        return tuple(own or joined)

    def message(self, model: str) -> str:
        """Which arrivals await a review, why, and the commands that decide about them."""
        first = self.failures_of(self.pending[0])[0]
        more = len(self.pending) - 1
        others = f" (and {more} more arrivals)" if more else ""
        return (
            f"{self.pending[0]}{others} differs from the rows that were learned: {first.metric}: "
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
    reference: DriftReference | None,
    decisions: Mapping[str, ArrivalReview],
) -> DriftReport:
    """Run every shift gate on each arrival that no champion has learned.

    `rows` are validated rows of a snapshot with their `arrival`. Labels and inputs are compared
    with the rows that the champion learned; its answers with those it gives for the holdout,
    because rows it never learned must be compared with rows it never learned. Findings on accepted
    arrivals are kept, but do not park them.
    """
    known = reference.arrivals | reference.known if reference else frozenset()
    arrived = _where(rows, known, inside=False)
    accepted = {name: review for name, review in decisions.items() if review.verdict == "accepted"}
    groups = list(_groups(arrived, definition.data_gates.judged_rows, accepted))
    findings = [
        *check_look_alikes({group.name: group.rows for group in groups}, holdout, definition),
        *_without_reference(reference, groups),
    ]
    if reference is not None and groups:
        known_rows = _where(rows, reference.arrivals, inside=True)
        known_sample = _sample(
            _subsample(known_rows), _subsample(holdout), definition, reference.champion
        )
        for group in groups:
            findings += _group_findings(group, known_sample, definition, reference.champion)
    return _apply_reviews(findings, groups, accepted)


def _where(rows: pa.Table, arrivals: Collection[str], *, inside: bool) -> pa.Table:
    """The rows of some arrivals, or of all others."""
    mask = pc.is_in(rows.column("arrival"), pa.array(sorted(arrivals), pa.string()))
    return rows.filter(mask if inside else pc.invert(mask))


def _groups(arrived: pa.Table, judged_rows: int, accepted: Collection[str]) -> Iterator[_Group]:
    """One group for each arrival, and others for those that have too few rows to be judged alone.

    Small arrivals are joined as they came, until a group has enough rows; then the next one begins.
    So a group that was judged has the same rows in every later run: judged anew with each arrival
    that joins it, a group would be parked by chance sooner or later.

    An accepted arrival is never in a group with others, so that it cannot park them.
    """
    counts = pc.value_counts(arrived.column("arrival")).to_pylist()
    rows_of = {entry["values"]: entry["counts"] for entry in counts}
    is_small = {name: n < judged_rows and name not in accepted for name, n in rows_of.items()}
    for name in sorted(name for name, small in is_small.items() if not small):
        yield _Group(name, (name,), _where(arrived, (name,), inside=True))
    joined: list[str] = []
    # The rows of a snapshot are in order of arrival.
    for name in (name for name, small in is_small.items() if small):
        joined.append(name)
        if sum(rows_of[member] for member in joined) >= judged_rows:
            yield _joined(arrived, joined)
            joined = []
    if joined:
        yield _joined(arrived, joined)


def _joined(arrived: pa.Table, names: Collection[str]) -> _Group:
    first, *more = names
    title = f"{first} and {len(more)} more {_SMALL_GROUP}" if more else first
    return _Group(title, tuple(names), _where(arrived, names, inside=True))


def _without_reference(reference: DriftReference | None, groups: list[_Group]) -> Iterator[Finding]:
    """A finding that says why nothing is compared; none if something is."""
    if reference is None:
        message = "no champion takes such rows: the data is learned without a comparison"
    elif not groups:
        message = f"nothing arrived since {reference.champion.version} learned"
    else:
        return
    yield Finding(gate="shift", metric="rows", passed=True, applicable=False, message=message)


def _group_findings(
    group: _Group,
    reference_sample: ColumnSample,
    definition: ModelDefinition,
    champion: PublishedPredictor,
) -> Iterator[Finding]:
    gates = definition.data_gates
    n = group.rows.num_rows
    if n < gates.judged_rows:
        message = f"{n} rows are too few to judge, at least {gates.judged_rows} are needed"
        yield Finding(
            gate="shift",
            metric="rows",
            slice=group.name,
            passed=True,
            applicable=False,
            message=message,
            value=n,
            bound=gates.judged_rows,
            direction="at least",
            n=n,
        )
        return
    rows = _subsample(group.rows)
    sample = _sample(rows, rows, definition, champion)
    for gate in gates.shifts:
        yield gate.finding(group.name, sample, reference_sample)


def _sample(
    rows: pa.Table,
    answered_rows: pa.Table,
    definition: ModelDefinition,
    champion: PublishedPredictor,
) -> ColumnSample:
    """Statistics of `rows`, and of the champion's answers to `answered_rows`.

    Where single rows are no examples, as in a forecast, only the model's own description is used.
    """
    if definition.data_gates.row_statistics is not None:
        return definition.data_gates.row_statistics(rows)
    examples = definition.examples(rows)
    answered_examples = examples if answered_rows is rows else definition.examples(answered_rows)
    own = _describe_rows(examples, definition)
    answered = _describe_answers(answered_examples, definition, champion)
    return ColumnSample(
        own.n, {**own.categories, **answered.categories}, {**own.numbers, **answered.numbers}
    )


def _describe_rows(examples: Examples, definition: ModelDefinition) -> ColumnSample:
    """The labels, and the model's statistics of its inputs."""
    numbers = dict(definition.data_gates.input_statistics(examples.inputs))
    first = definition.tensors.outputs[0].name
    classes: dict[str, Array] = dict(input_categories(examples.inputs, definition.tensors))
    for output, labels in examples.by_output(first).items():
        name = "label" if output == first else f"label.{output}"
        (classes if definition.tensors.classes(output) else numbers)[name] = labels
    return ColumnSample(examples.n, classes, numbers)


def _describe_answers(
    examples: Examples, definition: ModelDefinition, champion: PublishedPredictor
) -> ColumnSample:
    """The model's statistics of the champion's answers, and with classes which ones are right.

    Rows of categories that the champion has no number for are left out: their labels and inputs
    are compared all the same.
    """
    examples = champion.answerable(definition, examples)
    if examples.n == 0:
        return ColumnSample(0)
    outputs = champion.answers(definition, examples.inputs)
    numbers = definition.data_gates.output_statistics(outputs)
    right: dict[str, Array] = {}
    if definition.tensors.labels:
        right = {RIGHT: definition.correct(examples, outputs).astype(np.int64)}
    return ColumnSample(examples.n, right, numbers)


def _subsample(rows: pa.Table) -> pa.Table:
    """At most `_SAMPLED_ROWS` of the rows; the same ones every time."""
    if rows.num_rows <= _SAMPLED_ROWS:
        return rows
    # A fixed seed, so that the same data gives the same findings in every run.
    chosen = np.random.default_rng(0).choice(rows.num_rows, _SAMPLED_ROWS, replace=False)
    return rows.take(pa.array(np.sort(chosen)))


def _apply_reviews(
    findings: list[Finding], groups: list[_Group], accepted: Mapping[str, ArrivalReview]
) -> DriftReport:
    """Park arrivals with failed findings unless accepted; append the review to the finding."""
    members = {group.name: group.arrivals for group in groups}
    pending: set[str] = set()
    kept = []
    for finding in findings:
        names = members.get(finding.slice, ())
        if not finding.passed:
            pending.update(name for name in names if name not in accepted)
            reviews = [
                f"{review.verdict} by {review.by}: {review.reason}"
                for name in names
                if (review := accepted.get(name))
            ]
            if reviews:
                # Members of a group may share a review, which is named once.
                message = "; ".join((finding.message, *dict.fromkeys(reviews)))
                finding = finding.model_copy(update={"message": message})  # noqa: PLW2901
        kept.append(finding)
    return DriftReport(tuple(kept), tuple(sorted(pending)), members)
