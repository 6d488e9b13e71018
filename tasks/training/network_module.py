"""The functions of a model's network: those of its module, and else those of its `NETWORK`.

Imports no TensorFlow by itself: a module decides what its network needs.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from overnight.models.definition import Progress, TrainingSettings
from overnight.models.examples import Array, Examples
from overnight.models.metrics.equivalence import Tolerances
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema


class NetworkModule:
    """A network's functions, called with what each of them takes.

    Networks are of any kind: what `fit` and `build` return is handed to `export` and `predict`.
    """

    def __init__(self, name: str) -> None:
        """Import a module.

        Raises:
            ConfigurationError: it defines neither a fit nor a `NETWORK`.
        """
        self.name, self._module = name, importlib.import_module(name)
        self._declared = getattr(self._module, "NETWORK", None)
        if self._find("fit") is None and self._find("build") is None:
            raise self._incomplete("fit")

    def fit(
        self,
        training: Examples,
        validation: Examples,
        *,
        settings: TrainingSettings,
        report: Callable[[Progress], None],
        start: Path | None = None,
    ) -> Any:
        """Train a network; returns it with the metrics of each epoch, as `Fitted`.

        Raises:
            ConfigurationError: the module has no fit.
        """
        fit = self._find("fit")
        if fit is None:
            raise ConfigurationError(
                f"{self.name}: there is no fit for {settings.epochs} epochs; define fit or a "
                "NETWORK with losses, or declare settings=AS_IT_IS in the model's definition"
            )
        # Left out where training starts afresh: a fit need not know of it.
        started = {} if start is None else {"start": start}
        return fit(training, validation, settings=settings, report=report, **started)

    def as_it_is(self, rows: Examples, settings: TrainingSettings) -> Any:
        """The network without a fit.

        Raises:
            ConfigurationError: the module cannot build one.
        """
        if self._declared is not None and not hasattr(self._module, "build"):
            return self._declared.built(rows, settings)
        build = self._find("build")
        if build is None:
            raise ConfigurationError(
                f"{self.name}: a network that is served as it is needs a function build that makes "
                "it with its weights; add it, or declare settings with epochs of 1 and more"
            )
        return _call(build, seed=settings.seed, tensors=rows.tensors, settings=settings)

    def export(
        self,
        network: Any,
        sample: Mapping[str, Array],
        *,
        tensors: Schema | None,
        tolerance: Tolerances,
        score_rows: Examples | None = None,
    ) -> Mapping[str, bytes]:
        """The files of a bundle.

        `score_rows` are training rows, of which an export that takes them adds a score of how
        unlike them a row is.
        """
        files: Mapping[str, bytes] = _call(
            self._function("export"),
            network,
            sample,
            tensors=tensors,
            tolerance=tolerance,
            score_rows=score_rows,
        )
        return files

    def predict(self, network: Any, inputs: Mapping[str, Array]) -> dict[str, Any]:
        """The outputs by name, n rows each."""
        return dict(self._function("predict")(network, inputs))

    def _find(self, name: str) -> Callable[..., Any] | None:
        return getattr(self._module, name, None) or getattr(self._declared, name, None)

    def _function(self, name: str) -> Callable[..., Any]:
        function = self._find(name)
        if function is None:
            raise self._incomplete(name)
        return function

    def _incomplete(self, name: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.name}: there is no {name}; expected NETWORK = Network(build, "
            "losses={output: loss}), or functions fit, export and predict of its own; add one"
        )


def _call(function: Callable[..., Any], *arguments: Any, **offered: Any) -> Any:
    """Call a function with those of the offered keywords that it takes."""
    wanted = inspect.signature(function).parameters
    return function(
        *arguments, **{name: value for name, value in offered.items() if name in wanted}
    )
