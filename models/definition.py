"""`ModelDefinition`: the parts that every package under `models/` supplies, and their interfaces.

Nothing here or in a definition imports TensorFlow: a network is named by its module, and only the
training process imports it.
"""

import keyword
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from overnight.models.data_gates.declaration import DataGates
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import Gate, MinimumImprovement
from overnight.models.learner import Learner
from overnight.models.metrics.equivalence import Tolerance, Tolerances
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.moving_holdout import MovingHoldout
from overnight.models.novelty import Novelty
from overnight.models.schedule import Schedule, StepLimits
from overnight.models.search_space import Ranges
from overnight.models.sources.access import SourceAccess
from overnight.models.sources.streaming import Rejected
from overnight.models.validation import Validation
from overnight.models.watching import Watching
from overnight.store.encoding import network_inputs
from overnight.store.errors import BadFile, ConfigurationError
from overnight.store.novelty import SCORE_OUTPUT, UNLIKE_TRAINING
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Schema
from overnight.store.values import Value


@dataclass(frozen=True)
class Delivery:
    """Files of a new arrival, not ingested yet; `name` is the permanent name of the arrival."""

    name: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class StreamedDelivery:
    """A new arrival whose rows are read, some at a time, while they are landed.

    Attributes:
        name: the permanent name of the arrival.
        what: what the rows come from, for people and as the name of their pieces.
        batches: reads the rows in the source's columns with `digest`; invalid ones are handed over.
        is_file: whether `what` is one file of several: one that is broken is refused by its name,
            and the next one follows. Of anything else nothing is landed until it is mended.
        size_bytes: of the file, and `sha256` the digest of it.
    """

    name: str
    what: str
    batches: Callable[[Rejected], Iterator[pa.RecordBatch]]
    is_file: bool = False
    size_bytes: int = 0
    sha256: Callable[[], str] = str


@dataclass(frozen=True)
class Reading:
    """Parsed files of an arrival: rows in the source's columns, and the files that were rejected.

    A bad file does not affect the others. Of one that is rejected as `BadLines` the other lines are
    among the rows.
    """

    rows: pa.Table
    rejected: tuple[BadFile, ...] = ()


class Source(Protocol):
    """The source of a model's data."""

    def deliver(self, delivered: Collection[str]) -> Delivery | StreamedDelivery | None:
        """The next arrival that is not among `delivered`, or None when there is none now.

        One that may be large is streamed; it is asked for again in the process that reads it.

        Raises:
            SourceUnavailable: the source is away.
            UnusableSource: it answers, but not as declared.
        """

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """Parse the files of an arrival, in any format that this source supports.

        Rows have the source's own columns and `digest`, the hexadecimal sha256 of what identifies
        a row (for an image its pixels); rows of equal digest are duplicates.
        """

    def holdout(self) -> pa.Table:
        """The frozen rows that evaluate every version and never train one; columns as `read`.

        Empty where the holdout moves with the snapshot.
        """


@dataclass(frozen=True)
class Places:
    """Where a source finds its data, as the operator set it.

    `folder` has data, if one is set; `cache` is for downloads; `access` has addresses and
    credentials.
    """

    folder: Path | None
    cache: Path
    access: SourceAccess = field(default_factory=SourceAccess)


class TrainingSettings(Value):
    """Hyper-parameters; part of a version's fingerprint. A model's own settings extend these.

    The training process validates them as this class; fields that a model adds are kept as sent.
    """

    model_config = ConfigDict(extra="allow")

    epochs: int
    batch_rows: int
    learning_rate: float
    seed: int
    validation_share: float
    patience_epochs: int


# Of a network without a fit: its own weights are the version.
AS_IT_IS = TrainingSettings(
    epochs=0, batch_rows=1, learning_rate=0.0, seed=1, validation_share=0.0, patience_epochs=0
)


class Progress(Value):
    """Training progress: `step` of `steps` in `epoch` of `epochs`, both counted from one."""

    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def share(self) -> float:
        """The completed share, between 0 and 1."""
        return ((self.epoch - 1) + self.step / max(self.steps, 1)) / max(self.epochs, 1)


