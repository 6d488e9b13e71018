"""What the steps of a flow work with, opened from settings at the door."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import models
from infra import connections
from infra.settings import Settings, load
from models.definition import Examples, ModelDefinition, Places, Source, TrainingSettings
from store.bucket import Bucket
from store.datasets import Dataset
from tasks.snapshot import Snapshot, read_holdout, read_rows


@dataclass(frozen=True)
class House:
    """One model's bucket, dataset and scratch, as the settings of this process say."""

    model: str
    settings: Settings

    @classmethod
    def of(cls, model: str) -> "House":
        """Open the house for a model of the catalogue."""
        return cls(models.find(model).name, load())

    @property
    def definition(self) -> ModelDefinition:
        return models.find(self.model)

    def training_settings(self, changed: Mapping[str, float | int | None]) -> TrainingSettings:
        """The model's own settings, with what a run asks for instead; None asks for nothing."""
        declared = self.definition.settings
        given = {name: value for name, value in changed.items() if value is not None}
        return type(declared).model_validate(declared.model_dump() | given)

    @cached_property
    def bucket(self) -> Bucket:
        return connections.bucket(self.settings)

    @cached_property
    def rows(self) -> Dataset:
        return Dataset.on_s3(connections.address(self.settings), self.model, "rows")

    @cached_property
    def holdout(self) -> Dataset:
        return Dataset.on_s3(connections.address(self.settings), self.model, "holdout")

    @property
    def source(self) -> Source:
        places = Places(
            folder=self.settings.source_folders.get(self.model),
            cache=self.settings.home / "sources" / self.model,
        )
        return self.definition.open_source(places)

    def work(self, name: str) -> Path:
        """Where one candidate is worked on, until its run is over."""
        return self.settings.home / "work" / self.model / name

    def training_examples(self, snapshot: Snapshot) -> Examples:
        """The rows of a snapshot, as the network takes them."""
        return self.definition.examples(read_rows(self.rows, snapshot))

    def holdout_examples(self) -> Examples:
        """The frozen rows, as the network takes them."""
        return self.definition.examples(read_holdout(self.holdout))
