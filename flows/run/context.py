"""What the steps of a run work with, opened once from settings when the run begins."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from overnight import models
from overnight.flows.run.parameters import Begin
from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.models.definition import ModelDefinition, Places, Source, TrainingSettings
from overnight.models.examples import Examples
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import ConfigurationError
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.manifest import DataLineage, Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.signing import Signer
from overnight.tasks.data.ingest import ARRIVAL_COLUMNS
from overnight.tasks.data.leakage import learned_holdout_rows
from overnight.tasks.data.snapshot import (
    Snapshot,
    parted,
    read_holdout,
    read_rows,
    read_stamped,
    snapshot,
)


@dataclass(frozen=True)
class LoadedPredictor:
    """A version as it answers: its manifest, and its exported predictor verified against that."""

    manifest: Manifest
    predictor: bytes


class ModelContext:
    """One model's registry, dataset and scratch, as the settings of this process say.

    No dataclass, because Prefect looks for futures inside of those that are handed to a task.
    """

    def __init__(self, definition: ModelDefinition, settings: Settings) -> None:
        self.definition, self.settings = definition, settings
        self.model = definition.name
        self._loaded: dict[str, LoadedPredictor] = {}

    @classmethod
    def open(cls, model: str) -> "ModelContext":
        """The context of a model of the catalogue."""
        return cls(models.find(model), load())

    def is_warm(self, begin: Begin, champion: Manifest | None, data: DataLineage) -> bool:
        """Whether a run on `data` goes on from the champion's weights; without one none can.

        From a champion that learned rows which judge now none does either: what it knows by heart
        would flatter the candidate before every gate.

        Raises:
            ConfigurationError: it is asked to, and the model declares no settings for it.
        """
        asked = begin == "champion" or (begin == "as declared" and self.definition.continues)
        if asked and self.definition.warm is None:
            raise ConfigurationError(
                f"{self.model} declares no settings for going on from the champion; "
                "give its definition `warm`, or begin afresh"
            )
        return asked and champion is not None and not learned_holdout_rows(champion.data, data)

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
            tuned = self.registry.tuned()
            found = own | (tuned.settings if tuned else {}) | given
        return type(self.definition.settings).model_validate(found)

    @cached_property
    def bucket(self) -> Bucket:
        return connections.bucket(self.settings)

    @cached_property
    def signer(self) -> Signer:
        """Who signs what is published from here."""
        return Signer.from_file(self.settings.signing_key)

    @cached_property
    def registry(self) -> ModelRegistry:
        """The model's versions; those whose signers are trusted here may be loaded."""
        return ModelRegistry(self.bucket, self.model, connections.trust(self.settings))

    @cached_property
    def reviews(self) -> ArrivalReviews:
        """What was found and decided about the model's arrivals."""
        return ArrivalReviews(self.bucket, self.model)

    @cached_property
    def challenges(self) -> Challenges:
        """The challenges of the model's champion."""
        return Challenges(self.bucket, self.model)

    def loaded(self, version: str) -> LoadedPredictor:
        """A trusted version, fetched once however many steps ask for it."""
        if version not in self._loaded:
            manifest = self.registry.trusted(version).manifest
            predictor = self.registry.read_file(manifest, "predictor.tflite")
            self._loaded[version] = LoadedPredictor(manifest, predictor)
        return self._loaded[version]

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

    def holdout_examples(self, taken: Snapshot | None = None) -> Examples:
        """The rows that judge, as the network takes them.

        They are frozen, or where the holdout moves those of the snapshot, or else of one as of now.
        """
        if self.definition.moving is None:
            return self.definition.examples(read_holdout(self.holdout, taken))
        taken = self.snapshot() if taken is None else taken
        before, judging = (
            rows.drop_columns(list(ARRIVAL_COLUMNS))
            for rows in parted(read_stamped(self.rows, taken), taken)
        )
        return self.definition.moving.examples(before, judging)

    def snapshot(self, *, without: Collection[str] | None = None) -> Snapshot:
        """The rows as they are now, without the arrivals named, or those a person left out."""
        moving = self.definition.moving
        return snapshot(
            self.rows,
            self.holdout,
            without=self.reviews.excluded() if without is None else without,
            held_days=moving.days if moving else None,
        )
