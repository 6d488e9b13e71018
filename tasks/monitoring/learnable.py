"""Labelled answers as rows to learn from, and the clients whose labels a person must see first.

Labels are untrusted: who sends wrong ones can spoil the next version. So nothing here decides alone
what is learned. Rows pass through the same data gates as every arrival, rows of the holdout never
get this far, and all labels of a client that often contradicts probable answers are parked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array
from overnight.models.watching import Feedback
from overnight.store.predictions.arrays import arrays_of, recorded
from overnight.store.registry.manifest import Finding
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.monitoring.join import CONTRADICTION, FIRST, LATE, JoinedLabels
from overnight.tasks.monitoring.truths import truth_arrays

Mask = NDArray[np.bool_]
SchemaOf = Callable[[str], Schema]
GATE = "doubtful labels"
ANONYMOUS = "clients without a recorded name"


@dataclass(frozen=True)
class ClientLabels:
    """The labels of one client in a batch, and how many contradict answers of high probability."""

    client: str
    authenticated: bool
    labels: int
    doubtful: int

    @property
    def share(self) -> float:
        return self.doubtful / self.labels

    @property
    def named(self) -> str:
        """The client for people; whether a key of the server vouches for it."""
        name = self.client[:16] or ANONYMOUS
        return name if self.authenticated else f"{name} (without a key)"


@dataclass(frozen=True)
class LearnableRows:
    """Rows of the source from labelled answers, with its columns.

    Attributes:
        rows: to be ingested.
        doubtful: those of the `parked` clients; a person decides about them.
        left_out: labels that make no row: their inputs were not recorded, or they name a class
            that the model has no more.
        kept_out: labels of rows whose inputs are in the holdout.
    """

    rows: pa.Table | None = None
    doubtful: pa.Table | None = None
    clients: tuple[ClientLabels, ...] = ()
    parked: tuple[ClientLabels, ...] = ()
    left_out: int = 0
    kept_out: int = 0


def chosen_labels(joined: JoinedLabels) -> pa.Table:
    """The labels of a period to learn from: new, of a known answer that no label contradicts.

    Late ones count, too. Columns: `request`, `row` and `version` of the answer; `truth`, `client`
    and `authenticated` of the label; in the order in which they settled.
    """
    sent = joined.sent
    contradicted = pc.unique(sent.filter(pc.equal(sent["outcome"], CONTRADICTION))["answer"])
    is_first = pc.is_in(sent["outcome"], pa.array([FIRST, LATE]))
    stands = pc.invert(pc.is_in(sent["answer"], contradicted))
    chosen = sent.filter(pc.and_(pc.and_(is_first, sent["is_new"]), stands))
    answers = joined.answers.select(["request", "row", "version"]).take(chosen["answer"])
    labels = chosen.select(["truth", "client", "authenticated"])
    return pa.table({**_columns(answers), **_columns(labels)})


def learnable(
    chosen: pa.Table,
    answers: pa.Table,
    definition: ModelDefinition,
    feedback: Feedback,
    schema_of: SchemaOf,
    *,
    holdout: pa.Table | None = None,
) -> LearnableRows:
    """Rows of the source from labels, each client's judged together.

    Args:
        chosen: as `chosen_labels` gives them, n of them.
        answers: the log's row of each, in the same order, with inputs and outputs.
        schema_of: the schema of a version, which gives names to categories of its answers.
        holdout: rows whose inputs no learned row may have.
    """
    if feedback.rows is None or not chosen.num_rows:
        return LearnableRows(left_out=chosen.num_rows)
    whole, truths = truth_arrays(chosen["truth"].to_pylist(), definition.tensors)
    whole &= recorded(answers, definition.tensors.inputs, "input")
    doubts = doubtful(answers, whole, truths, definition.tensors, sure=feedback.sure)
    clients = tuple(_by_client(chosen, doubts))
    parked = tuple(each for each in clients if each.share > feedback.doubtful_share)
    is_parked = _is_of(chosen, parked)
    inputs = named_inputs(answers.filter(pa.array(whole)), definition.tensors, schema_of)
    new = ~_same_inputs(inputs, holdout, definition, int(whole.sum()))
    places = np.flatnonzero(whole)[new]

    def rows(mask: Mask) -> pa.Table | None:
        keep = mask[places]
        if feedback.rows is None or not keep.any():
            return None
        of_inputs = {name: values[new][keep] for name, values in inputs.items()}
        of_truths = {name: values[places][keep] for name, values in truths.items()}
        return feedback.rows(of_inputs, of_truths)

    return LearnableRows(
        rows=rows(~is_parked),
        doubtful=rows(is_parked),
        clients=clients,
        parked=parked,
        left_out=int((~whole).sum()),
        kept_out=int((~new).sum()),
    )


def doubtful(
    answers: pa.Table, whole: Mask, truths: Mapping[str, Array], tensors: Schema, *, sure: float
) -> Mask:
    """Which of n truths contradict an answer of at least this confidence, bool [n].

    Only answers with classes have a confidence: the highest of their probabilities.
    """
    doubts = np.zeros(len(whole), np.bool_)
    for spec in tensors.outputs:
        if spec.name not in truths or not tensors.classes(spec.name):
            continue
        judged = np.flatnonzero(whole & recorded(answers, [spec], "output"))
        given = arrays_of(answers.take(pa.array(judged, pa.int64())), [spec], "output")[spec.name]
        confident = given.max(axis=1) >= sure
        doubts[judged] |= confident & (given.argmax(axis=1) != truths[spec.name][judged])
    return doubts


def findings(parked: Iterable[ClientLabels], arrival: str, *, bound: float) -> tuple[Finding, ...]:
    """Why the labels of each parked client wait for a person."""
    return tuple(
        Finding(
            gate=GATE,
            metric="share of labels",
            slice=arrival,
            passed=False,
            value=each.share,
            bound=bound,
            n=each.labels,
            message=f"{each.doubtful:,} of {each.labels:,} labels of {each.named} contradict "
            f"probable answers: {each.share:.0%}, at most {bound:.0%} may",
        )
        for each in parked
    )


def named_inputs(answers: pa.Table, tensors: Schema, schema_of: SchemaOf) -> dict[str, Array]:
    """The inputs of n answers by name, [n, …], as rows have them: categories by their names.

    The log has the numbers by which a version knows categories; another version has others.
    """
    inputs = arrays_of(answers, tensors.inputs, "input")
    versions = answers["version"].to_numpy(zero_copy_only=False)
    for spec in tensors.inputs:
        column = f"input.{spec.name}"
        is_missing = np.zeros(len(versions), np.bool_)
        if column in answers.column_names and not spec.shape:
            is_missing = np.asarray(answers[column].is_null().to_numpy(zero_copy_only=False))
        if inputs[spec.name].dtype.kind not in "iu" or spec.shape:
            continue
        if spec.date:
            days = inputs[spec.name].astype(object)
            days[is_missing & (spec.default is None)] = None
            inputs[spec.name] = days
        else:
            inputs[spec.name] = _named(inputs[spec.name], spec, versions, schema_of)
    return inputs


def _named(
    numbers: Array, spec: TensorSpec, versions: NDArray[np.object_], schema_of: SchemaOf
) -> Array:
    """Names of categories, None for what stands for a missing one; other numbers as they are."""
    names = np.empty(len(numbers), object)
    for version in np.unique(versions.astype(str)):
        own = next((s for s in schema_of(str(version)).inputs if s.name == spec.name), spec)
        here = versions == version
        if not own.vocabulary:
            names[here] = numbers[here]
            continue
        listed = np.array([*own.vocabulary, None], object)
        if own.missing is not None and own.missing.value in own.vocabulary:
            listed[own.vocabulary.index(str(own.missing.value))] = None
        codes = numbers[here].astype(np.int64)
        names[here] = listed[np.where((codes < 0) | (codes >= len(own.vocabulary)), -1, codes)]
    is_numeric = all(not isinstance(name, str | None) for name in names)
    return numbers if is_numeric and len(names) else names


def _by_client(chosen: pa.Table, doubts: Mask) -> Iterable[ClientLabels]:
    """Each client of n labels, in order; what keys vouch for apart from what they do not."""
    keys = list(zip(*(chosen[name].to_pylist() for name in _CLIENT), strict=True))
    for client, authenticated in sorted(set(keys)):
        mask = np.array([key == (client, authenticated) for key in keys], np.bool_)
        yield ClientLabels(client, authenticated, int(mask.sum()), int(doubts[mask].sum()))


_CLIENT = ("client", "authenticated")


def _is_of(chosen: pa.Table, clients: Iterable[ClientLabels]) -> Mask:
    parked = {(each.client, each.authenticated) for each in clients}
    keys = zip(*(chosen[name].to_pylist() for name in _CLIENT), strict=True)
    return np.array([key in parked for key in keys], np.bool_)


def _same_inputs(
    inputs: Mapping[str, Array], holdout: pa.Table | None, definition: ModelDefinition, n: int
) -> Mask:
    """Which of n rows have exactly the inputs of a row of the holdout, bool [n].

    The digests of rows, which `ingest` compares, may be of a key that no client sends.
    """
    if holdout is None or not holdout.num_rows or not n:
        return np.zeros(n, np.bool_)
    known = set(_keys(definition.examples(holdout).inputs))
    return np.array([key in known for key in _keys(inputs)], np.bool_)


def _keys(inputs: Mapping[str, Array]) -> list[tuple[bytes, ...]]:
    """All inputs of each row as bytes, alike for equal values of any width."""
    columns = [_bytes_of(values) for _, values in sorted(inputs.items())]
    return list(zip(*columns, strict=True))


def _bytes_of(values: Array) -> list[bytes]:
    if values.dtype.kind == "O":
        return [repr(value).encode() for value in values.tolist()]
    if values.dtype.itemsize > 1:
        values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    return [row.tobytes() for row in np.ascontiguousarray(values)]


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))
