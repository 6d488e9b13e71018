"""A package in `models/` that has a DEFINITION is a model; nothing lists them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overnight import models
from overnight.models.errors import UnknownModel
from overnight.store.errors import ConfigurationError

DEFINED = "from types import SimpleNamespace\nDEFINITION = SimpleNamespace(name={name!r})\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which packages count as if they lay in `models/`."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    models.catalogue.cache_clear()
    yield tmp_path
    models.catalogue.cache_clear()
    for name in [name for name in sys.modules if name.startswith("models.catalogued")]:
        del sys.modules[name]


def package(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


def test_what_models_share_is_no_model() -> None:
    assert {"gates", "starters"}.isdisjoint(models.catalogue())
    with pytest.raises(UnknownModel, match="known are: digits, sales"):
        models.find("gates")


def test_a_package_with_a_definition_is_a_model_without_being_listed(folder: Path) -> None:
    package(folder, "catalogued_wine", DEFINED.format(name="catalogued_wine"))

    assert list(models.catalogue()) == ["catalogued_wine", "digits", "sales"]
    assert models.find("catalogued_wine").name == "catalogued_wine"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("1 / 0", "ZeroDivisionError"),
        (DEFINED.format(name="other"), "defines 'other'"),
    ],
)
def test_a_wrong_package_is_named_and_the_other_models_are_still_found(
    text: str, reported: str, folder: Path
) -> None:
    package(folder, "catalogued_wrong", text)

    with pytest.raises(ConfigurationError, match=f"models/catalogued_wrong .*{reported}"):
        models.catalogue()
    assert models.find("digits").name == "digits"


@pytest.mark.servers
def test_importing_the_catalogue_imports_no_model() -> None:
    shown = "import sys, overnight.models; "
    shown += "print(sorted({'overnight.models.digits', 'pyarrow'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
