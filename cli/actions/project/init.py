"""`overnight init`: a small project with one model, which runs as it is."""

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from overnight import __version__
from overnight.cli.actions.project.scaffold import (
    check_name,
    checked_starter,
    model_files,
    refuse_existing,
    write,
)
from overnight.store.errors import ConfigurationError
from overnight.store.project import PACKAGING_FILE, SETTINGS_FILE

_TEMPLATE = resources.files("overnight.cli") / "project_template"
# Where each file of the template goes.
_PLACES = {
    "pyproject.toml": PACKAGING_FILE,
    "overnight.toml": SETTINGS_FILE,
    "gitignore": ".gitignore",
    "README.md": "README.md",
    "test_models.py": "tests/test_models.py",
}
# What a repository may have already, and is left as it is.
_KEPT = (PACKAGING_FILE, ".gitignore", "README.md")


def make_project(
    folder: Path, *, package: str | None, model: str | None, like: str | None
) -> tuple[Path, ...]:
    """Make a project in a folder, new or not; returns the files written, in order.

    A `pyproject.toml`, `.gitignore` or `README.md` that is there is left as it is, and
    `overnight.toml` then declares the model.

    Raises:
        ConfigurationError: a name is unusable, or another file of the project exists.
    """
    folder = folder.absolute()
    if (folder / SETTINGS_FILE).exists():
        raise ConfigurationError(
            f"{folder} is a project already; `overnight new NAME --like STARTER` adds a model to it"
        )
    like = checked_starter(like)
    model = like if model is None else model
    check_name(model)
    package = _package(folder) if package is None else package
    _check_package(package, folder)
    values = {
        "distribution": re.sub(r"_+", "-", package),
        "package": package,
        "model": model,
        "like": like,
        "release": __version__,
    }
    files = {folder / package / "__init__.py": f'"""The models of {package}."""\n'.encode()}
    files |= model_files(model, like, folder, package)
    for name, place in _PLACES.items():
        if place in _KEPT and (folder / place).exists():
            continue
        text = Template((_TEMPLATE / f"{name}.template").read_text(encoding="utf-8")).substitute(
            values
        )
        files[folder / place] = text.encode()
    if (folder / PACKAGING_FILE).exists():
        declared = f'\n[models]\n{model} = "{package}.{model}"\n'
        files[folder / SETTINGS_FILE] += declared.encode()
    refuse_existing(files)
    write(files)
    return tuple(files)


def _package(folder: Path) -> str:
    """A package's name made of that of the folder."""
    return re.sub(r"\W+", "_", folder.name.lower(), flags=re.ASCII).strip("_")


def _check_package(package: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", package) or keyword.iskeyword(package):
        raise ConfigurationError(
            f"{package!r} cannot be the name of a package: expected lower-case letters, digits and "
            "'_'; choose one by --package"
        )
    # A module of that name would be imported in its place, or the other way round.
    spec = importlib.util.find_spec(package)
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), str(spec.origin)]
    if any(not Path(place).is_relative_to(folder) for place in places):
        raise ConfigurationError(
            f"a package {package!r} is in this environment already ({places[0]}); choose another "
            "by --package"
        )
