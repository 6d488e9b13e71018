"""`overnight init` and `new` write projects that run as they are, and overwrite nothing."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overnight import models
from overnight.cli.actions.project import scaffold
from overnight.cli.actions.project.init import make_project
from overnight.cli.actions.project.toml_lines import with_entry
from overnight.cli.main import app
from overnight.infra.settings import load
from overnight.store import project as projects
from overnight.store.errors import ConfigurationError
from overnight.tasks.training import lineage

LIKE = "classification"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The shell of a new user, in an empty folder."""
    before, path = projects.current(), list(sys.path)
    monkeypatch.delenv("OVERNIGHT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    projects.use(before)
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] in {"corner_shop", "store2"}]:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has just been made, as the current folder."""
    make_project(Path("corner-shop"), package=None, model="wine", like=LIKE)
    monkeypatch.chdir(tmp_path / "corner-shop")
    return tmp_path / "corner-shop"


def test_a_new_project_declares_its_model_and_where_its_rows_are(project: Path) -> None:
    settings = load()

    assert models.names() == ("wine",)
    assert models.find("wine").network == "corner_shop.wine.network"
    assert models.find("wine").title == "Wine"
    assert settings.source_folders["wine"] == project / "rows" / "wine"
    assert {path.name for path in (project / "rows" / "wine").iterdir()} == {
        "holdout.csv",
        "night-0001.csv",
        "night-0002.csv",
    }
    assert (project / ".gitignore").read_text().startswith(".overnight/")
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert about["name"] == "corner-shop"
    assert about["dependencies"][0].startswith("overnight[serving,training,stack]>=")


def test_every_file_of_a_project_s_model_is_in_its_fingerprint(project: Path) -> None:
    load()
    definition = models.find("wine")
    before = lineage.code(definition)

    (project / "corner_shop" / "wine" / "queries").mkdir()
    (project / "corner_shop" / "wine" / "queries" / "rows.sql").write_text("select 1")
    (project / "rows" / "wine" / "night-0002.csv").write_text("label\n")
    (project / "corner_shop" / "bread").mkdir()
    (project / "corner_shop" / "bread" / "__init__.py").write_text("DEFINITION = None\n")
    after = lineage.code(definition)

    assert set(after.files) - set(before.files) == {"corner_shop/wine/queries/rows.sql"}
    assert "corner_shop/wine/network.py" in after.files
    assert "overnight/tasks/training/worker.py" in after.files
    assert "overnight/models/metrics/classification.py" in after.files
    assert after.digest != before.digest
    assert after.overnight


def test_a_project_s_lock_is_that_of_its_fingerprint(project: Path) -> None:
    load()
    without = lineage.environment().lock_digest

    (project / "requirements.lock").write_text("tensorflow==2.21\n")
    assert lineage.environment().lock_digest != without

    (project / "uv.lock").write_text("version = 1\n")
    assert lineage.lock_file(project) == project / "uv.lock"


def test_the_lock_of_a_workspace_lies_above_its_projects(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "uv.lock").touch()
    (tmp_path / "requirements.txt").touch()
    member = tmp_path / "packages" / "shop"
    member.mkdir(parents=True)

    assert lineage.lock_file(member) == tmp_path / "uv.lock"


def test_a_repository_that_exists_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "theirs"\n')
    (tmp_path / "README.md").write_text("theirs")

    make_project(Path(), package="store2", model="wine", like=LIKE)

    assert (tmp_path / "README.md").read_text() == "theirs"
    assert (tmp_path / "pyproject.toml").read_text() == '[project]\nname = "theirs"\n'
    load()
    assert models.names() == ("wine",)


def test_a_second_model_is_declared_where_the_first_is(project: Path) -> None:
    before = (project / "pyproject.toml").read_text()

    written = scaffold.add_model("bread", LIKE, None)

    assert project / "corner_shop" / "bread" / "network.py" in written
    load()
    assert models.names() == ("bread", "wine")
    after = (project / "pyproject.toml").read_text().splitlines()
    assert [line for line in after if line not in before.splitlines()] == [
        'bread = "corner_shop.bread"'
    ]


def test_a_model_is_made_where_its_package_lies(tmp_path: Path) -> None:
    (tmp_path / "overnight.toml").write_text('[models]\nwine = "corner_shop.models.wine"\n')
    (tmp_path / "src" / "corner_shop" / "models").mkdir(parents=True)

    scaffold.add_model("bread", LIKE, None)

    assert (tmp_path / "src" / "corner_shop" / "models" / "bread" / "network.py").is_file()
    load()
    assert models.find("bread").network == "corner_shop.models.bread.network"


def test_outside_of_a_project_new_says_how_to_make_one() -> None:
    shown = CliRunner().invoke(app, ["new", "wine"])

    assert isinstance(shown.exception, ConfigurationError)
    assert "`overnight init` makes a project here" in str(shown.exception)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Wine", "lower-case letters and digits"),
        ("my-wine", "lower-case letters and digits"),
        ("../x", "lower-case letters and digits"),
        ("class", "no word of Python"),
        ("null", "no word of Python's or YAML's"),
        ("wine", "a model wine exists already"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused_and_nothing_is_written(
    name: str, message: str, project: Path
) -> None:
    before = sorted(project.rglob("*"))

    with pytest.raises(ConfigurationError, match=message):
        scaffold.add_model(name, LIKE, None)

    assert sorted(project.rglob("*")) == before


def test_a_file_that_exists_is_named_and_nothing_is_written(project: Path) -> None:
    (project / "corner_shop" / "bread").mkdir()
    (project / "corner_shop" / "bread" / "network.py").write_text("mine")

    with pytest.raises(ConfigurationError, match=r"bread/network\.py exists already"):
        scaffold.add_model("bread", LIKE, None)

    assert not (project / "rows" / "bread").exists()


def test_a_project_is_not_made_twice(project: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a project already; `overnight new NAME"):
        make_project(Path(), package="store2", model="bread", like=LIKE)

    assert not (project / "store2").exists()


def test_a_starter_that_does_not_exist_is_named_with_the_nearest(project: Path) -> None:
    with pytest.raises(ConfigurationError, match="'classificatoin'; did you mean 'classification'"):
        scaffold.add_model("bread", "classificatoin", None)


@pytest.mark.parametrize(
    ("package", "message"),
    [("models.mine", "cannot be the name of a package"), ("numpy", "in this environment already")],
)
def test_a_package_that_would_hide_another_is_refused(package: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_project(Path("here"), package=package, model=None, like=LIKE)

    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '\n[models]\na = "b"\n'),
        ("[models]  # mine\nc = 1\n\n[next]\n", '[models]  # mine\nc = 1\na = "b"\n\n[next]\n'),
        ("[models]\n# last\n", '[models]\n# last\na = "b"\n'),
    ],
)
def test_a_line_is_added_and_all_else_stays(text: str, expected: str) -> None:
    assert with_entry(text, "models", "a", "b", file="x.toml") == expected


def test_a_table_of_another_form_is_left_to_its_writer() -> None:
    with pytest.raises(ConfigurationError, match=r'x\.toml: .* add a = "b" to it'):
        with_entry('models = {c = "d"}\n', "models", "a", "b", file="x.toml")
