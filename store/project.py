"""The project of this process: its folder, and the models that it declares.

`infra/settings.py` reads it and says so here once; nothing else of a project is global. Without a
project there is only what is installed.
"""

from dataclasses import dataclass
from pathlib import Path

SETTINGS_FILE = "overnight.toml"
PACKAGING_FILE = "pyproject.toml"
# Where packages of a project lie when they do not lie in its folder itself.
_SOURCES = "src"


@dataclass(frozen=True)
class DeclaredModel:
    """One declaration of a model: the module with its `DEFINITION`, and where it is declared."""

    name: str
    module: str
    where: str


@dataclass(frozen=True)
class Project:
    """A folder of somebody's own models, or none.

    Attributes:
        folder: absolute; None outside of any project.
        distribution: the name in its `pyproject.toml`; what is installed of it may be out of date.
        declared: the models that its files declare.
        chosen: the names of the models to keep; empty for all of the project's.
    """

    folder: Path | None = None
    distribution: str = ""
    declared: tuple[DeclaredModel, ...] = ()
    chosen: tuple[str, ...] = ()

    @property
    def search_path(self) -> tuple[Path, ...]:
        """The folders from which its packages are imported."""
        if self.folder is None:
            return ()
        return tuple(path for path in (self.folder, self.folder / _SOURCES) if path.is_dir())


class _Current:
    """A process has one project."""

    project = Project()


def use(project: Project) -> None:
    """Make this the project of the process."""
    _Current.project = project


def current() -> Project:
    """The project of this process."""
    return _Current.project
