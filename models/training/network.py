"""`Network`: what a model's network module declares, and how overnight trains and exports it.

    NETWORK = Network(build, losses={"probabilities": "sparse_categorical_crossentropy"})

A module may define `fit`, `export` or `predict` of its own beside it; those are used instead.
Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples
from overnight.models.metrics.equivalence import Tolerances, alike_by_output
from overnight.models.training import export as exporting
from overnight.models.training import learning
from overnight.models.training.freezing import Frozen
from overnight.models.training.learning import Fitted, MakeOptimizer, Report
from overnight.models.training.weights import ClassWeights
from overnight.store.schema import Schema

__all__ = ["Fitted", "Frozen", "Network", "Report"]


@dataclass(frozen=True)
class Network:
    """A network with its losses.

    Attributes:
        build: makes the untrained network, a `keras.Model` whose inputs and outputs are mappings by
            the names of the schema. It may take any of the keywords `seed`, `tensors` (the schema,
            with what was learned on the snapshot), `training` (the training rows) and `settings`.
        losses: by output, each as Keras takes it. Without losses there is no fit: the network is
            served as `build` makes it.
        loss_weights: by output; without one a loss counts as 1.
        metrics: further Keras metrics by output.
        class_weights: by output: weights of its classes by number or name, or "balanced".
        frozen: layers that keep their weights at first, such as pretrained ones.
        optimizer: makes the optimiser from the learning rate and the number of steps.
    """

    build: Callable[..., keras.Model]
    losses: Mapping[str, Any] = field(default_factory=dict)
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    class_weights: Mapping[str, ClassWeights] = field(default_factory=dict)
    frozen: Frozen | None = None
    optimizer: MakeOptimizer = learning.adam

    def built(self, training: Examples, settings: TrainingSettings) -> keras.Model:
        """The untrained network; its initial weights follow from the seed."""
        keras.utils.set_random_seed(settings.seed)
        offered = {
            "seed": settings.seed,
            "tensors": training.tensors,
            "training": training,
            "settings": settings,
        }
        wanted = inspect.signature(self.build).parameters
        return self.build(**{name: value for name, value in offered.items() if name in wanted})

    def fit(
        self,
        training: Examples,
        validation: Examples,
        *,
        settings: TrainingSettings,
        report: Report,
        start: Path | None = None,
    ) -> Fitted:
        """Train a network from its seed, or on from the weights in `start`.

        Raises:
            ValueError: there are no losses.
        """
        if not self.losses:
            raise ValueError(
                "the network has no losses, so it cannot be trained; declare them in its module, "
                "NETWORK = Network(build, losses={output: loss}), or the settings AS_IT_IS"
            )
        return learning.fit(
            self.built(training, settings),
            training,
            validation,
            losses=self.losses,
            loss_weights=self.loss_weights,
            metrics=self.metrics,
            class_weights=self.class_weights,
            frozen=self.frozen,
            optimizer=self.optimizer,
            settings=settings,
            report=report,
            start=start,
        )

    def export(
        self,
        network: keras.Model,
        sample: Mapping[str, Array],
        *,
        tensors: Schema,
        tolerance: Tolerances,
    ) -> dict[str, bytes]:
        """The files of a bundle; int8 weights when every output agrees by its own measure.

        Raises:
            ValueError: the network has other outputs than the schema declares.
        """
        names = (
            list(network.output) if isinstance(network.output, Mapping) else network.output_names
        )
        declared = [spec.name for spec in tensors.outputs]
        if missing := [name for name in declared if name not in names]:
            raise ValueError(
                f"the schema declares the outputs {', '.join(declared)}, and the network has "
                f"{', '.join(names)}: {', '.join(missing)} is missing; name outputs in `build` as "
                "the schema does"
            )
        return exporting.export(network, sample, alike=alike_by_output(tensors, tolerance))

    def predict(self, network: keras.Model, inputs: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
        """The outputs by name, n rows each."""
        return exporting.predict(network, inputs)
