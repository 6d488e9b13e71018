"""Catalogue of models: every package here with a `DEFINITION` is one, named after its folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from overnight.models.errors import UnknownModel
from overnight.store.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from overnight.models.definition import ModelDefinition


@cache
def catalogue() -> Mapping[str, ModelDefinition]:
    """The definitions of all models by name, in alphabetical order.

    Raises:
        ConfigurationError: naming the package whose import or definition is wrong.
    """
    definitions = ((name, _definition(name)) for name in _packages())
    return {name: definition for name, definition in definitions if definition is not None}


def find(model: str) -> ModelDefinition:
    """The definition of a model; no other model's package is imported for it.

    Raises:
        UnknownModel: naming those in the catalogue.
        ConfigurationError: as `catalogue` does.
    """
    definition = _definition(model) if model in _packages() else None
    if definition is None:
        raise UnknownModel(model, tuple(catalogue()))
    return definition


def _packages() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def _definition(package: str) -> ModelDefinition | None:
    """The definition that a package declares; shared packages, such as `gates`, have none."""
    # A model's own code may raise anything; the last line of its traceback does not name the model.
    try:
        module = importlib.import_module(f"{__name__}.{package}")
    except Exception as error:
        raise ConfigurationError(
            f"models/{package} cannot be imported: {type(error).__name__}: {error}; "
            "correct it, or move that folder away"
        ) from error
    definition: ModelDefinition | None = getattr(module, "DEFINITION", None)
    if definition is not None and definition.name != package:
        raise ConfigurationError(
            f"models/{package} defines {definition.name!r}; a model has the name of its folder"
        )
    return definition
