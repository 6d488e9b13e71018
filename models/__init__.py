"""Catalogue of models: what the project, installed packages or our examples declare."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from overnight.models.declared import EXAMPLES, declared_models
from overnight.models.errors import UnknownModel
from overnight.store.errors import ConfigurationError
from overnight.store.project import DeclaredModel, current

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from overnight.models.definition import ModelDefinition


def names() -> tuple[str, ...]:
    """The names of all models, in alphabetical order; none of them is imported.

    Raises:
        ConfigurationError: a declaration is wrong.
    """
    return tuple(declared_models())


def catalogue() -> Mapping[str, ModelDefinition]:
    """The definitions of all models by name, in alphabetical order.

    Raises:
        ConfigurationError: naming the module whose import or definition is wrong.
    """
    return {name: load(declared) for name, declared in declared_models().items()}


def find(model: str) -> ModelDefinition:
    """The definition of a model; no other model's module is imported for it.

    Raises:
        UnknownModel: naming those in the catalogue.
        ConfigurationError: as `catalogue` does.
    """
    return load(declaration(model))


def declaration(model: str) -> DeclaredModel:
    """Where a model is declared, and its module; nothing is imported.

    Raises:
        UnknownModel: naming those in the catalogue.
    """
    declared = declared_models()
    if model not in declared:
        example = model in EXAMPLES
        raise UnknownModel(model, tuple(declared), example=example, project=current().folder)
    return declared[model]


def load(model: DeclaredModel) -> ModelDefinition:
    """The definition in a model's module.

    Raises:
        ConfigurationError: it cannot be imported, has no definition, or one of another name.
    """
    module = _imported(model)
    definition: ModelDefinition | None = getattr(module, "DEFINITION", None)
    if definition is None:
        raise ConfigurationError(
            f"{model.where} declares {model.name} = {model.module!r}, and that module "
            f"({module.__file__}) has no DEFINITION; expected a ModelDefinition of that name"
        )
    if definition.name != model.name:
        raise ConfigurationError(
            f"{model.where} declares {model.name} = {model.module!r}, whose DEFINITION is called "
            f"{definition.name!r}; expected one name for both"
        )
    return definition


def _imported(model: DeclaredModel) -> ModuleType:
    # A model's own code may raise anything; the last line of its traceback does not name the model.
    try:
        return importlib.import_module(model.module)
    except Exception as error:
        raise ConfigurationError(
            f"{model.name}: the module {model.module}, which {model.where} declares, cannot be "
            f"imported: {type(error).__name__}: {error}; {_remedy(model, error)}"
        ) from error


def _remedy(model: DeclaredModel, error: Exception) -> str:
    top = model.module.partition(".")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{model.module}.".startswith(f"{missing}."):
        place = current().folder or sys.path[0] or "the current folder"
        return (
            f"neither {place} nor this environment has it: correct the name, or install the "
            f"package that has {top}"
        )
    if missing:
        return f"install what it needs ({missing}) into this environment, or correct the import"
    return "correct it, or remove its declaration"
