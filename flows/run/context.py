"""The registry, dataset, source and scratch folder of one model, for the steps of a run."""

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight import models
from overnight.flows.run.parameters import StartFrom
from overnight.infra import connections, identities
from overnight.infra.settings import Settings, load
from overnight.models.definition import ModelDefinition, Places, Source, TrainingSettings
from overnight.models.examples import Examples
from overnight.models.sources.access import SourceAccess
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.holdout_sets import holdout_sets, verify
from overnight.store.errors import ConfigurationError
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.manifest import DataLineage, Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tuned_settings import TunedSettingsLog
from overnight.store.schema_translation import same_encoding
from overnight.store.trust.signing import Signer
from overnight.tasks.data.categories import categories
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.leakage import learned_holdout_rows
from overnight.tasks.data.learn import learn
from overnight.tasks.data.reader_process import ReaderProcess, ReadLimits
from overnight.tasks.data.snapshot import (
    Snapshot,
    read_holdout,
    read_judging_sets,
    read_rows,
    read_stamped,
    split_holdout,
)
from overnight.tasks.data.snapshot import snapshot as take_snapshot
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS


@dataclass(frozen=True)
class LoadedPredictor:
    """The manifest of a version, and its exported predictor verified against that."""

    manifest: Manifest
    predictor: bytes


