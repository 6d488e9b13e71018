"""Reads a project: `overnight.toml`, and the models that its `pyproject.toml` declares.

    home = ".overnight"
    serving_port = 8090

    [source_folders]
    wine = "rows/wine"

    [models]
    wine = "shop.wine"

Keys are the settings in lower case; paths are relative to the folder of the file.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import AliasChoices, BaseModel, SecretStr

from overnight.store.errors import ConfigurationError
from overnight.store.names import nearest
from overnight.store.project import PACKAGING_FILE, SETTINGS_FILE, DeclaredModel, Project

GROUP = "overnight.models"
# A table here and a list of names in the environment, so it is read before the other settings.
_MODELS = "models"
# Who starts a process sets these for it.
_OF_A_PROCESS = {"project", "identity"}


@dataclass(frozen=True)
class ProjectFiles:
    """What the files of a project say: the project, and its settings by name."""

    project: Project
    values: Mapping[str, Any]


def read(named: str | None, current: Path, settings: type[BaseModel]) -> ProjectFiles:
    """The project in the folder that is named, or else the nearest one from `current` upwards.

    Raises:
        ConfigurationError: the folder that is named has no `overnight.toml`, a file is no TOML, it
            has an unknown key or a secret, or models are not declared as a table of names.
    """
    folder = Path(named).absolute() if named else _nearest_folder(current)
    if folder is None:
        return ProjectFiles(Project(), {})
    if not (folder / SETTINGS_FILE).is_file():
        raise ConfigurationError(
            f"OVERNIGHT_PROJECT: expected the folder of a project, found {named!r}, which has no "
            f"{SETTINGS_FILE}; `overnight init {folder}` makes a project there"
        )
    project, values = _files_of(folder)
    _check_keys(values, settings, folder / SETTINGS_FILE)
    return ProjectFiles(project, dict(_by_alias(_absolute(values, settings, folder), settings)))


def _nearest_folder(start: Path) -> Path | None:
    folders = (start, *start.parents)
    return next((folder for folder in folders if (folder / SETTINGS_FILE).is_file()), None)


def _files_of(folder: Path) -> tuple[Project, dict[str, Any]]:
    """The project that both files declare, and the settings of the one."""
    file, packaging = folder / SETTINGS_FILE, folder / PACKAGING_FILE
    values = _toml(file)
    distribution = ""
    declared: tuple[DeclaredModel, ...] = ()
    if packaging.is_file():
        about = _table(_toml(packaging), "project", packaging)
        distribution = str(about.get("name", ""))
        groups = _table(about, "entry-points", packaging)
        declared = tuple(_declared(_table(groups, GROUP, packaging), packaging))
    # A table declares models; a list of names chooses among them, as the environment does.
    if isinstance(values.get(_MODELS), dict):
        declared += tuple(_declared(values.pop(_MODELS), file))
    return Project(folder, distribution=distribution, declared=declared), values


def _check_keys(values: Mapping[str, Any], settings: type[BaseModel], file: Path) -> None:
    """Check that a file sets what exists, and no secret, because it is committed."""
    known = settings.model_fields.keys() - _OF_A_PROCESS
    for key, value in values.items():
        if key not in known:
            plain = key.lower().removeprefix("overnight_")
            raise ConfigurationError(
                f"{file}: no setting is called {key!r}; settings are written in lower case and "
                f"without OVERNIGHT_; {nearest(plain, known)}"
            )
        for path in _secrets(settings.model_fields[key].annotation, value, (key,)):
            raise ConfigurationError(
                f"{file}: {'.'.join(path)} is a secret, and this file is committed; "
                f"set OVERNIGHT_{'__'.join(path).upper().replace('-', '_')} in the environment "
                "instead"
            )


def _secrets(annotation: object, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of each secret that a value sets, also in tables of tables."""
    types = _types(annotation)
    if SecretStr in types:
        # An address is one for the password that may be in it.
        is_plain = path[-1] == "url" and isinstance(value, str) and not {"@", "?"} & {*value}
        yield from () if is_plain else (path,)
    elif isinstance(value, dict):
        for known in types:
            if isinstance(known, type) and issubclass(known, BaseModel):
                for name, each in value.items():
                    inner = known.model_fields.get(name)
                    # One table is of the fields, or a table has one for each name.
                    below = known if inner is None else inner.annotation
                    yield from _secrets(below, each, (*path, name))


def _absolute(
    values: Mapping[str, Any], settings: type[BaseModel], folder: Path
) -> Mapping[str, Any]:
    """The values, with paths that are relative to the project's folder made absolute."""

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolved(each) for key, each in value.items()}
        if not isinstance(value, str) or not value:
            return value
        try:
            return str(folder / Path(value).expanduser())
        except RuntimeError as error:
            raise ConfigurationError(
                f"{folder / SETTINGS_FILE}: {value!r} is no path: {error} correct it"
            ) from None

    fields = settings.model_fields
    return {
        key: resolved(value) if Path in _types(fields[key].annotation) else value
        for key, value in values.items()
    }


def _by_alias(values: Mapping[str, Any], settings: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Pairs of key and value as the class reads them: a setting of several names by the first."""
    for key, value in values.items():
        alias = settings.model_fields[key].validation_alias
        yield (str(alias.choices[0]) if isinstance(alias, AliasChoices) else key), value


def _types(annotation: object) -> set[object]:
    """The types in an annotation, at any depth."""
    inner = get_args(annotation)
    return {annotation}.union(*map(_types, inner)) if inner else {annotation}


def _declared(table: Mapping[str, Any], file: Path) -> Iterator[DeclaredModel]:
    for name, module in table.items():
        if not isinstance(module, str):
            raise ConfigurationError(
                f"{file}: the model {name!r} is declared as {module!r}; expected the name of its "
                f'module, such as {name} = "shop.{name}"'
            )
        yield DeclaredModel(name, module, str(file))


def _table(values: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{file}: {key} is {table!r}; expected a table")
    return table


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    # Of lists in lists in lists, thousands deep.
    except RecursionError:
        raise ConfigurationError(f"{file} is nested too deeply; correct it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is no TOML: {error}; correct it") from None
