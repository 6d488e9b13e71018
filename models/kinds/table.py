"""`Table`: the columns of rows, each declared once, for source, inputs, learning and data gates."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.examples import Array
from overnight.models.learned import Learner, MeanAndDeviation, Vocabulary, Words
from overnight.models.sources.declared_rows import DeclaredRows
from overnight.store.errors import ConfigurationError
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import NUMPY_TYPES, TensorSpec


def number(
    name: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    gaps: bool = False,
    default: float | None = None,
    description: str = "",
) -> TensorSpec:
    """A column of numbers; with `gaps` a value may be missing, which the network is shown.

    A column that comes later has a `default`, for earlier rows and for requests without it.
    """
    return TensorSpec(
        name=name,
        datatype="FP32",
        shape=(),
        minimum=minimum,
        maximum=maximum,
        missing=Missing(flag=True) if gaps else None,
        default=default,
        description=description,
    )


def category(
    name: str, *, gaps: bool = False, default: str | None = None, description: str = ""
) -> TensorSpec:
    """A column of names, whose vocabulary is learned; rare and new ones are `other`.

    With `gaps` a value may be missing, and is a category of its own. `default` as of a `number`.
    """
    return TensorSpec(
        name=name,
        datatype="INT32",
        shape=(),
        missing=Missing(value="missing") if gaps else None,
        default=default,
        description=description,
    )


def date(
    name: str, *, gaps: bool = False, default: str | None = None, description: str = ""
) -> TensorSpec:
    """A column of dates such as 2026-11-22, which the network gets as scaled days.

    `gaps` and `default` as of a `number`.
    """
    return TensorSpec(
        name=name,
        datatype="INT32",
        shape=(),
        date=True,
        missing=Missing(flag=True) if gaps else None,
        default=default,
        description=description,
    )


def text(
    name: str,
    *,
    length: int = 64,
    gaps: bool = False,
    default: str | None = None,
    description: str = "",
) -> TensorSpec:
    """A column of texts, of which the first `length` words count, in letters of either case.

    `default` as of a `number`.
    """
    return TensorSpec(
        name=name,
        datatype="BYTES",
        shape=(),
        text=TextEncoding(tokenizer="whitespace", length=length, lower_case=True),
        missing=Missing(value="") if gaps else None,
        default=default,
        description=description,
    )


@dataclass(frozen=True)
class Table:
    """Inputs that are columns of rows, the column with the truth, and others.

    Attributes:
        inputs: what clients send, each a column of its name.
        target: the column with the truth, declared as the values in it.
        others: columns that are no inputs, such as keys, or groups of slices; they may have gaps.
        most_categories, most_words: how many are learned of each column.
        gaps_share: how many of the values of a column with gaps may be missing.
    """

    inputs: tuple[TensorSpec, ...]
    target: TensorSpec
    others: Mapping[str, pa.DataType] = field(default_factory=dict)
    most_categories: int = 100
    most_words: int = 5_000
    gaps_share: float = 0.9

    def __post_init__(self) -> None:
        """Check that each column is declared once.

        Raises:
            ConfigurationError: with the column that is declared twice.
        """
        names = [*(spec.name for spec in self.inputs), self.target.name, *self.others]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(
                f"Table: {', '.join(twice)} is declared twice among inputs, target and others; "
                "declare each column once"
            )

    @property
    def columns(self) -> pa.Schema:
        """The columns of every file, by name and type; those without gaps are not nullable."""
        declared = (
            *(pa.field(spec.name, _arrow(spec), spec.accepts_missing) for spec in self.inputs),
            pa.field(self.target.name, _arrow(self.target), nullable=False),
            *(pa.field(name, kind, nullable=True) for name, kind in self.others.items()),
        )
        return pa.schema(list(declared))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs: rows that are alike in all of them are the same row."""
        return tuple(spec.name for spec in self.inputs)

    @property
    def learned(self) -> dict[str, Learner]:
        """What each snapshot teaches: means, vocabularies and words of the inputs."""
        learners = {spec.name: self._learner(spec) for spec in self.inputs}
        return {name: learner for name, learner in learners.items() if learner is not None}

    def arrays(self, rows: pa.Table) -> dict[str, Array]:
        """The inputs of n rows as clients would send them: [n, …] by name."""
        return {spec.name: published(rows, spec) for spec in self.inputs}

    def truth(self, rows: pa.Table) -> Array:
        """The target's numbers, or the places of its classes in its vocabulary, [n].

        Raises:
            ValueError: a class is not in the vocabulary.
        """
        values = rows.column(self.target.name)
        if not self.target.vocabulary:
            numbers: Array = values.cast(pa.float32()).to_numpy()
            return numbers
        classes = pa.array(self.target.vocabulary)
        places = pc.index_in(values.cast(pa.string()), classes)
        if places.null_count:
            unknown = values.filter(pc.is_null(places))[0].as_py()
            raise ValueError(
                f"{self.target.name}: {unknown!r} is no class of {self.target.vocabulary}; "
                "add it to the classes, or remove its rows"
            )
        indices: Array = places.to_numpy().astype(np.int64)
        return indices

    def rows(self, inputs: Mapping[str, Array], truths: Mapping[str, Array]) -> pa.Table:
        """Rows of the source from answered inputs and their truth: `Feedback.rows`.

        Other columns have gaps. Rows that lack a value which none may lack are left out. Rows that
        are alike in all inputs have one digest; so has a source whose `same_by` is `names`.
        """
        (truth,) = truths.values()
        columns = [_published_column(inputs[spec.name], spec) for spec in self.inputs]
        columns.append(_truth_column(truth, self.target))
        columns += [pa.nulls(len(truth), kind) for kind in self.others.values()]
        declared = DeclaredRows(self.columns, self.names)
        rows = pa.Table.from_arrays(columns, names=self.columns.names)
        for spec in (*self.inputs, self.target):
            if not spec.accepts_missing:
                rows = rows.filter(pc.is_valid(rows.column(spec.name)))
        whole = rows.cast(self.columns).combine_chunks().to_batches()
        batches = [self._with_digests(batch, declared) for batch in whole]
        return pa.Table.from_batches(batches, declared.schema)

    def _with_digests(self, rows: pa.RecordBatch, declared: DeclaredRows) -> pa.RecordBatch:
        if len(self.inputs) > 1 or not self.inputs[0].shape:
            return declared.with_digests(rows)
        # A picture alone is identified by its pixels.
        pixels = rows.column(self.inputs[0].name).to_pylist()
        digests = pa.array([hashlib.sha256(each).hexdigest() for each in pixels], pa.string())
        return pa.RecordBatch.from_arrays([*rows.columns, digests], schema=declared.schema)

    def data_gates(self, *, minimum_rows: int = 100, class_rows: int = 10) -> DataGates:
        """Types, ranges and gaps of the columns, and how many rows there must be.

        Args:
            class_rows: the fewest rows of each class; of no importance to numbers.
        """
        others = (text(name, gaps=True) for name in self._other_texts)
        columns = (
            Column(
                spec,
                missing_share=self.gaps_share if spec.accepts_missing else 0.0,
                categorical=_is_learned(spec),
            )
            for spec in (*self.inputs, self.target)
        )
        return DataGates(
            columns=(*columns, *(Column(spec, missing_share=1.0) for spec in others)),
            minimum_rows=minimum_rows,
            class_rows=class_rows if self.target.vocabulary else 0,
        )

    @property
    def _other_texts(self) -> list[str]:
        return [name for name, kind in self.others.items() if pa.types.is_string(kind)]

    def _learner(self, spec: TensorSpec) -> Learner | None:
        if spec.text is not None:
            return Words(size=self.most_words)
        # Unscaled, a date would drown every other input: it is some 20,000 days.
        if (spec.datatype.startswith("FP") and not spec.shape) or spec.date:
            return MeanAndDeviation()
        if _is_learned(spec):
            return Vocabulary(most=self.most_categories)
        return None


