"""The tree as a stranger finds it: narrow folders, one package, every module under one name."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "flows", "infra", "models", "serving", "store", "tasks")
WIDEST = 25


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_no_folder_holds_more_python_files_than_a_reader_can_survey() -> None:
    files = Counter(path.parent.relative_to(ROOT) for path in sources(*PACKAGES, "benchmarks"))

    assert {str(folder): n for folder, n in files.items() if n > WIDEST} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_at_the_top_is_part_of_the_one_package(package: str) -> None:
    link = ROOT / "overnight" / package

    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / package


def test_nothing_else_is_in_the_package() -> None:
    names = {path.name for path in (ROOT / "overnight").iterdir()} - {"__pycache__"}

    # The names of which definitions of models are made, whatever module each is in; the suite of a
    # project's tests; and the templates of deployments, which the wheel carries.
    assert names == {"__init__.py", "api.py", "testing.py", "deployments.yaml", *PACKAGES}


def test_nobody_imports_a_module_by_a_second_name() -> None:
    """As `store.errors` it would be another module with other classes, which nobody catches."""
    packages = "|".join(PACKAGES)
    # By lines, because parsing every file takes seconds.
    imports = re.compile(
        rf"^\s*(?:from\s+(?:{packages})\b|import\s+(?:.*,\s*)?(?:{packages})\b)", re.MULTILINE
    )
    strays = [
        f"{path}: {found[0].strip()}"
        for path in sources(*PACKAGES, "tests", "benchmarks")
        for found in imports.finditer(path.read_text())
    ]

    assert strays == []
    for line in ("from store.errors import X", "    import os, store as s", "import tasks.data"):
        assert imports.search(line), line


def test_no_two_public_classes_have_one_name() -> None:
    homes: dict[str, list[str]] = {}
    for path in sources(*PACKAGES):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))

    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.servers
def test_no_module_is_loaded_under_two_names() -> None:
    """Whatever a run, a host or a command loads, it loads once."""
    program = f"""
import importlib, pkgutil, sys
import overnight
from overnight.cli import main
for package in {PACKAGES!r}:
    module = importlib.import_module(f"overnight.{{package}}")
    for found in pkgutil.walk_packages(module.__path__, f"overnight.{{package}}."):
        if not found.name.endswith("__main__") and "starters" not in found.name:
            importlib.import_module(found.name)
files = [(m.__file__, n) for n, m in list(sys.modules.items()) if getattr(m, "__file__", None)]
ours = {{}}
for file, name in files:
    if file.endswith(".py"):
        ours.setdefault(__import__("os").path.realpath(file), set()).add(name)
root = {str(ROOT)!r}
print([n for f, n in ours.items() if len(n) > 1 and f.startswith(root) and ".venv" not in f])
print([n for n in sys.modules if n.split(".")[0] in {PACKAGES!r}])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout.splitlines() == ["[]", "[]"]
