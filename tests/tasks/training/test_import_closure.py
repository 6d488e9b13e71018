"""The files that a module reaches, by every form of import."""

from pathlib import Path

import pytest

from overnight.store.errors import ConfigurationError
from overnight.tasks.training.import_closure import SourceTree, closure

OURS = frozenset({"tasks", "models"})


def reached(root: Path, *modules: str, excluding: tuple[str, ...] = ()) -> set[str]:
    tree = SourceTree(root, "overnight.", OURS)
    result = closure(modules, [tree], excluding=excluding)
    return {str(path.relative_to(root)) for path in result}


def write(root: Path, **sources: str) -> None:
    """A tree of modules by dotted name with `__` for the dots; each folder is a package."""
    for name, text in sources.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in (path for path in root.rglob("*") if path.is_dir()):
        (folder / "__init__.py").touch()


@pytest.mark.parametrize(
    "line",
    [
        "import overnight.tasks.training.worker as w",
        "from overnight.tasks.training.worker import main",
        "from overnight.tasks.training import worker",
        "import overnight.tasks.training.worker",
        "from .training.worker import main",
        "from .training import worker",
        'run("overnight.tasks.training.worker")',
        "def later():\n    from overnight.tasks.training import worker",
    ],
)
def test_a_module_is_reached_by_any_way_of_naming_it(line: str, tmp_path: Path) -> None:
    write(tmp_path, tasks__step=line, tasks__training__worker="", tasks__training__other="")

    assert reached(tmp_path, "overnight.tasks.step") == {
        "tasks/__init__.py",
        "tasks/step.py",
        "tasks/training/__init__.py",
        "tasks/training/worker.py",
    }


def test_dots_are_counted_from_the_module_s_own_package(tmp_path: Path) -> None:
    write(
        tmp_path,
        tasks__training__step="from . import worker\nfrom ..data import rows\nfrom .. import near",
        tasks__training__worker="",
        tasks__data__rows="",
        tasks__near="",
        tasks__training__near="",
    )
    (tmp_path / "tasks/data/__init__.py").write_text("from .columns import A")
    (tmp_path / "tasks/data/columns.py").touch()

    result = reached(tmp_path, "overnight.tasks.training.step")

    assert {path for path in result if not path.endswith("__init__.py")} == {
        "tasks/training/step.py",
        "tasks/training/worker.py",
        "tasks/data/rows.py",
        "tasks/data/columns.py",
        "tasks/near.py",
    }


def test_circles_end_and_other_packages_are_left_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        tasks__a="from overnight.tasks import b\nimport overnight.store.s3\n"
        "from overnight import models, serving",
        tasks__b="import overnight.tasks.a",
        store__s3="",
        models__m="",
    )

    assert reached(tmp_path, "overnight.tasks.a", excluding=("overnight.models",)) == {
        "tasks/__init__.py",
        "tasks/a.py",
        "tasks/b.py",
    }


@pytest.mark.parametrize(
    "line", ["import overnight.tasks.ghost", "from .ghost import x", '("overnight.tasks.ghost",)']
)
def test_a_missing_module_is_named_with_its_importer(line: str, tmp_path: Path) -> None:
    write(tmp_path, tasks__step=line)

    with pytest.raises(
        ConfigurationError, match=r"tasks\.step imports the module overnight\.tasks\.ghost"
    ):
        reached(tmp_path, "overnight.tasks.step")


def test_a_folder_without_an_init_is_a_package_that_runs_nothing(tmp_path: Path) -> None:
    write(tmp_path, models__own__network="import overnight.models.own.gates", models__own__gates="")
    (tmp_path / "models" / "own" / "__init__.py").unlink()

    result = reached(tmp_path, "overnight.models.own.network", excluding=("overnight.models",))

    assert result == {"models/own/network.py", "models/own/gates.py"}


@pytest.mark.parametrize("line", ["from overnight.api import Accuracy", "import overnight.api"])
def test_names_that_a_module_collects_are_followed_to_where_they_are_from(
    line: str, tmp_path: Path
) -> None:
    write(tmp_path, tasks__step=line, models__metrics="", models__plots="")
    api = tmp_path / "api.py"
    api.write_text(
        "from overnight.models.metrics import Accuracy\nfrom overnight.models.plots import Plot\n"
    )
    tree = SourceTree(tmp_path, "overnight.", OURS)

    result = closure(
        ["overnight.tasks.step"],
        [tree],
        excluding=("overnight.models",),
        facades={"overnight.api": api},
    )

    names = {path.name for path in result}
    assert names - {"__init__.py", "step.py"} == (
        {"metrics.py"} if "Accuracy" in line else {"metrics.py", "plots.py"}
    )


def test_a_project_s_modules_are_followed_to_ours_and_to_one_another(tmp_path: Path) -> None:
    ours, own = tmp_path / "site", tmp_path / "project"
    write(ours, models__metrics="import overnight.models.numbers", models__numbers="")
    write(
        own,
        shop__wine__network="from overnight.models import metrics\n"
        "from shop import shared\nimport numpy",
        shop__shared="rows = 'rows.wine'",
        shop__bread__network="",
    )
    (own / "rows").mkdir()
    trees = [SourceTree(ours, "overnight.", OURS), SourceTree(own)]

    result = closure(["shop.wine.network"], trees, excluding=("overnight.models",))

    # A text that looks like a module, and names a folder of rows, is none.
    assert {str(path.relative_to(tmp_path)) for path in result} == {
        "project/shop/__init__.py",
        "project/shop/wine/__init__.py",
        "project/shop/wine/network.py",
        "project/shop/shared.py",
        "site/models/metrics.py",
        "site/models/numbers.py",
    }
