"""What README and ARCHITECTURE say is true, and stays so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from overnight import models
from overnight.cli.main import app
from overnight.infra.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def test_every_room_of_the_tree_exists_and_every_room_is_in_the_tree() -> None:
    tree = README.split("## Layout")[1].split("```")[1]
    told = set(re.findall(r"^([a-z]+)/", tree, flags=re.MULTILINE))

    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    found = {path.split("/")[0] for path in tracked if "/" in path and not path.startswith(".")}

    assert told == found


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()

    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))
)
def test_links_of_the_documentation_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent

    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert link.startswith("http") or (folder / link).exists(), link


def test_links_of_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    told = re.findall(r"overnight ([a-z]+)((?: [^`\n#]+)?)", README)
    assert len(told) > 6

    for name, rest in told:
        if name in {"keeps", "command", "status"} and name not in commands:
            continue
        assert name in commands, name
        options = {option for parameter in commands[name].params for option in parameter.opts}
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in options, f"{name} {option}"


def test_every_setting_of_the_readme_exists_with_its_default() -> None:
    fields = Settings.model_fields
    for name in re.findall(r"`OVERNIGHT_([A-Z0-9_]+)`", README):
        assert name.split("__")[0].lower() in fields, name
    assert fields["serving_port"].default == 8080
    assert fields["prefect_port"].default == 4200
    assert fields["s3_port"].default == 8333
    assert fields["replicas"].default == 1


def test_the_life_of_a_version_names_files_that_exist() -> None:
    for path in re.findall(r"`((?:tasks|serving|models|infra|flows)/[a-z_./]+\.py)`", ARCHITECTURE):
        assert (ROOT / path).exists(), path


def test_the_life_of_a_version_is_in_the_order_in_which_the_flow_walks() -> None:
    told = re.findall(r"^\d+\. \*\*(\w+)\*\*", ARCHITECTURE, flags=re.MULTILINE)
    source = (ROOT / "flows" / "retrain.py").read_text()
    source += (
        (ROOT / "flows" / "steps" / "finish.py").read_text().split("def await_confirmation")[1]
    )
    # A step is called by its module, or made of a method of the context or the registry.
    calls = re.findall(r"(?:data|training|scoring)\.(\w+)\(|\bstep\([\w.]+\.(\w+)\)", source)
    walked = ["approve" if "decide" in call else "".join(call) for call in calls]

    assert [step for step in told if step != "follow"] == [step for step in walked if step in told]


def test_every_end_of_a_night_that_the_readme_names_is_one() -> None:
    endings = (ROOT / "flows" / "steps" / "finish.py").read_text()

    section = README.split("## Outcomes of a run")[1].split("##")[0]
    names = re.findall(r"\*\*(\w+)\*\*", section)
    assert len(names) == 6
    for name in names:
        assert f'"{name}"' in endings, name


def test_deployments_are_written_as_prefect_reads_them() -> None:
    """Prefect ignores a misspelt key without a word, and with it a schedule."""
    document = yaml.safe_load((ROOT / "deployments.yaml").read_text())
    known = {
        "name", "entrypoint", "description", "tags", "parameters",
        "work_pool", "schedules", "concurrency_limit",
    }  # fmt: skip

    assert set(document) == {"definitions", "deployments"}
    for deployment in document["deployments"]:
        assert set(deployment) <= known
        assert "overnight" in deployment["tags"]
        for schedule in deployment.get("schedules", []):
            assert set(schedule) == {"cron", "timezone", "slug"}


def test_the_form_of_a_retrain_shows_the_settings_of_its_model() -> None:
    document = yaml.safe_load((ROOT / "deployments.yaml").read_text())
    for deployment in document["deployments"]:
        if deployment["entrypoint"] == "overnight.flows.retrain.retrain":
            shown = deployment["parameters"]
            own = models.find(shown["model"]).settings.model_dump() | {"model": shown["model"]}
            assert shown == {name: own.get(name) for name in shown}


@pytest.mark.parametrize("target", ["help", "check", "quick", "up", "down", "test"])
def test_make_help_tells_what_each_target_is_for(target: str) -> None:
    told = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert re.search(rf"{target}\b.*\w+ \w+", told)


def test_no_module_reads_the_environment_beside_the_settings() -> None:
    """Starting a child with our own environment is not reading a setting of ours."""
    reading = re.compile(r"getenv|from os import|os\.environ(\[|\.(get|pop|setdefault|items)\b)")
    readers = {
        str(path.relative_to(ROOT))
        for room in ("cli", "flows", "infra", "models", "serving", "store", "tasks")
        for path in (ROOT / room).rglob("*.py")
        if reading.search(path.read_text())
    }

    # Training processes quiet their runtime, which only listens to the environment.
    training = {"tasks/training/worker.py", "tasks/training/trial_worker.py"}
    # What the page of documentation shows is for clients to run, elsewhere.
    shown = {"serving/rest/openapi/code_samples.py"}
    assert readers - {"infra/settings.py"} <= training | shown | _children(readers)


def _children(readers: set[str]) -> set[str]:
    """What hands our environment to a child."""
    return {path for path in readers if path.startswith("infra/stack/")}


@pytest.mark.servers
def test_importing_any_room_does_nothing_visible(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("infra", "models", "serving", "store", "tasks")
        for path in (ROOT / room).rglob("*.py")
        if path.name not in {"__main__.py", "__init__.py", "network.py", "learning.py"}
        and "as_mnist_was" not in path.name
    ]
    code = f"import importlib\nfor m in {modules!r}: importlib.import_module(m)"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []
