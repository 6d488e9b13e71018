"""Deployments are registered again when what shapes them changed, and only then."""

import shutil
from pathlib import Path

import pytest

from infra.stack import deploying

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in deploying.SOURCES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / deploying.FILE, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "source", ["deployments.yaml", "flows/retrain.py", "models/definition.py", "flows/run/plan.py"]
)
def test_a_change_of_what_shapes_a_deployment_is_noticed(source: str, tree: Path) -> None:
    (tree / "flows" / "run").mkdir(exist_ok=True)
    (tree / "flows" / "run" / "plan.py").touch()
    before = deploying._digest(tree)

    with (tree / source).open("a") as text:
        text.write("# mended\n")

    assert deploying._digest(tree) != before


def test_a_module_that_moves_into_a_package_is_noticed(tree: Path) -> None:
    (tree / "flows" / "run").mkdir(exist_ok=True)
    before = deploying._digest(tree)

    (tree / "flows" / "promote.py").rename(tree / "flows" / "run" / "promote.py")

    assert deploying._digest(tree) != before


def test_compiled_modules_are_nothing_to_it(tree: Path) -> None:
    before = deploying._digest(tree)

    (tree / "flows" / "__pycache__").mkdir(exist_ok=True)
    (tree / "flows" / "__pycache__" / "retrain.cpython-313.pyc").write_bytes(b"x")

    assert deploying._digest(tree) == before
