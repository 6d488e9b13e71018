"""The code of docs/coming-from.md that is ours is made of what exists, and makes a model."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from overnight import api
from overnight.cli.main import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
_FILES = re.compile(
    r"^`(?P<file>town/[\w./]+)`\n\n```python\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
# Imported as a run does: the network by its module's name, in a process of its own.
PROGRAM = """
import importlib
from overnight.models.learned import learn
from overnight.tasks.training.network_module import NetworkModule
definition = importlib.import_module("town.churn").DEFINITION
network = NetworkModule(definition.network)
names = [spec.name for spec in definition.tensors.inputs]
print(definition.name, sorted(definition.learned), names)
"""


@pytest.mark.training
def test_the_two_files_of_a_model_are_a_model(tmp_path: Path) -> None:
    files = {match["file"]: match["text"] for match in _FILES.finditer(PAGE)}
    assert sorted(files) == ["town/churn/__init__.py", "town/churn/network.py"]
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "town" / "__init__.py").touch()

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    inputs = ["age", "complaints", "tariff"]
    assert ended.stdout.strip() == f"churn {inputs} ['tariff', 'age', 'complaints']"


def test_sources_and_gates_that_it_names_exist() -> None:
    sources = PAGE.split("| where the rows are | source |")[1].split("\n\n")[0]

    named = set(re.findall(r"`([A-Z]\w+)`", sources)) - {"FILE"}
    assert named == {"Files", "Sql", "DeltaTable", "Http"}
    assert named | {"AtLeast", "MaximumRegression", "Schema", "TensorSpec"} <= set(api.__all__)


def test_commands_that_it_names_exist() -> None:
    named = set(re.findall(r"^overnight ([a-z-]+)", PAGE, re.MULTILINE))

    assert {"init", "up", "retrain", "rollback", "import-model"} <= named
    assert named <= set(typer.main.get_command(app).commands)
