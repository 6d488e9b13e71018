"""`overnight new`: the files of a new model of the project, made from a starter."""

import keyword
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from overnight.cli.actions.project import sample_data
from overnight.cli.actions.project.from_rows import from_rows
from overnight.cli.actions.project.toml_lines import with_entry
from overnight.infra.settings import load
from overnight.models.declared import declared_models
from overnight.store import project as projects
from overnight.store.errors import ConfigurationError
from overnight.store.names import nearest
from overnight.store.project import PACKAGING_FILE, SETTINGS_FILE, Project

MODELS_TABLE = 'project.entry-points."overnight.models"'
# A name is also a Python package, part of URLs, and part of a setting's name.
_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_STARTERS = resources.files("overnight.models") / "starters"
_FIRST_CHOICE = "classification"


@dataclass(frozen=True)
class OwnRows:
    """A CSV file whose columns a new model takes, and the column with the truth."""

    path: Path
    target: str


def starters() -> tuple[str, ...]:
    """The names of all starters, the first choice first."""
    folders = (f.name for f in _STARTERS.iterdir() if (f / "__init__.py").is_file())
    return tuple(sorted(folders, key=lambda name: (name != _FIRST_CHOICE, name)))


def add_model(
    name: str, like: str | None, package: str | None, own_rows: OwnRows | None = None
) -> tuple[Path, ...]:
    """Add a model to the project of the current folder; returns the files written, in order.

    Raises:
        ConfigurationError: there is no project, the name, the starter or the file with rows is
            unusable, or one of the files exists.
    """
    like = checked_starter(like)
    place = place_of_model(name, package)
    if own_rows is not None:
        return add(place, _own_files(place, own_rows))
    return add(place, model_files(name, like, place.project, place.package))


@dataclass(frozen=True)
class Place:
    """Where a new model of a project lies: its package, and the folder with rows to try it with."""

    name: str
    package: str
    project: Path

    @property
    def module(self) -> str:
        """The dotted name of the model's package."""
        return f"{self.package}.{self.name}"

    @property
    def folder(self) -> Path:
        """The folder of the model's package."""
        return self.project.joinpath(*self.package.split("."), self.name)

    @property
    def rows(self) -> Path:
        """The folder with its rows."""
        return self.project / "rows" / self.name


def place_of_model(name: str, package: str | None) -> Place:
    """The place of a new model in the project of the current folder.

    Raises:
        ConfigurationError: there is no project, or the name is unusable.
    """
    load()
    project = projects.current()
    if project.folder is None:
        raise ConfigurationError(
            f"{Path.cwd()} is in no project: no {SETTINGS_FILE} is in it or above it; "
            "`overnight init` makes a project here, and `overnight init FOLDER` in another folder"
        )
    check_name(name)
    if name in declared_models():
        raise ConfigurationError(f"a model {name} exists already; choose another name")
    return Place(name, package or _package_of(project), project.folder)


def _own_files(place: Place, own_rows: OwnRows) -> dict[Path, bytes]:
    """The files of a model for somebody's own rows: its modules, and these rows.

    Raises:
        ConfigurationError: the file or the target will not do.
    """
    made = from_rows(place.name, own_rows.path, own_rows.target, network=f"{place.module}.network")
    modules = {place.folder / file: text.encode() for file, text in made.modules.items()}
    return modules | {place.rows / file: body for file, body in made.rows.items()}


def add(place: Place, files: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """Write the files of a new model, and declare it; returns the files written, in order.

    Raises:
        ConfigurationError: one of the files exists.
    """
    refuse_existing(files)
    files = {**files, **_declarations(place.name, place.package, place.project)}
    write(files)
    return tuple(files)


def model_files(name: str, like: str, folder: Path, package: str) -> dict[Path, bytes]:
    """The files of a model: its modules in the package, and generated rows to try it with."""
    parts = package.split(".")
    sources = folder / "src" if (folder / "src" / parts[0]).is_dir() else folder
    place = sources.joinpath(*parts, name)
    files = {
        place / path.name: _renamed(path.read_bytes(), name, like, f"{package}.{name}")
        for path in sorted((_STARTERS / like).iterdir(), key=lambda path: path.name)
        if path.is_file()
    }
    rows = folder / "rows" / name
    return files | {rows / path: body for path, body in sample_data.files(like).items()}


def write(files: Mapping[Path, bytes]) -> None:
    """Write the files, creating their folders."""
    for path, body in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def refuse_existing(files: Mapping[Path, bytes]) -> None:
    """Check that no file would be overwritten.

    Raises:
        ConfigurationError: naming the first one that exists.
    """
    if present := [path for path in files if path.exists()]:
        raise ConfigurationError(
            f"{present[0]} exists already, and nothing was written; choose another name, or move "
            "it away"
        )


def checked_starter(like: str | None) -> str:
    """The starter of this name, or the first choice.

    Raises:
        ConfigurationError: there is no such starter.
    """
    known = starters()
    if like is not None and like not in known:
        raise ConfigurationError(
            f"--like: no starter is called {like!r}; {nearest(like, known)} "
            f"(starters: {', '.join(known)})"
        )
    return like or known[0]


def check_name(name: str) -> None:
    """Check the name of a new model.

    Raises:
        ConfigurationError
    """
    # Generated files are YAML, which reads `on` as a boolean and `null` as none.
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or yaml.safe_load(name) != name:
        raise ConfigurationError(
            f"a model's name is lower-case letters and digits, 32 at most, beginning with a "
            f"letter, and no word of Python's or YAML's; found {name!r}"
        )


def _package_of(project: Project) -> str:
    """The package that most models of the project lie in, or its only one."""
    assert project.folder is not None
    parents = Counter(model.module.rpartition(".")[0] for model in project.declared)
    parents.pop("", None)
    if parents:
        return parents.most_common(1)[0][0]
    packages = [path.parent.name for path in sorted(project.folder.glob("*/__init__.py"))]
    others = [name for name in packages if name != "tests"]
    if len(others) != 1:
        raise ConfigurationError(
            f"{project.folder} has {', '.join(others) or 'no package'}: say by --package in which "
            "one the model is made"
        )
    return others[0]


def _declarations(name: str, package: str, folder: Path) -> dict[Path, bytes]:
    """The project's files, with the new model and the folder of its rows declared."""
    settings, packaging = folder / SETTINGS_FILE, folder / PACKAGING_FILE
    text = settings.read_text(encoding="utf-8")
    text = with_entry(text, "source_folders", name, f"rows/{name}", file=str(settings))
    module = f"{package}.{name}"
    # Where models are declared already, else where nothing has to be installed for it.
    packaged = packaging.read_text(encoding="utf-8") if packaging.is_file() else ""
    if f"[{MODELS_TABLE}]" in packaged:
        packaged = with_entry(packaged, MODELS_TABLE, name, module, file=str(packaging))
        return {packaging: packaged.encode(), settings: text.encode()}
    text = with_entry(text, "models", name, module, file=str(settings))
    return {settings: text.encode()}


def _renamed(body: bytes, name: str, like: str, module: str) -> bytes:
    """A file of a starter with the modules, the name and the title of the new model."""
    changed = body.replace(f"overnight.models.starters.{like}".encode(), module.encode())
    changed = changed.replace(b'"starter"', f'"{name}"'.encode())
    return changed.replace(b'"Starter"', f'"{name.capitalize()}"'.encode())