RowValue = str | int | float | bool
Perturbation = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class ModelDefinition:
    """One model that is kept trained.

    Attributes:
        network: a module with `fit`, `export` and `predict`, imported by the training process only.
        pictures: a module with `pictures(examples, outputs, history)`, imported for reports only.
        tensors: the published signature: inputs, outputs and class labels.
        settings: hyper-parameters of a fit from initial weights; `AS_IT_IS` for a network that is
            served with the weights that it came with.
        examples: from rows to n examples: inputs by name, labels, and masks of slices.
        measure: metrics with intervals, whole and by slice, from n examples and their outputs.
        correct: which of n answers count as right, [n].
        data_gates: constraints on rows, and bounds on the drift of an arrival.
        perturbations: functions by name that disturb inputs; the gate `Robust` needs them.
        approval: whether gates decide about a version alone, or a person after them.
        tunable: ranges of settings that `overnight tune` searches.
        warm: hyper-parameters of a fit that starts from the champion's weights.
        warm_by_default: whether runs start from the champion's weights by default.
        reinstatement: the gate by which an earlier version must beat the champion on new arrivals
            to be proposed again, before anything is trained.
        per_row: metrics row by row; every gate that compares another metric than accuracy needs it.
        arrival_examples: for models whose inputs are made of earlier rows, such as forecasts: from
            the rows before an arrival and those of it, in that order, the examples whose truth came
            with the arrival, with inputs as they were known before it. Without it, the examples of
            the arrival's rows.
        moving_holdout: the newest days of a snapshot are the holdout, instead of frozen rows.
        tolerance: how far a served number may be from the trained network's and count as the same;
            one for all outputs, or by output.
        validation: which rows validate a fit: the latest or whole groups where examples have times
            or groups, and else random ones ("automatic"); or always one of these.
        schedule: when it is retrained by itself; None for never.
        limits: how long its steps may take.
        tags: further tags of its deployments in Prefect.
        learned: what each run learns of an input on its training rows before it trains, by name:
            vocabularies, pieces of texts, statistics. The version's schema has it.
        row_defaults: for columns that came later than the first rows: the value that earlier rows
            are read with, if it is not the `default` of the input of that name. Without either they
            are read as null, where the column may have gaps.
        watching: what is recorded of its answers, how their truth arrives, and what raises alarms.
        novelty: when an input counts as unlike what a version learned from, and its answer says so;
            None flags nothing.
    """

    name: str
    title: str
    network: str
    pictures: str
    tensors: Schema
    gates: Sequence[Gate]
    settings: TrainingSettings
    open_source: Callable[[Places], Source]
    examples: Callable[[pa.Table], Examples]
    measure: Callable[[Examples, Outputs], tuple[Measurement, ...]]
    correct: Callable[[Examples, Outputs], NDArray[np.bool_]]
    data_gates: DataGates = field(default_factory=DataGates)
    perturbations: Mapping[str, Perturbation] = field(default_factory=dict)
    approval: Literal["automatic", "manual"] = "automatic"
    tunable: Ranges = field(default_factory=dict)
    warm: TrainingSettings | None = None
    warm_by_default: bool = False
    reinstatement: MinimumImprovement | None = None
    per_row: Callable[[Examples, Outputs], tuple[RowMetric, ...]] | None = None
    arrival_examples: Callable[[pa.Table, pa.Table], Examples] | None = None
    moving_holdout: MovingHoldout | None = None
    tolerance: Tolerances = field(default_factory=Tolerance)
    validation: Validation = "automatic"
    schedule: Schedule | None = field(default_factory=Schedule)
    limits: StepLimits = field(default_factory=StepLimits)
    tags: tuple[str, ...] = ()
    learned: Mapping[str, Learner] = field(default_factory=dict)
    row_defaults: Mapping[str, RowValue] = field(default_factory=dict)
    watching: Watching = field(default_factory=Watching)
    novelty: Novelty | None = None

    def __post_init__(self) -> None:
        """Check the names of the tensors, and that whatever must be learned is.

        Raises:
            ConfigurationError: a name cannot be exported, or is taken; an input that is to be
                learned does not exist, or one that must be learned has no learner; an output or a
                margin contradicts `novelty`; or arrivals are compared with requests, though inputs
                are made of earlier rows too.
        """
        check_tensor_names(self.name, self.tensors)
        check_learned(self.name, self.tensors, self.learned)
        if self.novelty is not None:
            check_novelty(self.name, self.tensors, self.novelty)
        if self.watching.same_population and self.arrival_examples is not None:
            raise ConfigurationError(
                f"{self.name}: watching.same_population compares the inputs that an arrival's rows "
                "give by themselves, and by arrival_examples they are made of earlier rows too; "
                "declare same_population=False"
            )

    def adopting(self, tensors: Schema) -> "ModelDefinition":
        """The definition with the learned inputs as they are in a version's schema."""
        theirs = {spec.name: spec for spec in tensors.inputs if spec.name in self.learned}
        return replace(self, tensors=self.tensors.with_inputs(theirs)) if theirs else self


