"""What a model is: the parts every folder under `models/` supplies, and the shapes between them.

Nothing here or in a definition imports TensorFlow: a network is named, and only the training
process imports it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from overnight.models.data_gates.declaration import DataGates
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import Gate, MinimumImprovement
from overnight.models.metrics.equivalence import Near
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.moving_holdout import MovingHoldout
from overnight.models.search_space import Ranges
from overnight.store.errors import BadFile
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Schema
from overnight.store.values import Value


@dataclass(frozen=True)
class Delivery:
    """Files that a source brought and nobody has taken in: `name` is the arrival's, for ever."""

    name: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Reading:
    """What an arrival's files held: rows in the source's columns, and the files that would not do.

    A file is either read whole or rejected whole; one bad file costs the others nothing.
    """

    rows: pa.Table
    rejected: tuple[BadFile, ...] = ()


class Source(Protocol):
    """Where a model's data comes from."""

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The next arrival after those delivered before, or None when there is none tonight."""

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """Read the files of an arrival, in any form this source knows.

        Rows have the source's own columns and `digest`, the sha256 of what makes a row the same
        row (for an image its pixels), in hexadecimal.
        """

    def holdout(self) -> pa.Table:
        """The frozen rows that judge every version and never train one; columns as `read`.

        None of them where the holdout moves with the snapshot.
        """


@dataclass(frozen=True)
class Places:
    """Where a source may look (`folder`, when the operator named one) and keep what it fetched."""

    folder: Path | None
    cache: Path


class TrainingSettings(Value):
    """How to train; part of a version's fingerprint. A model's own settings extend these.

    The training process reads them as these, so what a model adds is kept as it was sent.
    """

    model_config = ConfigDict(extra="allow")

    epochs: int
    batch_rows: int
    learning_rate: float
    seed: int
    validation_share: float
    patience_epochs: int


class Progress(Value):
    """How far a fit has come: `step` of `steps` in `epoch` of `epochs`, both from one."""

    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def share(self) -> float:
        """Done so far, between 0 and 1."""
        return ((self.epoch - 1) + self.step / max(self.steps, 1)) / max(self.epochs, 1)


Perturbation = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class ModelDefinition:
    """One model that is kept trained.

    `network` names a module with `fit`, `export` and `predict`, imported by the training process
    alone; `pictures` one with `pictures(examples, outputs)`, imported when a report is drawn.
    `tunable` declares ranges of settings in which a search may look for better ones.
    `warm` has the settings of a night that goes on from the champion's weights, and `continues`
    says that nights do so unless a run asks otherwise. `returning` is the gate by which an earlier
    version must beat the champion on what arrived to be proposed before anything is trained.
    `data_gates` say what rows must be, and how far an arrival may differ from what was learned.
    `per_row` tells metrics row by row; gates that compare any but the share of right answers
    need it. `arrived` is for a model whose inputs are made of earlier rows, such as a forecast's:
    from the rows before an arrival and those of it, in that order, it makes the examples whose
    truth came with the arrival, with inputs as they were known before it. Without it these are
    the examples of its rows. `moving` says that no frozen rows judge, but the newest of a snapshot.
    `near` says how far numbers may be from those of training and still be the same answer.
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
    continues: bool = False
    returning: MinimumImprovement | None = None
    per_row: Callable[[Examples, Outputs], tuple[RowMetric, ...]] | None = None
    arrived: Callable[[pa.Table, pa.Table], Examples] | None = None
    moving: MovingHoldout | None = None
    near: Near = field(default_factory=Near)
