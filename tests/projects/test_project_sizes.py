"""What a model takes of its owner: little code, and one import."""

import ast
import tomllib
from pathlib import Path

import pytest

from overnight import api

PROJECT = Path(__file__).parent / "town"
MOST_LINES = 120
MODELS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"][
    "overnight.models"
]


def sources(model: str) -> list[Path]:
    return sorted((PROJECT / "town" / model).rglob("*.py"))


@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_at_most_120_lines(model: str) -> None:
    lines = sum(len(path.read_text().splitlines()) for path in sources(model))

    assert 20 < lines <= MOST_LINES


def test_every_package_is_a_declared_model() -> None:
    packages = {path.parent.name for path in (PROJECT / "town").glob("*/__init__.py")}

    assert packages == set(MODELS)
    assert {name: f"town.{name}" for name in packages} == MODELS


@pytest.mark.parametrize("model", MODELS)
def test_a_definition_imports_overnight_from_one_place(model: str) -> None:
    """Networks import the rest, which imports TensorFlow, from three modules that docs name."""
    names = [
        (node.module, alias.name)
        for path in sources(model)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("overnight")
        for alias in node.names
    ]

    assert {module for module, _ in names} <= {
        "overnight.api",
        "overnight.models.training.inputs",
        "overnight.models.training.network",
        "overnight.models.training.keras_file",
    }
    assert {name for module, name in names if module == "overnight.api"} <= set(api.__all__)
