"""A project's file sets what the environment does not, and declares models."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overnight import models
from overnight.infra.settings import load
from overnight.store import project as projects
from overnight.store.errors import ConfigurationError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a project, from which a process starts; its file is empty."""
    before, path = projects.current(), list(sys.path)
    (tmp_path / "overnight.toml").touch()
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OVERNIGHT_")]:
        monkeypatch.delenv(name)
    yield tmp_path
    projects.use(before)
    sys.path[:] = path


def declare(project: Path, text: str) -> None:
    (project / "overnight.toml").write_text(text)


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(project, monkeypatch):
    declare(project, 'serving_port = 8090\ns3_port = 8444\noverriders = ["ann", "bob"]\n')
    monkeypatch.setenv("OVERNIGHT_S3_PORT", "8555")

    settings = load()

    assert (settings.serving_port, settings.s3_port, settings.prefect_port) == (8090, 8555, 4200)
    assert settings.overriders == ("ann", "bob")


def test_the_file_wins_over_what_the_embedded_stack_generated(project):
    declare(project, 's3_access_key = "mine"\n')
    (project / ".overnight").mkdir()
    (project / ".overnight" / "embedded.env").write_text("OVERNIGHT_S3_ACCESS_KEY=generated\n")

    assert load().s3_access_key == "mine"


def test_a_project_is_the_same_from_every_folder_below_it(project, monkeypatch):
    declare(project, '[source_folders]\nwine = "rows/wine"\n')
    (project / "shop" / "wine").mkdir(parents=True)
    monkeypatch.chdir(project / "shop" / "wine")

    settings = load()

    assert settings.project == project
    assert settings.home == project / ".overnight"
    assert settings.source_folders == {"wine": project / "rows" / "wine"}


def test_paths_are_of_the_project_and_settings_of_several_names_are_read(project):
    declare(
        project,
        'home = "state"\nadmin_tokens_file = "tokens"\nweed_bin = "/opt/weed"\n'
        's3_ca_file = "ca.pem"\n',
    )

    settings = load()

    assert settings.home == project / "state"
    assert settings.admin_tokens_file == project / "tokens"
    assert settings.weed_bin == Path("/opt/weed")


def test_a_process_that_runs_elsewhere_is_sent_the_project(project, tmp_path_factory, monkeypatch):
    environment = load().of_children
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert load().project == project


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("servng_port = 1", "overnight.toml: no setting is called 'servng_port'.* 'serving_port'"),
        ("OVERNIGHT_SERVING_PORT = 1", "in lower case .* did you mean 'serving_port'"),
        ("serving_port = 70000", "overnight.toml: serving_port: .*, found 70000"),
        ('source_folders = "rows"', "overnight.toml: source_folders: "),
        ('s3_secret_key = "x"', "s3_secret_key is a secret.* set OVERNIGHT_S3_SECRET_KEY in"),
        ("a = 1\nserving_port = x", "overnight.toml is no TOML: .*line 2"),
        ("[models]\nwine = 3", "declared as 3; expected the name of its module"),
        ('identity = "serving"', "no setting is called 'identity'"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_as_it_is_written(text, reported, project):
    declare(project, text)

    with pytest.raises(ConfigurationError, match=reported):
        load()


def test_a_wrong_value_of_the_environment_is_named_as_such(project, monkeypatch):
    declare(project, "serving_port = 8090\n")
    monkeypatch.setenv("OVERNIGHT_SERVING_PORT", "none")

    with pytest.raises(ConfigurationError, match=r"^OVERNIGHT_SERVING_PORT: "):
        load()


def test_a_folder_that_is_no_project_is_named_with_the_command_that_makes_one(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("OVERNIGHT_PROJECT", str(tmp_path))

    with pytest.raises(ConfigurationError, match=r"has no overnight\.toml; `overnight init"):
        load()


def test_models_are_declared_by_both_files_of_a_project(project, monkeypatch):
    declare(project, '[models]\nwine = "shop.wine"\n')
    (project / "pyproject.toml").write_text(
        '[project]\nname = "shop"\n'
        '[project.entry-points."overnight.models"]\nbread = "shop.bread"\n'
    )
    load()
    assert models.names() == ("bread", "wine")

    monkeypatch.setenv("OVERNIGHT_MODELS", "wine, digits")
    load()
    assert models.names() == ("digits", "wine")


@pytest.mark.parametrize("folder", [".", "src"])
def test_packages_of_a_project_are_imported_without_being_installed(folder, project):
    package = project / folder / "imported_shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from types import SimpleNamespace\n")
    (package / "wine.py").write_text(
        "from types import SimpleNamespace\nDEFINITION = SimpleNamespace(name='wine')\n"
    )
    declare(project, '[models]\nwine = "imported_shop.wine"\n')

    load()

    assert models.find("wine").name == "wine"
    for name in [name for name in sys.modules if name.startswith("imported_shop")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[sources.my-wine]\npassword = "p"', "OVERNIGHT_SOURCES__MY_WINE__PASSWORD"),
        ('[sources.wine]\ntoken = "p"', "sources.wine.token is a secret"),
        ('[sources.wine]\nurl = "postgresql://u:p@h/d"', "OVERNIGHT_SOURCES__WINE__URL"),
        ('[sources.wine]\nurl = "https://h/d.csv?key=p"', "OVERNIGHT_SOURCES__WINE__URL"),
        (f"home = {'[' * 5_000}{']' * 5_000}", "nested too deeply"),
        ('home = "~nobody-of-this-name/x"', "is no path"),
    ],
)
def test_secrets_of_sources_and_what_cannot_be_read_are_refused(text, problem, project):
    declare(project, text)

    with pytest.raises(ConfigurationError, match=problem):
        load()


def test_the_address_of_a_source_without_credentials_may_be_in_the_file(project):
    declare(project, '[sources.wine]\nurl = "s3://bucket/wine"\nuser = "u"\n')

    assert load().sources["wine"].url.get_secret_value() == "s3://bucket/wine"
