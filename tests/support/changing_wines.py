"""A tiny dataset whose columns change from night to night: wines as JSON, in tables in a folder."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import (
    Delivery,
    ModelDefinition,
    Places,
    Reading,
    RowValue,
    TrainingSettings,
)
from overnight.models.examples import Examples
from overnight.models.gates import AtLeast
from overnight.models.metrics.classifier import correct, measure, per_row
from overnight.store.datasets.delta_table import Dataset
from overnight.store.objects.memory import MemoryBucket
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.holdout import check_holdout
from overnight.tasks.data.ingest import ingest
from overnight.tasks.data.snapshot import Snapshot, snapshot

LABELS = ("red", "white")
ACID, SUGAR = (TensorSpec(name=name, datatype="FP32", shape=()) for name in ("acid", "sugar"))
LABEL = TensorSpec(name="label", datatype="INT32", shape=(), minimum=0, maximum=1)
PROBABILITIES = TensorSpec(name="probabilities", datatype="FP32", shape=(2,), minimum=0, maximum=1)
Night = Mapping[str, Sequence[Any]]


def table(columns: Night) -> pa.Table:
    """Rows by column, with the digest of their `id`."""
    digests = [hashlib.sha256(str(each).encode()).hexdigest() for each in columns["id"]]
    return pa.table({**{name: pa.array(v) for name, v in columns.items()}, "digest": digests})


class Wines:
    """Delivers the nights in turn; each file is an object of columns."""

    def __init__(self, *nights: Night, held_out: Night) -> None:
        self.nights, self._held_out = list(nights), held_out

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        for number, night in enumerate(self.nights, 1):
            if f"night-{number}" not in delivered:
                return Delivery(f"night-{number}", {"wines.json": json.dumps(night).encode()})
        return None

    def read(self, files: Mapping[str, bytes]) -> Reading:
        (body,) = files.values()
        return Reading(table(json.loads(body)))

    def holdout(self) -> pa.Table:
        return table(self._held_out)


def examples(rows: pa.Table, *names: str) -> Examples:
    """The named columns as float32 [n], and labels."""
    inputs = {
        name: rows.column(name).to_numpy(zero_copy_only=False).astype(np.float32) for name in names
    }
    return Examples(inputs, rows.column("label").to_numpy().astype(np.int64))


def definition(
    *inputs: TensorSpec,
    columns: Sequence[Column] | None = None,
    row_defaults: Mapping[str, RowValue] | None = None,
    **changes: Any,
) -> ModelDefinition:
    """A classifier of wines with these inputs, each a column of its name."""

    def open_source(_: Places) -> Wines:
        raise AssertionError("the tests hand the source over")

    return ModelDefinition(
        **{
            "name": "wine",
            "title": "Wine",
            "network": "tests.support.networks.constant",
            "pictures": "overnight.models.plots.classifier",
            "tensors": Schema(inputs=inputs, outputs=(PROBABILITIES,), labels=LABELS),
            "gates": (AtLeast("accuracy", 0.5),),
            "settings": TrainingSettings(
                epochs=1,
                batch_rows=8,
                learning_rate=0.1,
                seed=1,
                validation_share=0.1,
                patience_epochs=1,
            ),
            "open_source": open_source,
            "examples": lambda rows: examples(rows, *(spec.name for spec in inputs)),
            "measure": measure,
            "correct": correct,
            "per_row": per_row,
            "data_gates": DataGates(
                columns=tuple(columns or map(Column, (*inputs, LABEL))), class_rows=1
            ),
            "row_defaults": row_defaults or {},
        }
        | changes
    )


@dataclass
class Cellar:
    """The tables of the model in a folder, and its bucket in memory."""

    folder: Path
    source: Wines
    bucket: MemoryBucket = field(default_factory=MemoryBucket)

    @property
    def rows(self) -> Dataset:
        return Dataset.in_folder(self.folder, "wine", "rows")

    @property
    def holdout(self) -> Dataset:
        return Dataset.in_folder(self.folder, "wine", "holdout")

    def ingest(self, model: ModelDefinition) -> Ingested:
        """Take in the next night, as the model is declared now."""
        return ingest(
            self.source,
            self.bucket,
            self.rows,
            self.holdout,
            model="wine",
            take_next=True,
            gates=model.data_gates,
            declared=DeclaredColumns.of(model),
            check_holdout=lambda rows, file: check_holdout(rows, model, file=file),
        )

    def snapshot(self, model: ModelDefinition, **changes: Any) -> Snapshot:
        return snapshot(self.rows, self.holdout, declared=DeclaredColumns.of(model), **changes)