class ModelContext:
    """One model's registry, dataset and scratch folder, opened from the settings of this process.

    Clients are opened on first use, and shared by the steps of a run.
    """

    # Not a dataclass: Prefect searches the fields of a dataclass that a task gets for futures.

    def __init__(self, definition: ModelDefinition, settings: Settings) -> None:
        self.definition, self.settings = definition, settings
        self.model = definition.name
        self._loaded: dict[str, LoadedPredictor] = {}

    @classmethod
    def open(cls, model: str, identity: identities.Name | None = None) -> "ModelContext":
        """The context of a model of the catalogue.

        `identity` is for flows that carry out a person's decision, and is named by their code: a
        run's own environment must not choose it.
        """
        # The settings first: they say which project's models there are.
        settings = load(identity)
        return cls(models.find(model), settings)

    def is_warm(self, start_from: StartFrom, champion: Manifest | None, data: DataLineage) -> bool:
        """Whether a run on `data` starts from the champion's weights.

        It does not where there is no champion; where the champion was trained on rows that are in
        the holdout now: the candidate would inherit them, and pass every gate too easily; or where
        categories or classes have other numbers now, for which its weights were not trained.

        Raises:
            ConfigurationError: it is requested, and the model declares no settings for it.
        """
        wanted = start_from == "champion" or (
            start_from == "as declared" and self.definition.warm_by_default
        )
        if wanted and self.definition.warm is None:
            raise ConfigurationError(
                f"{self.model} declares no settings for starting from the champion; "
                "give its definition `warm`, or start from scratch"
            )
        return (
            wanted
            and champion is not None
            and not learned_holdout_rows(champion.data, data)
            and same_encoding(self.definition.tensors, champion.tensors)
        )

    def training_settings(
        self, changed: Mapping[str, float | int | None], *, warm: bool = False
    ) -> TrainingSettings:
        """The model's own settings, overridden by the tuned ones, and those by the run's.

        A warm run starts from the definition's `warm` settings instead, which are not tuned.
        In `changed`, None changes nothing.
        """
        own = self.definition.settings.model_dump()
        # Forms are filled with the model's own values: submitting one must not undo the tuning.
        run = {n: v for n, v in changed.items() if v is not None and v != own.get(n)}
        if warm and self.definition.warm is not None:
            settings = self.definition.warm.model_dump() | run
        else:
            tuned = TunedSettingsLog(self.bucket, self.model).current()
            settings = own | (tuned.settings if tuned else {}) | run
        return type(self.definition.settings).model_validate(settings)

    @property
    def fit_seconds(self) -> float:
        """How long a fit may take: as the model or else the settings say."""
        return self.definition.limits.fit_seconds or self.settings.fit_seconds

    @property
    def rehearse_seconds(self) -> float:
        """How long a rehearsal may take."""
        return self.definition.limits.rehearse_seconds or self.settings.rehearse_seconds

    @cached_property
    def bucket(self) -> Bucket:
        return connections.bucket(self.settings)

    @cached_property
    def signer(self) -> Signer:
        """The key that signs versions published by this process."""
        return Signer.from_file(self.settings.signing_key)

    @property
    def record_signer(self) -> Signer:
        """The key that signs records of this process' identity.

        Raises:
            ConfigurationError: there is none; says how to make one.
        """
        return connections.record_signer(self.settings)()

    @cached_property
    def registry(self) -> ModelRegistry:
        """The model's versions; those signed by a trusted key may be loaded."""
        trust, signer = connections.trust(self.settings), connections.record_signer(self.settings)
        return ModelRegistry(self.bucket, self.model, trust, signer)

    @cached_property
    def reviews(self) -> ArrivalReviews:
        """Findings and decisions about the model's arrivals."""
        return ArrivalReviews(self.bucket, self.model)

    @cached_property
    def challenges(self) -> Challenges:
        """The challenges of the model's champion."""
        return Challenges.of(self.registry)

    def load_predictor(self, version: str) -> LoadedPredictor:
        """The predictor of a trusted version; several steps of a run share one download."""
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
    def rows_store(self) -> S3Address:
        """The S3 of rows that a run has to read or write: as the model's source reaches it."""
        return connections.rows_store(self.settings, self.model)

    @property
    def source(self) -> Source:
        return self.definition.open_source(self._places)

    @property
    def _places(self) -> Places:
        # Names of variables have no hyphens.
        names = (self.model, self.model.replace("-", "_"))
        folders, sources = self.settings.source_folders, self.settings.sources
        reached = next((sources[name] for name in names if name in sources), None)
        return Places(
            folder=next((folders[name] for name in names if name in folders), None),
            cache=self.settings.home / "sources" / self.model,
            access=SourceAccess(**reached.revealed()) if reached else SourceAccess(),
        )

    def reader(self) -> ReaderProcess:
        """A process that reads arrivals of the model, for a `with` statement."""
        limits = ReadLimits(
            memory_mb=self.settings.arrival_memory_mb, seconds=self.settings.arrival_seconds
        )
        log = self.settings.home / "work" / self.model / "reader.log"
        return ReaderProcess(self.model, self._places, limits, log=log)

    def scratch_folder(self, name: str) -> Path:
        """The folder of one candidate, until its run is over."""
        return self.settings.home / "work" / self.model / name

    def learning(self, snapshot: Snapshot) -> "ModelContext":
        """The same context, with what the model learns of the training rows before it trains.

        Raises:
            Unlearnable: there is nothing to learn from.
        """
        if not self.definition.learned:
            return self
        rows = split_holdout(self.stamped_rows(snapshot), snapshot)[0]
        return self._with(learn(self.definition, rows))

    def adopting(self, manifest: Manifest) -> "ModelContext":
        """The same context, with what a version has learned."""
        return self._with(self.definition.adopting(manifest.tensors))

    def _with(self, definition: ModelDefinition) -> "ModelContext":
        """The same clients, with another definition."""
        context = copy.copy(self)
        context.definition = definition
        return context

    @property
    def declared(self) -> DeclaredColumns:
        """The columns of rows that the model declares now."""
        return DeclaredColumns.of(self.definition)

    def stamped_rows(self, snapshot: Snapshot) -> pa.Table:
        """The rows of a snapshot in order of arrival, as `read_stamped`."""
        return read_stamped(self.rows, snapshot, self.holdout, declared=self.declared)

    def training_examples(self, snapshot: Snapshot) -> Examples:
        """The training rows of a snapshot, with published values."""
        return self.definition.examples(
            read_rows(self.rows, snapshot, self.holdout, declared=self.declared)
        )

    def holdout_examples(self, snapshot: Snapshot | None = None) -> Examples:
        """The holdout, with published values.

        A frozen holdout is the same for every snapshot; a moving one is that of the snapshot, or of
        one taken now.
        """
        if self.definition.moving_holdout is None:
            return self.definition.examples(
                read_holdout(self.holdout, snapshot, declared=self.declared)
            )
        snapshot = self.snapshot() if snapshot is None else snapshot
        training, holdout = (
            rows.drop_columns(list(ARRIVAL_COLUMNS))
            for rows in split_holdout(self.stamped_rows(snapshot), snapshot)
        )
        return self.definition.moving_holdout.examples(training, holdout)

    def holdout_parts(self, snapshot: Snapshot) -> dict[str, NDArray[np.int64] | None]:
        """The places among the holdout's rows of each set that judges, by name, newest first.

        Of a single set these are all, which is None, under no name.
        """
        if len(snapshot.judged_by) < 2:
            return {"": None}
        sets = read_judging_sets(self.holdout, snapshot)
        ends = np.cumsum([rows.num_rows for rows in sets.values()])
        return {
            name: np.arange(end - rows.num_rows, end)
            for (name, rows), end in zip(sets.items(), ends, strict=True)
        }

    def snapshot(self, *, without: Collection[str] | None = None) -> Snapshot:
        """The rows as they are now, without the arrivals named, or else those a person excluded."""
        moving = self.definition.moving_holdout
        if moving is None and self.registry.trust is not None:
            verify(holdout_sets(self.holdout), self.registry.trust)
        return take_snapshot(
            self.rows,
            self.holdout,
            without=self.reviews.excluded() if without is None else without,
            held_days=moving.days if moving else None,
            known=categories(self.definition),
            declared=self.declared,
        )
