"""What the steps of a flow work with, opened from settings at the door."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import models
from flows.parameters import Begin
from infra import connections
from infra.settings import Settings, load
from models.definition import Examples, ModelDefinition, Places, Source, TrainingSettings
from store.bucket import Bucket
from store.datasets import Dataset
from store.errors import ConfigurationError
from store.tuning import read_tuned
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

    def is_warm(self, begin: Begin, champion: str | None) -> bool:
        """Whether a run goes on from the champion's weights; without a champion none can.

        Raises:
            ConfigurationError: it is asked to, and the model declares no settings for it.
        """
        asked = begin == "champion" or (begin == "as declared" and self.definition.continues)
        if asked and self.definition.warm is None:
            raise ConfigurationError(
                f"{self.model} declares no settings for going on from the champion; "
                "give its definition `warm`, or begin afresh"
            )
        return asked and champion is not None

    def training_settings(
        self, changed: Mapping[str, float | int | None], *, warm: bool = False
    ) -> TrainingSettings:
        """The model's own settings, over them what was tuned, over that what a run asks for.

        A run that goes on from the champion has settings of its own, which are not tuned.
        None asks for nothing, and neither does the model's own value, with which forms are filled.
        """
        own = self.definition.settings.model_dump()
        given = {n: v for n, v in changed.items() if v is not None and v != own.get(n)}
        if warm and self.definition.warm is not None:
            found = self.definition.warm.model_dump() | given
        else:
            tuned = read_tuned(self.bucket, self.model)
            found = own | (tuned.settings if tuned else {}) | given
        return type(self.definition.settings).model_validate(found)

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
