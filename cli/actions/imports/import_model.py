"""`overnight import-model`: a model of the project from an existing network."""

import importlib
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from overnight.cli.actions.imports import rows as table
from overnight.cli.actions.imports.module import module_files
from overnight.cli.actions.project import scaffold
from overnight.models.training.description import Description, describe
from overnight.store.errors import ConfigurationError

NETWORK_FILE, GRAPH_FOLDER = "imported.keras", "imported"


@dataclass(frozen=True)
class Imported:
    """What was written, and what somebody should know of it."""

    files: tuple[Path, ...]
    renamed: Mapping[str, str]
    description: Description
    module: str


def import_model(
    file: Path,
    name: str,
    *,
    package: str | None = None,
    rows: Path | None = None,
    label: Sequence[str] = (),
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    layers: str | None = None,
) -> Imported:
    """Add a model to the project of the current folder that serves a network as it is.

    The network is copied into the model's package, so that the fingerprint covers it. It is
    exported once, so that what cannot be served is refused here.

    Args:
        file: a `.keras` file, or the folder of a SavedModel.
        rows: a folder of CSV files with a `holdout.csv`; without it rows are generated, labelled by
            the network itself.
        label: the column with the labels, or `output=column` for each of several.
        classes: the names of the classes of the first output, in order.
        columns: `input=column,column,…` where columns are not named as the inputs are.
        rename: new names of inputs and outputs by those in the file.
        layers: a module, or a file of Python, with the layers that are not Keras' own.

    Raises:
        ConfigurationError: there is no project, or the name, rows or columns are unusable.
        UnusableNetwork: the file is none, needs code of its own, or cannot be served.
    """
    place = scaffold.place_of_model(name, package)
    module, layers_body = _layers(layers)
    described = describe(file, rename=rename or {}, layers=module, classes=classes)
    given = (
        table.read(rows, described, label=label, columns=columns)
        if rows
        else table.generate(described)
    )
    own_layers = ""
    if module is not None:
        own_layers = module.__name__ if layers_body is None else f"{place.module}.layers"
    files = module_files(
        place.module,
        name,
        described,
        given,
        file=GRAPH_FOLDER if file.is_dir() else NETWORK_FILE,
        layers=own_layers,
    )
    if layers_body is not None:
        files["layers.py"] = layers_body
    written = {place.folder / path: body for path, body in files.items()}
    written |= {place.folder / path: body for path, body in _network(file).items()}
    written |= {place.rows / path: body for path, body in given.files.items()}
    return Imported(scaffold.add(place, written), described.renamed, described, place.module)


def _network(file: Path) -> dict[str, bytes]:
    """The network's files as they lie in the package."""
    if not file.is_dir():
        return {NETWORK_FILE: file.read_bytes()}
    return {
        f"{GRAPH_FOLDER}/{path.relative_to(file).as_posix()}": path.read_bytes()
        for path in sorted(file.rglob("*"))
        if path.is_file()
    }


def _layers(layers: str | None) -> tuple[ModuleType | None, bytes | None]:
    """The module with somebody's own layers; and its source, if it has to come along."""
    if layers is None:
        return None, None
    if not layers.endswith(".py"):
        try:
            return importlib.import_module(layers), None
        except ImportError as error:
            raise ConfigurationError(
                f"--layers: the module {layers} cannot be imported: {error}; name a module of the "
                "project, or a file of Python"
            ) from None
    path = Path(layers)
    if not path.is_file():
        raise ConfigurationError(f"--layers: there is no file {layers}; correct the path")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, Path(folder) / "imported_layers.py")
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("imported_layers"), path.read_bytes()
        finally:
            sys.path.remove(folder)
