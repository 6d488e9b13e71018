"""Where the sources of a model lie: its package, and the folder from which that is imported."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overnight import models
from overnight.models.definition import ModelDefinition
from overnight.models.errors import UnknownModel
from overnight.store.errors import ConfigurationError
from overnight.store.project import current
from overnight.tasks.training.import_closure import PREFIX


@dataclass(frozen=True)
class ModelSources:
    """The packages of one model's own code.

    Attributes:
        folder: from which they are imported; of overnight's own models, the one of its packages.
        own: modules or packages of the model's, by their dotted names below `folder`.
        prefix: what their names begin with, `overnight.` for those of overnight.
        packages: the names in `folder` that imports are followed to; None for all.
    """

    folder: Path
    own: tuple[str, ...]
    prefix: str = ""
    packages: frozenset[str] | None = None

    @classmethod
    def of(cls, definition: ModelDefinition, root: Path) -> "ModelSources":
        """The sources of a model; `root` is the folder of overnight's own packages.

        Raises:
            ConfigurationError: its package cannot be located.
        """
        # Settings may name modules that no module imports, so the network's package counts, too.
        network = definition.network.rpartition(".")[0]
        named = (_declared_module(definition), network)
        own = {name for name in named if name and not f"{name}.".startswith(PREFIX)}
        if not own:
            return cls(root, (network.removeprefix(PREFIX),), prefix=PREFIX)
        folders = {name: _import_folder(name) for name in sorted(own)}
        if len({*folders.values()}) > 1:
            places = ", ".join(f"{name} in {folder}" for name, folder in folders.items())
            raise ConfigurationError(
                f"{definition.name}: its definition and its network are in two folders, {places}, "
                "and only one can be its repository; move the network's module beside the "
                "definition"
            )
        folder = next(iter(folders.values()))
        # Among installed packages, imports of others are followed by the lock file alone.
        is_project = "site-packages" not in folder.parts
        top = frozenset(name.partition(".")[0] for name in own)
        return cls(folder, tuple(sorted(own)), packages=None if is_project else top)

    def files(self) -> Iterator[Path]:
        """All files in the model's packages, at any depth, in no order; caches, too."""
        for name in self.own:
            place = self.folder.joinpath(*name.split("."))
            if place.is_dir():
                yield from place.rglob("*")
            else:
                yield place.with_name(f"{place.name}.py")

    def shared_files(self) -> Iterator[Path]:
        """All files of a project's top-level packages that lie in the folder of no model."""
        if self.prefix:
            return
        declared = {model.module for model in current().declared} - {*self.own}
        models_of_others = {self.folder.joinpath(*module.split(".")) for module in declared}
        for top in sorted({name.partition(".")[0] for name in self.own}):
            for path in (self.folder / top).rglob("*"):
                if models_of_others.isdisjoint(path.parents):
                    yield path

    def module(self, path: Path) -> str:
        """The name of the module in a file."""
        name = ".".join(path.relative_to(self.folder).with_suffix("").parts)
        return self.prefix + name.removesuffix(".__init__")


def _declared_module(definition: ModelDefinition) -> str:
    """The module of a model of the catalogue; empty for a definition that is not in it."""
    try:
        return models.declaration(definition.name).module
    except UnknownModel:
        return ""


def _import_folder(module: str) -> Path:
    """The folder from which a top-level package is imported; nothing is imported for it."""
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ConfigurationError(
            f"the model's module {module} is in no package: its files could not be separated from "
            f"others; make a package of it, such as {top}/__init__.py"
        )
    return Path(places[0]).resolve().parent
