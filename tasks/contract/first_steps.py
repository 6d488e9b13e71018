"""The first steps of a model on the rows that exist: what the checks of its contract are about."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import (
    Delivery,
    ModelDefinition,
    Places,
    Source,
    StreamedDelivery,
)
from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.moving_holdout import day_column
from overnight.store.errors import BadFile
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    EnvironmentLineage,
    RunLineage,
)
from overnight.tasks.contract.failure import CheckFailed
from overnight.tasks.data.learn import learn
from overnight.tasks.evaluation.evaluate import draw, evaluate, predictions
from overnight.tasks.evaluation.rehearse import RehearsalResult, rehearse
from overnight.tasks.release import publish
from overnight.tasks.training.train import Candidate, train

_ROWS, _HOLDOUT_ROWS, _ARRIVALS = 2_000, 300, 20
_FINGERPRINT = "0" * 64


@dataclass(frozen=True)
class Rows:
    """The rows of the first arrivals, and those that are held out."""

    training: pa.Table
    holdout: pa.Table
    arrivals: int


class FirstSteps:
    """One model, its source, and a folder for what it leaves; each step is taken once, when needed.

    Everything is done by the steps of a run, with one epoch and few rows.
    """

    def __init__(
        self, definition: ModelDefinition, places: Places, folder: Path, *, seconds: float = 300
    ) -> None:
        self.declared, self._places, self._folder = definition, places, folder
        self._seconds = seconds

    @cached_property
    def rows(self) -> Rows:
        """Enough arrivals for the data gates, as far as the source has them now, and the holdout.

        Raises:
            CheckFailed: there is no arrival, or the source rejects a file of its own.
        """
        source = self.declared.open_source(self._places)
        delivered: list[str] = []
        tables: list[pa.Table] = []
        needed = max(_ROWS, self.declared.data_gates.minimum_rows)
        while (n := sum(map(len, tables))) < needed and len(tables) < _ARRIVALS:
            delivery = source.deliver(delivered)
            if delivery is None:
                break
            delivered.append(delivery.name)
            tables.append(_read(source, delivery, needed - n))
        if not tables:
            raise CheckFailed(
                f"the source has no arrival now (folder: {self._places.folder or 'none'})",
                f"put rows there, or name their folder by source_folders: {self.declared.name} = "
                "… in overnight.toml",
            )
        rows = pa.concat_tables(tables, promote_options="permissive")
        moving = self.declared.moving_holdout
        if moving is None:
            holdout = source.holdout()
            # As an ingest does: a source may hold out a share of an arrival.
            held_out = pc.is_in(rows.column("digest"), holdout.column("digest").combine_chunks())
            return Rows(rows.filter(pc.invert(held_out)), holdout, len(tables))
        newest = day_column(rows).to_numpy()
        held = newest > newest.max() - moving.days
        return Rows(rows.filter(pa.array(~held)), rows.filter(pa.array(held)), len(tables))

    @cached_property
    def definition(self) -> ModelDefinition:
        """The definition, with what it learns of the rows."""
        return learn(self.declared, self.rows.training)

    @cached_property
    def training(self) -> Examples:
        """Some examples to learn from."""
        return _some(self.definition.examples(self.rows.training), _ROWS)

    @cached_property
    def whole_holdout(self) -> Examples:
        """All examples that judge."""
        moving = self.definition.moving_holdout
        if moving is None:
            return self.definition.examples(self.rows.holdout)
        return moving.examples(self.rows.training, self.rows.holdout)

    @cached_property
    def holdout(self) -> Examples:
        """Some of the examples that judge."""
        return _some(self.whole_holdout, _HOLDOUT_ROWS)

    @cached_property
    def candidate(self) -> Candidate:
        """A network that was trained for one epoch, in a process of its own."""
        return train(
            self.definition,
            # None where the network is served as it is.
            self.definition.settings.model_copy(
                update={"epochs": min(1, self.definition.settings.epochs)}
            ),
            fingerprint=_FINGERPRINT,
            training=self.training,
            holdout=self.holdout,
            folder=self._folder,
            seconds=self._seconds,
            report=lambda _progress: None,
        )

    @cached_property
    def predictions(self) -> Outputs:
        """What the network predicts for the holdout."""
        return predictions(self.candidate)

    @cached_property
    def rehearsal(self) -> RehearsalResult:
        """What the real serving application answers on the exported bundle."""
        files = publish.bundle(self.candidate)
        draft = publish.draft(
            self.definition,
            self.candidate,
            files,
            data=self.snapshot,
            code=CodeLineage(commit="", clean=False, digest=""),
            environment=EnvironmentLineage(python="", platform="", lock_digest=""),
            run=RunLineage(id="", name="overnight test"),
        )
        return rehearse(
            draft,
            files,
            holdout=self.holdout,
            expected=self.predictions,
            folder=self._folder,
            seconds=self._seconds,
            tolerance=self.definition.tolerance,
        )

    @cached_property
    def evaluation(self) -> Evaluation:
        """The metrics of the network on the holdout, without those of its rehearsal."""
        return evaluate(self.definition, self.candidate, None, self.holdout)

    @cached_property
    def plots(self) -> dict[str, Path]:
        """The plots of its report."""
        return dict(draw(self.definition, self.candidate, self.holdout, self._folder))

    @property
    def snapshot(self) -> DataLineage:
        """The rows as a manifest describes them."""
        return DataLineage(
            dataset_version=0,
            digest="",
            rows=self.rows.training.num_rows,
            arrivals=self.rows.arrivals,
            holdout_digest="",
            holdout_rows=self.rows.holdout.num_rows,
        )


def _read(source: Source, delivery: Delivery | StreamedDelivery, most: int) -> pa.Table:
    """The rows of an arrival; of one that is streamed some more than `most`, never all of many.

    Raises:
        CheckFailed: naming the file or the line that the source rejects.
    """
    rejected: list[object] = []
    batches: list[pa.RecordBatch] = []
    try:
        if isinstance(delivery, Delivery):
            reading = source.read(delivery.files)
            rejected += reading.rejected
            table = reading.rows
        else:
            for batch in delivery.batches(rejected.append):
                batches.append(batch)
                if sum(each.num_rows for each in batches) >= most:
                    break
            table = pa.Table.from_batches(batches)
    except BadFile as error:
        rejected.append(error)
    if rejected:
        raise CheckFailed(
            f"the source rejects a part of its own arrival {delivery.name}: {rejected[0]}",
            "correct the file, or what source.py declares of it",
        )
    return table


def _some(examples: Examples, n: int) -> Examples:
    """Rows from everywhere among the examples."""
    if examples.n <= n:
        return examples
    return examples.take(np.linspace(0, examples.n - 1, n).astype(np.int64))
