"""Models are declared by a project, by installed packages, or are our examples."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from overnight import models
from overnight.models.errors import UnknownModel
from overnight.store import project as projects
from overnight.store.errors import ConfigurationError
from overnight.store.project import DeclaredModel, Project

DEFINED = "from types import SimpleNamespace\nDEFINITION = SimpleNamespace(name={name!r})\n"
Use = Callable[..., None]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Makes a project of packages in a folder that of this process, by module and source."""
    before = projects.current()
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(declared: Mapping[str, str], *, chosen: tuple[str, ...] = (), name: str = "") -> None:
        entries = tuple(
            DeclaredModel(model, module, "overnight.toml") for model, module in declared.items()
        )
        projects.use(Project(tmp_path, name, entries, chosen))

    yield make
    projects.use(before)
    for name in [name for name in sys.modules if name.partition(".")[0] == "catalogued"]:
        del sys.modules[name]


def package(folder: Path, name: str, text: str) -> None:
    place = folder / "catalogued" / name
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(text)


def install(folder: Path, distribution: str, entry: str) -> None:
    """Metadata of an installed distribution with an entry point."""
    place = folder / f"{distribution}-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text(f"[overnight.models]\n{entry}\n")
    importlib.invalidate_caches()


def test_without_a_project_there_are_the_examples() -> None:
    assert models.names() == ("digits", "sales")
    with pytest.raises(UnknownModel, match="known are: digits, sales"):
        models.find("gates")


def test_a_project_has_its_own_models_and_no_example(use: Use, tmp_path: Path) -> None:
    package(tmp_path, "wine", DEFINED.format(name="wine"))
    use({"wine": "catalogued.wine"})

    assert list(models.catalogue()) == ["wine"]
    with pytest.raises(UnknownModel, match=r"known are: wine; .* OVERNIGHT_MODELS=digits"):
        models.find("digits")


def test_a_project_without_a_model_says_how_to_get_one(use: Use, tmp_path: Path) -> None:
    use({})

    assert models.names() == ()
    with pytest.raises(UnknownModel, match=rf"`overnight new NAME` adds one to .*{tmp_path.name}"):
        models.find("wine")


def test_what_is_chosen_may_be_an_example_and_the_rest_is_left_out(use: Use) -> None:
    use({"wine": "catalogued.wine", "bread": "catalogued.bread"}, chosen=("wine", "digits"))

    assert models.names() == ("digits", "wine")
    assert models.find("digits").name == "digits"


def test_a_chosen_name_that_nobody_declares_is_an_error_with_the_nearest(use: Use) -> None:
    use({"wine": "catalogued.wine"}, chosen=("vine",))

    with pytest.raises(ConfigurationError, match=r"names 'vine'.* did you mean 'wine'"):
        models.names()


def test_an_installed_package_declares_models_by_an_entry_point(use: Use, tmp_path: Path) -> None:
    install(tmp_path, "somebody", "bread = catalogued.bread")
    use({"wine": "catalogued.wine"})

    assert models.names() == ("bread", "wine")


def test_what_was_installed_of_the_project_itself_is_out_of_date(use: Use, tmp_path: Path) -> None:
    install(tmp_path, "my_shop", "removed = catalogued.removed")
    use({"wine": "catalogued.wine"}, name="My.Shop")

    assert models.names() == ("wine",)


def test_two_packages_of_one_name_are_both_named(use: Use, tmp_path: Path) -> None:
    install(tmp_path, "somebody", "wine = somebody.wine")
    use({"wine": "catalogued.wine"})

    with pytest.raises(
        ConfigurationError, match=r"catalogued\.wine by overnight\.toml, and somebody\.wine by the"
    ):
        models.names()


@pytest.mark.parametrize(
    ("declared", "reported"),
    [
        ({"wine": "catalogued.wine:DEFINITION"}, 'write wine = "catalogued.wine"'),
        ({"wine": "shop/wine"}, "expected the dotted name of the module"),
        ({"wine": ""}, "expected the dotted name of the module"),
        ({"my-wine": "catalogued.wine"}, "expected lower-case letters"),
        ({"Wine": "catalogued.wine"}, "expected lower-case letters"),
    ],
)
def test_a_wrong_entry_is_quoted_with_what_is_expected(
    declared: Mapping[str, str], reported: str, use: Use
) -> None:
    use(declared)

    with pytest.raises(ConfigurationError, match=reported):
        models.names()


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("import nowhere", "No module named 'nowhere'; install what it needs .nowhere."),
        ("1 / 0", "ZeroDivisionError: .*; correct it, or remove its declaration"),
        (DEFINED.format(name="other"), "whose DEFINITION is called 'other'; expected one name"),
        ("", "has no DEFINITION; expected a ModelDefinition"),
    ],
)
def test_a_wrong_module_is_named_and_other_models_are_still_read(
    text: str, reported: str, use: Use, tmp_path: Path
) -> None:
    package(tmp_path, "wrong", text)
    package(tmp_path, "wine", DEFINED.format(name="wine"))
    use({"wine": "catalogued.wine", "wrong": "catalogued.wrong"})

    with pytest.raises(ConfigurationError, match=f"wrong.*{reported}"):
        models.catalogue()
    assert models.find("wine").name == "wine"


def test_a_module_that_is_nowhere_is_looked_for_in_the_project(use: Use, tmp_path: Path) -> None:
    use({"wine": "absent.wine"})

    with pytest.raises(ConfigurationError, match=f"neither {tmp_path} nor this environment has it"):
        models.find("wine")


@pytest.mark.servers
def test_importing_the_catalogue_imports_no_model() -> None:
    shown = "import sys, overnight.models; overnight.models.names(); "
    shown += "print(sorted({'overnight.models.digits', 'pyarrow'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