# What a network's export, LiteRT's signatures and files of arrays take for parameters of theirs.
_RESERVED = frozenset({*keyword.kwlist, "self", "file", "allow_pickle"})
_TENSOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def reserved_names() -> frozenset[str]:
    """Names that no tensor may have."""
    return _RESERVED


def check_tensor_names(model: str, tensors: Schema) -> None:
    """Check that tensors have names that Keras, LiteRT and JSON accept, each its own.

    Not part of `Schema`, because manifests with any names must stay readable.

    Raises:
        ConfigurationError: with the name, and what is expected of names.
    """
    for kind, specs in (("input", network_inputs(tensors)), ("output", tensors.outputs)):
        names = [spec.name for spec in specs]
        for name in names:
            if not _TENSOR_NAME.fullmatch(name) or name in _RESERVED:
                raise ConfigurationError(
                    f"{model}: the {kind} {name!r} cannot be exported: expected ASCII letters, "
                    "digits, '_', '.' and '-', beginning with a letter or digit, and no word of "
                    f"Python's nor one of {', '.join(sorted(_RESERVED - {*keyword.kwlist}))}; "
                    "rename the tensor"
                )
            # Signatures of the converter ignore case.
            if sum(name.lower() == other.lower() for other in names) > 1:
                raise ConfigurationError(
                    f"{model}: two {kind}s are called {name!r}, in whatever case; expected a name "
                    "for each; rename one"
                )


def check_novelty(model: str, tensors: Schema, novelty: Novelty) -> None:
    """Check that no output has a name that the score needs, and that margins are of inputs.

    Raises:
        ConfigurationError: naming the output or the margin.
    """
    for spec in tensors.outputs:
        if spec.name in (SCORE_OUTPUT, UNLIKE_TRAINING):
            raise ConfigurationError(
                f"{model}: an output is called {spec.name!r}, as what novelty adds; rename the "
                "output, or declare novelty=None"
            )
    novelty.check_inputs(model, tensors)


def check_learned(model: str, tensors: Schema, learned: Mapping[str, Learner]) -> None:
    """Check that learners belong to inputs, and that an input without one is complete.

    Raises:
        ConfigurationError: naming the input, and what to declare.
    """
    specs = {spec.name: spec for spec in tensors.inputs}
    for name in learned:
        if name not in specs:
            raise ConfigurationError(
                f"{model}: learned={{{name!r}: …}} names no input; expected one of "
                f"{', '.join(specs)}"
            )
    for spec in tensors.inputs:
        if spec.unlearned and spec.name not in learned:
            raise ConfigurationError(
                f"{model}: of the input {spec.name!r}, {spec.unlearned}; declare it, or have it "
                f"learned by learned={{{spec.name!r}: …}} (overnight.api)"
            )
