"""The fingerprint covers everything that determines a version, and nothing else."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from overnight import models
from overnight.store import project
from overnight.store.errors import ConfigurationError
from overnight.tasks.evaluation.explain import Present
from overnight.tasks.evaluation.reproduce import mismatches
from overnight.tasks.training import lineage
from overnight.tasks.training.import_closure import PREFIX
from overnight.tasks.training.lineage import ROOT, STEPS
from tests.support import orders
from tests.support.examples import manifest

CATALOGUED = pytest.mark.parametrize("model", models.names())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources that a night reads."""
    for room in ("models", "tasks"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "deployments.yaml", tmp_path)
    return tmp_path


def digest(model: str, tree: Path) -> str:
    return lineage.code(models.find(model), tree).digest


@CATALOGUED
def test_the_digest_does_not_depend_on_the_folder_of_the_sources(model: str, tree: Path) -> None:
    assert digest(model, tree) == lineage.code(models.find(model)).digest


@CATALOGUED
def test_another_model_in_the_catalogue_changes_no_digest(model: str, tree: Path) -> None:
    before = digest(model, tree)

    shutil.copytree(tree / "models" / "starters" / "classification", tree / "models" / "bakery")

    assert digest(model, tree) == before


@CATALOGUED
@pytest.mark.parametrize(
    "source",
    [
        lambda model: f"models/{model}/network.py",
        lambda model: f"models/{model}/gates.py",
        lambda _: "models/metrics/classification.py",
        lambda _: "models/gates/bounds.py",
        lambda _: "tasks/training/worker.py",
        lambda _: "tasks/evaluation/judge.py",
        # What it decides is remembered under the fingerprint.
        lambda _: "tasks/evaluation/reinstate.py",
        # Reached through the steps only.
        lambda _: "tasks/child_process.py",
        lambda _: "tasks/data/integrity.py",
    ],
    ids=[
        *("network", "gates", "metrics", "vocabulary", "fit", "judge", "reconsider"),
        *("child", "contents"),
    ],
)
def test_steps_that_determine_a_version_are_in_the_digest(
    model: str, source: Callable[[str], str], tree: Path
) -> None:
    before = digest(model, tree)

    with (tree / source(model)).open("a") as text:
        text.write("# mended\n")

    assert digest(model, tree) != before


@CATALOGUED
@pytest.mark.parametrize(
    "source",
    ["tasks/reporting/report.py", "tasks/reporting/mlflow_run.py", "models/sources/csv_folder.py"],
)
def test_other_modules_are_not_in_the_digest(model: str, source: str, tree: Path) -> None:
    before = digest(model, tree)

    with (tree / source).open("a") as text:
        text.write("# mended\n")

    assert digest(model, tree) == before


@pytest.mark.parametrize(
    "name",
    [
        "models/digits/vocabulary.txt",
        "models/digits/tables/teacher.keras",
        # Beside a shared module that the model imports.
        "models/metrics/bounds.json",
    ],
)
def test_files_that_are_no_python_are_in_the_digest_and_named_where_they_differ(
    name: str, tree: Path
) -> None:
    # Given a file that the model's code may read, as it was when a version was made.
    file = tree / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("a\nb\n")
    then = lineage.code(models.find("digits"), tree)

    file.write_text("b\na\n")
    now = lineage.code(models.find("digits"), tree)

    # Then the sources are others now, and what is compared later says which.
    assert now.digest != then.digest
    made = manifest()
    (mismatch,) = mismatches(
        made.model_copy(update={"code": then}),
        Present(made.data, now, made.environment, made.training.settings),
    )
    assert mismatch == f"code: changed {name}"


@pytest.mark.parametrize(
    "name",
    [
        "__pycache__/network.cpython-311.pyc",
        ".cache/rows.csv",
        ".#network.py",
        "#network.py#",
        "network.py~",
        ".network.py.swp",
        "network.py.orig",
    ],
)
def test_caches_hidden_files_and_backups_are_not_in_the_digest(name: str, tree: Path) -> None:
    before = digest("digits", tree)

    left = tree / "models" / "digits" / name
    left.parent.mkdir(exist_ok=True)
    left.write_text("left over")

    assert digest("digits", tree) == before


@pytest.mark.parametrize("step", STEPS)
def test_a_renamed_step_is_an_error_and_no_smaller_digest(step: str, tree: Path) -> None:
    path = tree.joinpath(*step.removeprefix(PREFIX).split(".")).with_suffix(".py")
    path.rename(path.with_stem(f"{path.stem}_renamed"))

    with pytest.raises(ConfigurationError, match=step.removeprefix(PREFIX)):
        digest("digits", tree)


def test_the_encoders_are_in_the_digest_of_models_whose_inputs_they_encode() -> None:
    """Another tokenizer makes another network; models of plain numbers need not care."""
    learning = lineage.code(orders.DEFINITION).files
    plain = lineage.code(models.find("digits")).files

    names = {name.removeprefix("overnight/") for name in learning}
    assert {"store/encoding/tokenizers.py", "models/learned/statistics.py"} <= names
    assert "tasks/data/learn.py" in names
    assert not {name for name in plain if "store/encoding" in name or "models/learned" in name}


def test_a_model_in_two_folders_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far_shop").mkdir()
    (tmp_path / "far_shop" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = project.current()
    declared = project.DeclaredModel("orders", "far_shop", "overnight.toml")
    project.use(project.Project(folder=tmp_path, declared=(declared,)))

    try:
        with pytest.raises(ConfigurationError, match=r"in two folders, far_shop in .*, tests"):
            lineage.code(orders.DEFINITION)
    finally:
        project.use(before)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's package with two models, and files that both may read."""
    for name in ("wine", "tea", "shared/words"):
        (tmp_path / "corner_shop" / name).mkdir(parents=True)
    for name in ("", "wine/", "tea/"):
        (tmp_path / "corner_shop" / f"{name}__init__.py").write_text("")
    (tmp_path / "corner_shop" / "wine" / "network.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = project.current()
    declared = tuple(
        project.DeclaredModel(name, f"corner_shop.{name}", "overnight.toml")
        for name in ("wine", "tea")
    )
    project.use(project.Project(folder=tmp_path, declared=declared))
    yield tmp_path / "corner_shop"
    project.use(before)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("wine/network.keras", True),
        ("wine/sql/rows.sql", True),
        ("shared/words/towns.txt", True),
        ("towns.txt", True),
        ("tea/towns.txt", False),
        ("shared/words/towns.txt~", False),
        ("shared/words/unused.py", False),
    ],
)
def test_a_file_of_the_users_package_trains_again_unless_it_is_another_models(
    shop: Path, name: str, counts: bool
) -> None:
    wine = replace(orders.DEFINITION, name="wine", network="corner_shop.wine.network")
    before = lineage.code(wine)
    (shop / name).parent.mkdir(exist_ok=True)
    (shop / name).write_text("Ulm")

    after = lineage.code(wine)

    assert (after.digest != before.digest) == counts
    assert (f"corner_shop/{name}" in after.files) == counts