def _is_learned(spec: TensorSpec) -> bool:
    """Whether a column has names whose vocabulary is learned."""
    return spec.datatype == "INT32" and not (spec.vocabulary or spec.date or spec.shape)


def published(rows: pa.Table, spec: TensorSpec) -> Array:
    """One column as published values, [n, …]: texts with None, and numbers with NaN, for gaps."""
    values = rows.column(spec.name)
    if spec.shape:
        dtype = NUMPY_TYPES[spec.datatype]
        flat = np.frombuffer(b"".join(values.to_pylist()), dtype)
        return flat.reshape(len(values), *spec.shape)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        texts = np.empty(len(values), object)
        texts[:] = values.to_pylist()
        return texts
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    # NaN where a value is missing.
    numbers: Array = values.to_numpy(zero_copy_only=False)
    return numbers if values.null_count else numbers.astype(NUMPY_TYPES[spec.datatype])


def _published_column(values: Array, spec: TensorSpec) -> pa.Array:
    """Published values [n, …] as a column of rows, with nulls for gaps."""
    kind = _arrow(spec)
    if spec.shape:
        plain = np.ascontiguousarray(values, NUMPY_TYPES[spec.datatype])
        return pa.array([row.tobytes() for row in plain], kind)
    if values.dtype.kind == "O":
        return pa.array(values.tolist(), pa.int32() if spec.date else kind).cast(kind)
    if spec.date:
        missing = np.isnan(values.astype(np.float64))
        days = np.where(missing, 0, values).astype(np.int32)
        return pa.array(days, pa.int32(), mask=missing).cast(kind)
    if pa.types.is_string(kind):
        return pa.array([str(value) for value in values.tolist()], kind)
    return pa.array(values.astype(np.float32), kind, mask=np.isnan(values.astype(np.float32)))


def _truth_column(truth: Array, target: TensorSpec) -> pa.Array:
    if not target.vocabulary:
        return pa.array(truth.astype(np.float32), _arrow(target))
    return pa.array([target.vocabulary[place] for place in truth.tolist()], pa.string())


def _arrow(spec: TensorSpec) -> pa.DataType:
    """The type of a column that holds published values of a tensor."""
    if spec.shape:
        return pa.binary()
    if spec.text is not None or spec.vocabulary or _is_learned(spec):
        return pa.string()
    return pa.date32() if spec.date else pa.float32()
